//! Convolution, directly on pictures with the channels innermost: no im2col.

#[cfg(test)]
mod backward_tests;
mod forward;
mod frozen;
mod grad_input;
mod grad_weights;
mod lists;
#[cfg(test)]
pub(super) mod naive;
mod plan;
mod sparse_input;
mod sparse_weights;
#[cfg(test)]
mod tests;
mod tile;
mod unpool;

pub use frozen::{FrozenConv, FrozenShape};
pub use unpool::DEAD;

use super::Isa;
use super::grid::Grid;

/// What happens to the sums of a convolution before they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Post {
    /// Nothing.
    None,
    /// `max(0, z)`.
    Relu,
    /// `max(0, z)`, then the maximum of each 2 x 2 window; an odd last row or column is dropped.
    ReluPool,
}

/// The sizes of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvShape {
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Vertical and horizontal step.
    pub stride: [usize; 2],
    /// Vertical and horizontal padding with zeros.
    pub padding: [usize; 2],
}

/// A convolution with what follows it, compiled for one instruction set and one size of picture.
///
/// All functions work on one picture; a team shares the pictures of a batch out.
#[derive(Debug, Clone, Copy)]
pub struct ConvKernel {
    /// The instruction set.
    pub isa: Isa,
    /// The sizes.
    pub shape: ConvShape,
    /// The input; its halo is at least the padding.
    pub x: Grid,
    /// The sums before `post`, and their gradient; its halo is at least `kernel - 1 - padding`.
    pub z: Grid,
    /// The output after `post`.
    pub y: Grid,
    /// What follows.
    pub post: Post,
}
