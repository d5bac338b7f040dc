//! What a layer is told about the pass it takes part in.

use super::{Alone, Team};

/// Whether a pass trains or evaluates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Forward for a gradient: dropout drops, batch-norm uses the batch's moments.
    Train,
    /// Forward for a result.
    Eval,
}

/// The context of one pass over a batch.
///
/// Random layers draw from the stream of (seed, purpose, epoch, sample id), so the draw does not
/// depend on which rank holds the sample.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Training or evaluation.
    pub phase: Phase,
    /// The run's seed.
    pub seed: u64,
    /// The epoch, from 0.
    pub epoch: u64,
    /// The ids of the batch's samples, in row order.
    pub samples: &'a [u32],
    /// Running statistics σ; to a layer, its span of them.
    pub sigma: &'a [f32],
    /// Who helps.
    pub team: &'a dyn Team,
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Context({:?}, seed {}, epoch {}, {:?})", self.phase, self.seed, self.epoch, self.samples)
    }
}

impl<'a> Context<'a> {
    /// The context of an evaluation, where nothing is drawn.
    pub fn eval(samples: &'a [u32], sigma: &'a [f32]) -> Self {
        Self { phase: Phase::Eval, seed: 0, epoch: 0, samples, sigma, team: &Alone }
    }
}
