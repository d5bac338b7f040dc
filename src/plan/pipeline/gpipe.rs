//! GPipe: all micro-batches forward, then all backward.
//!
//! # References
//! Huang et al. 2019, "GPipe: Efficient Training of Giant Neural Networks using Pipeline Parallelism", section 2.3.

use super::Instruction::{self, Backward, Forward};

/// What a stage computes: m forwards, then m backwards in the same order.
///
/// The order of the backwards changes neither the time nor the memory; the same as that of the forwards makes the sum
/// of the gradients the same as in the other schedules.
pub(super) fn compute(_: usize, _: usize, micro_batches: u32) -> Vec<Instruction> {
    (0..micro_batches).map(Forward).chain((0..micro_batches).map(Backward)).collect()
}
