//! What a layer is told about the pass it takes part in.

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
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Training or evaluation.
    pub phase: Phase,
    /// The run's seed.
    pub seed: u64,
    /// The epoch, from 0.
    pub epoch: u64,
    /// The ids of the batch's samples, in row order.
    pub samples: &'a [u32],
}

impl<'a> Context<'a> {
    /// The context of an evaluation, where nothing is drawn.
    pub fn eval(samples: &'a [u32]) -> Self {
        Self { phase: Phase::Eval, seed: 0, epoch: 0, samples }
    }
}
