//! Which samples make a chunk.
//!
//! The global batch of a step is cut into K slices, as it is cut for K ranks in lock-step: so a step of the first K chunks is
//! a lock-step of K ranks. Shards are slices of the whole epoch instead.

use crate::data::order::{StepPlan, balanced};
use std::ops::Range;

/// How an epoch's order is cut into chunks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunks {
    samples: usize,
    plan: StepPlan,
    /// Chunks of a step.
    k: usize,
    /// Samples of a micro-chunk, of which a chunk is a whole number.
    micro_chunk: usize,
    shards: Option<usize>,
}

impl Chunks {
    /// Slices of the global batches.
    pub fn of_batches(samples: usize, global_batch: usize, k: usize, micro_chunk: Option<usize>) -> Self {
        let plan = StepPlan::new(samples, global_batch);
        Self { samples, plan, k, micro_chunk: micro_chunk.unwrap_or(1), shards: None }
    }

    /// Slices of the epoch.
    pub fn of_epoch(samples: usize, shards: usize, k: usize) -> Self {
        Self { samples, plan: StepPlan::new(samples, samples.max(1)), k, micro_chunk: 1, shards: Some(shards) }
    }

    /// Chunks of an epoch; none of them is empty while a global batch has a micro-chunk for each.
    pub fn count(&self) -> usize {
        let full = self.plan.steps() - 1;
        match self.shards {
            Some(shards) => shards.min(self.samples),
            None => full * self.k + self.micro_chunks(full).min(self.k),
        }
    }

    /// Steps of an epoch in which each takes K chunks.
    pub fn steps(&self) -> usize {
        self.count().div_ceil(self.k)
    }

    /// Its positions in the epoch's order.
    pub fn positions(&self, chunk: usize) -> Range<usize> {
        if let Some(shards) = self.shards {
            return balanced(self.samples, shards, chunk);
        }
        let (step, slice) = (chunk / self.k, chunk % self.k);
        let (run, mine) = (self.plan.run(step), balanced(self.micro_chunks(step), self.k, slice));
        let at = |micro: usize| (run.start + micro * self.micro_chunk).min(run.end);
        at(mine.start)..at(mine.end)
    }

    fn micro_chunks(&self, step: usize) -> usize {
        self.plan.run(step).len().div_ceil(self.micro_chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn chunks_cover_the_epoch_and_are_those_of_the_lock_step(
            samples in 1usize..500, each in 1usize..9, k in 1usize..9, micro in 1usize..4,
        ) {
            let global = each * k * micro;
            for (chunks, global) in [
                (Chunks::of_batches(samples, global, k, Some(micro)), Some(global)),
                (Chunks::of_epoch(samples, (samples / each).max(1), k), None),
            ] {
                let mut next = 0;
                for chunk in 0..chunks.count() {
                    let positions = chunks.positions(chunk);
                    prop_assert_eq!(positions.start, next);
                    prop_assert!(!positions.is_empty());
                    next = positions.end;
                    if let (Some(global), 1) = (global, micro) {
                        let slice = StepPlan::new(samples, global).slice(chunk / k, k, chunk % k);
                        prop_assert_eq!(positions, slice);
                    }
                }
                prop_assert_eq!(next, samples);
            }
        }
    }
}
