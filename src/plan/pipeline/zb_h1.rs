//! ZB-H1: gradients of parameters are put off into what would be a bubble.
//!
//! Only the gradient of the input is waited for by another stage. A later stage gets its first micro-batch later and
//! has its last gradient earlier: stage s puts the gradients of the parameters off by s micro-batches, so that it
//! passes gradients on as soon as it can, and catches up at the end, while the stages before it still compute.
//!
//! # Math
//! With p equal stages and m ≥ p micro-batches a step takes m(F+B+W) + (p−1)(F+B−min(F,B,W)). The paper's
//! m(F+B+W) + (p−1)(F+B−W) is this where W is the shortest of the three; it is out of reach for any longer W, as
//! stage 0 stores p micro-batches, so that it is idle for (p−1)B from its p-th forward to its first gradient, and the
//! last stage is idle for (p−1)F at the beginning.
//!
//! Every stage stores at most min(m, p) micro-batches, as stage 0 of 1F1B does.
//!
//! # References
//! Qi et al. 2023, "Zero Bubble Pipeline Parallelism", section 2.1 and figure 3.

use super::Instruction::{self, BackwardInput, BackwardParams, Forward};

/// What a stage computes.
pub(super) fn compute(stage: usize, stages: usize, micro_batches: u32) -> Vec<Instruction> {
    let ahead = (stages - stage).min(micro_batches as usize) as u32;
    let late = stage.min(micro_batches as usize) as u32;
    let rest = (0..micro_batches).flat_map(|m| {
        let params = m.checked_sub(late).map(BackwardParams);
        let next = m.checked_add(ahead).filter(|next| *next < micro_batches);
        [Some(BackwardInput(m)), params, next.map(Forward)].into_iter().flatten()
    });
    let caught_up = (micro_batches - late..micro_batches).map(BackwardParams);
    (0..ahead).map(Forward).chain(rest).chain(caught_up).collect()
}
