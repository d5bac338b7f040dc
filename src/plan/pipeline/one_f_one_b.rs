//! 1F1B with a flush: as fast as GPipe, with fewer micro-batches stored.
//!
//! # References
//! Narayanan et al. 2019, "PipeDream: Generalized Pipeline Parallelism for DNN Training" (one forward, one backward);
//! Narayanan et al. 2021, "Efficient Large-Scale Language Model Training on GPU Clusters Using Megatron-LM",
//! section 2.2.1 (with a flush at the end of each step).

use super::Instruction::{self, Backward, Forward};

/// What a stage computes: forwards until its first micro-batch can have come back, then backward and forward in turn.
pub(super) fn compute(stage: usize, stages: usize, micro_batches: u32) -> Vec<Instruction> {
    let ahead = (stages - stage).min(micro_batches as usize) as u32;
    let rest = (0..micro_batches).flat_map(|m| {
        let next = m.checked_add(ahead).filter(|next| *next < micro_batches);
        [Some(Backward(m)), next.map(Forward)].into_iter().flatten()
    });
    (0..ahead).map(Forward).chain(rest).collect()
}
