//! In which order samples are visited, and who takes which.
//!
//! **One sample order.** Each epoch has one permutation of the training set, the same at any number of ranks. The global
//! batch of a step is a run of that permutation, and rank r takes the r-th balanced slice of the run. Its shard of the
//! epoch is the union of its slices. So the samples that make a step's gradient do not depend on how many ranks share it.

use crate::rng::{Purpose, shuffle, stream};
use std::ops::Range;

/// Writes the epoch's permutation of `0..samples` into `order`; allocates only when the capacity does not suffice.
///
/// # Panics
/// If `samples` does not fit into 32 bits.
pub fn epoch_order(samples: usize, seed: u64, epoch: u64, order: &mut Vec<u32>) {
    let end = u32::try_from(samples).expect("fewer than 2^32 samples");
    order.clear();
    order.extend(0..end);
    shuffle(order, &mut stream(seed, Purpose::Order, epoch, 0));
}

/// The `part`-th of `parts` consecutive slices of `0..samples`.
///
/// The slices are in order, cover everything, and differ in size by at most one, the first ones being the larger; with
/// more parts than samples the last ones are empty.
///
/// # Panics
/// If `part` is not below `parts`.
pub fn balanced(samples: usize, parts: usize, part: usize) -> Range<usize> {
    assert!(part < parts, "part {part} of {parts}");
    let (size, larger) = (samples / parts, samples % parts);
    let start = part * size + part.min(larger);
    start..start + size + usize::from(part < larger)
}

/// How an epoch is cut into steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepPlan {
    samples: usize,
    global_batch: usize,
}

impl StepPlan {
    /// A plan for `samples` samples with `global_batch` of them a step; the last step of an epoch may have fewer.
    ///
    /// # Panics
    /// If `global_batch` is 0.
    pub fn new(samples: usize, global_batch: usize) -> Self {
        assert!(global_batch > 0, "a step needs a sample");
        Self { samples, global_batch }
    }

    /// Steps in an epoch.
    pub fn steps(&self) -> usize {
        self.samples.div_ceil(self.global_batch)
    }

    /// The positions in the epoch's order that make this step's global batch; empty from `steps()` on.
    pub fn run(&self, step: usize) -> Range<usize> {
        let start = step.saturating_mul(self.global_batch).min(self.samples);
        start..start.saturating_add(self.global_batch).min(self.samples)
    }

    /// The positions in the epoch's order that `part` of `parts` takes in this step.
    ///
    /// # Panics
    /// If `part` is not below `parts`.
    pub fn slice(&self, step: usize, parts: usize, part: usize) -> Range<usize> {
        let run = self.run(step);
        let slice = balanced(run.len(), parts, part);
        run.start + slice.start..run.start + slice.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_epochs_order_is_fixed_by_seed_and_epoch_alone() {
        let mut order = Vec::with_capacity(10);
        epoch_order(10, 7, 3, &mut order);
        let (first, address) = (order.clone(), order.as_ptr());
        epoch_order(10, 7, 4, &mut order);
        assert_ne!(first, order);
        epoch_order(10, 7, 3, &mut order);
        assert_eq!((&first, address), (&order, order.as_ptr()));
        order.sort_unstable();
        assert_eq!(order, (0..10).collect::<Vec<u32>>());
        epoch_order(0, 7, 3, &mut order);
        assert!(order.is_empty());
    }

    #[test]
    fn slices_by_hand() {
        assert_eq!((0..4).map(|part| balanced(10, 4, part)).collect::<Vec<_>>(), [0..3, 3..6, 6..8, 8..10]);
        assert_eq!((0..3).map(|part| balanced(1, 3, part)).collect::<Vec<_>>(), [0..1, 1..1, 1..1]);
        let plan = StepPlan::new(10, 4);
        assert_eq!((0..4).map(|step| plan.run(step)).collect::<Vec<_>>(), [0..4, 4..8, 8..10, 10..10]);
        assert_eq!((plan.steps(), plan.slice(1, 3, 0), plan.slice(2, 3, 2)), (3, 4..6, 10..10));
        assert_eq!(StepPlan::new(0, 4).steps(), 0);
        assert_eq!(StepPlan::new(3, usize::MAX).run(0), 0..3);
    }

    proptest! {
        #[test]
        fn balanced_slices_cover_in_order_and_differ_by_one(samples in 0usize..5000, parts in 1usize..300) {
            let slices: Vec<_> = (0..parts).map(|part| balanced(samples, parts, part)).collect();
            let mut end = 0;
            for slice in &slices {
                prop_assert_eq!(slice.start, end);
                prop_assert!(slice.len() == samples / parts || slice.len() == samples.div_ceil(parts));
                end = slice.end;
            }
            prop_assert_eq!(end, samples);
        }

        #[test]
        fn every_sample_is_taken_once_an_epoch(samples in 0usize..400, batch in 1usize..90, parts in 1usize..30) {
            let plan = StepPlan::new(samples, batch);
            let taken: Vec<usize> = (0..plan.steps())
                .flat_map(|step| (0..parts).flat_map(move |part| plan.slice(step, parts, part)))
                .collect();
            prop_assert_eq!(taken, (0..samples).collect::<Vec<_>>());
        }
    }
}
