//! Learning by proposals: the loss of a batch as a Metropolis chain asks for it, over one rank or many.
//!
//! Every rank draws the same proposals, because draws are keyed by step and iteration; where ranks share a batch, the one
//! thing they exchange for a proposal is the sum of their losses.

use super::TrainError;
use crate::comm::{CommError, Communicator, Reduce, Values};
use crate::device::{Clock, Work};
use crate::nn::{Context, Objective, Program, Tally, Workspace};
use crate::optim::metropolis::Sampler;
use std::ops::Range;

/// The mean loss of a batch that lies in a workspace, from one forward pass for each question.
pub(super) struct Recompute<'a> {
    pub program: &'a Program,
    pub context: Context<'a>,
    pub workspace: &'a mut Workspace,
    pub labels: &'a [u32],
    pub clock: &'a dyn Clock,
    /// What a forward pass costs.
    pub work: Work,
    /// The samples of the whole batch, on all ranks.
    pub samples: usize,
    /// With whom the batch is shared, if with anybody.
    pub comm: Option<&'a dyn Communicator>,
    /// The first error of an exchange; every loss after it is not a number, and so changes nothing.
    pub failed: Option<CommError>,
}

/// Losses are exchanged as integers of this fraction, so that their sum does not depend on the order.
const FRACTION: f64 = (1u64 << 32) as f64;

impl Recompute<'_> {
    /// Sums of this rank's samples at θ.
    pub fn tally(&mut self, theta: &[f32]) -> Tally {
        if self.labels.is_empty() {
            return Tally::default();
        }
        self.clock.work([self.work.clone()], || {
            self.program.loss(&self.context, theta, self.workspace, self.labels)
        })
    }

    fn shared(&mut self, loss: f64) -> f64 {
        let Some(comm) = self.comm else { return loss };
        // What is no number, or far beyond any loss, is told as the largest integers: they stay above any sum.
        let share = match loss * FRACTION {
            scaled if scaled.abs() < 9e18 / comm.size() as f64 => scaled.round() as i64,
            _ => i64::MAX,
        };
        let mut words = [if share == i64::MAX { 0 } else { share }, i64::from(share == i64::MAX)];
        if let Err(error) = comm.all_reduce(Values::I64(&mut words), Reduce::Sum) {
            self.failed.get_or_insert(error);
            return f64::NAN;
        }
        if words[1] > 0 { f64::NAN } else { words[0] as f64 / FRACTION }
    }
}

impl Objective for Recompute<'_> {
    fn len(&self) -> usize {
        self.program.theta_len()
    }

    fn loss(&mut self, theta: &[f32]) -> f64 {
        if self.failed.is_some() {
            return f64::NAN;
        }
        let loss = self.tally(theta).loss;
        self.shared(loss) / self.samples.max(1) as f64
    }
}

/// What a chain did with a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Done {
    /// Proposals that were decided.
    pub proposals: u64,
}

/// Runs a step's proposals, until all are decided or a newer batch is there.
///
/// # Collective
/// Where the objective's batch is shared, every rank must call it with the same chain, θ and step.
pub(super) fn sample(
    chain: &mut Sampler,
    objective: &mut dyn Objective,
    theta: &mut [f32],
    step: u64,
    iterations: Range<u64>,
    newer: &mut dyn FnMut() -> Result<bool, TrainError>,
) -> Result<Done, TrainError> {
    let mut trouble = None;
    let run = chain.run(objective, theta, step, iterations, &mut |_| match newer() {
        Ok(stop) => stop,
        Err(error) => {
            trouble = Some(error);
            true
        }
    });
    match trouble {
        Some(error) => Err(error),
        None => Ok(Done { proposals: run.iterations }),
    }
}
