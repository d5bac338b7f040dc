//! Every rank trains its slice of each global batch; one packed vector is reduced over all ranks, or its parts during
//! backward.
//!
//! # References
//! Goyal et al., *Accurate, large minibatch SGD: training ImageNet in 1 hour*, arXiv:1706.02677.

use super::summing::Summing;
use super::{Exchange, TrainError};
use crate::comm::{Communicator, Reduce, Values};
use crate::nn::Network;

/// The communicator's own reduction: over MPI, the library's.
pub(super) struct AllReduce<'a> {
    comm: &'a dyn Communicator,
}

impl<'a> AllReduce<'a> {
    pub fn new(comm: &'a dyn Communicator) -> Self {
        Self { comm }
    }
}

impl<'a> Exchange<'a> for AllReduce<'a> {
    fn part(&self) -> Option<usize> {
        Some(self.comm.rank())
    }

    fn parts(&self) -> usize {
        self.comm.size()
    }

    fn recovers(&self) -> bool {
        self.comm.recovers()
    }

    fn summing(&self, network: &Network, rest: usize) -> Result<Summing<'a>, TrainError> {
        Summing::fastest(self.comm, network, rest)
    }

    fn combine(&mut self, values: Values, op: Reduce) -> Result<(), TrainError> {
        Ok(self.comm.all_reduce(values, op)?)
    }
}
