//! What makes a grid: the rule, and how the workers work.

use super::chunks::Chunks;
use crate::device::Delay;
use crate::plan::quorum::{Rule, Terms, TermsError};
use crate::strategy::Hyper;

/// A parameter server whose workers may be late, leave or die.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// Whose results make a step.
    pub rule: Rule,
    /// How many results make a step.
    pub k: usize,
    /// Pieces of an epoch that are trained for themselves; for the rule of this name.
    pub shards: Option<Shards>,
    /// How many times the fastest one's seconds a shard may take until another worker gets it too.
    pub straggler_factor: Option<f64>,
    /// The most workers on one step.
    pub max_contributors: Option<usize>,
    /// What workers lose on each task, where stragglers are emulated.
    pub delay: Option<Delay>,
}

/// How a shard is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shards {
    /// Shards of an epoch.
    pub count: usize,
    /// Samples of a local step.
    pub batch: usize,
    /// Passes over a shard.
    pub epochs: usize,
}

impl Shards {
    /// Whether a shard is one local step. Its contribution is a gradient then, which the server's rule follows; that of
    /// several steps is the difference that they made to the weights.
    pub fn is_one_step(&self, samples: usize) -> bool {
        self.epochs == 1 && samples.div_ceil(self.count.max(1)) <= self.batch
    }
}

impl Grid {
    /// The rule and its numbers for a training part of so many samples.
    pub fn terms(&self, samples: usize, hyper: &Hyper) -> Terms {
        Terms {
            rule: self.rule,
            k: self.k,
            chunks: self.chunks(samples, hyper).count(),
            fixed: hyper.micro_chunk.is_some(),
            max_contributors: self.max_contributors,
            straggler_factor: self.straggler_factor.filter(|factor| *factor > 0.0),
        }
    }

    /// Checks the grid for so many samples and workers.
    ///
    /// # Errors
    /// The first term that cannot work, with its cure.
    pub fn check(&self, samples: usize, hyper: &Hyper, workers: usize) -> Result<(), TermsError> {
        self.terms(samples, hyper).check(workers)
    }

    /// Whether contributions are differences of weights.
    pub(super) fn sends_deltas(&self, samples: usize) -> bool {
        self.shards.is_some_and(|shards| !shards.is_one_step(samples))
    }

    pub(super) fn chunks(&self, samples: usize, hyper: &Hyper) -> Chunks {
        match self.shards {
            Some(shards) if !shards.is_one_step(samples) => Chunks::of_epoch(samples, shards.count, self.k),
            _ => Chunks::of_batches(samples, hyper.global_batch.min(samples.max(1)), self.k, hyper.micro_chunk),
        }
    }
}
