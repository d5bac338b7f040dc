//! What a strategy charges a machine for: how much arithmetic, of which blocks, for how many samples, in which direction.

use crate::units::Flops;
use std::ops::Range;

/// The direction in which a network was gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// From the samples to the loss.
    Forward,
    /// The gradients with respect to input and parameters.
    Backward,
    /// The gradient with respect to the input alone.
    BackwardInput,
    /// The gradient with respect to the parameters alone.
    BackwardParams,
}

/// Work that was done.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// Its arithmetic, of all rows together.
    pub flops: Flops,
    /// The trunk blocks of the whole network that did it; none for what stands beside the trunk, as an exit head does.
    pub blocks: Range<usize>,
    /// The samples that went through.
    pub rows: usize,
    /// The direction.
    pub pass: Pass,
}
