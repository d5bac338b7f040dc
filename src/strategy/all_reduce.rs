//! Every rank trains its slice of each global batch; one packed vector is reduced over all ranks.
//!
//! # References
//! Goyal et al., *Accurate, large minibatch SGD: training ImageNet in 1 hour*, arXiv:1706.02677.

use super::{Exchange, TrainError};
use crate::comm::{Communicator, Reduce, Values};

/// The communicator's own reduction: over MPI, the library's.
pub(super) struct AllReduce<'a> {
    comm: &'a dyn Communicator,
}

impl<'a> AllReduce<'a> {
    pub fn new(comm: &'a dyn Communicator) -> Self {
        Self { comm }
    }
}

impl Exchange for AllReduce<'_> {
    fn part(&self) -> Option<usize> {
        Some(self.comm.rank())
    }

    fn parts(&self) -> usize {
        self.comm.size()
    }

    fn combine(&mut self, values: Values, op: Reduce) -> Result<(), TrainError> {
        Ok(self.comm.all_reduce(values, op)?)
    }
}
