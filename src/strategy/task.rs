//! What is trained: equal on all ranks.

use crate::data::Samples;
use crate::nn::{Init, Network};
use crate::optim::{Rule, Schedule};

use super::{Grid, Local, Pipeline, Snapshot, Split};
use crate::optim::metropolis::Metropolis;

/// The numbers of a training.
#[derive(Debug, Clone, PartialEq)]
pub struct Hyper {
    /// Passes over the training part.
    pub epochs: u64,
    /// Samples whose gradients make one step.
    pub global_batch: usize,
    /// The update rule, where gradients are followed.
    pub rule: Rule,
    /// Proposals instead of gradients.
    pub sampler: Option<Metropolis>,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// The learning rate over training.
    pub schedule: Schedule,
    /// The seed of every draw.
    pub seed: u64,
    /// The initial weights.
    pub init: Init,
    /// Samples in one micro-chunk when the bits must not depend on the number of ranks.
    pub micro_chunk: Option<usize>,
    /// How long every rank goes on by itself, where weights are averaged instead of gradients.
    pub local: Option<Local>,
}

/// A network, its data and its numbers.
pub struct Task<'a> {
    /// The network.
    pub network: &'a Network,
    /// The samples that are trained on.
    pub train: &'a dyn Samples,
    /// The samples that are measured after every epoch; may be empty.
    pub validation: &'a dyn Samples,
    /// The samples that are measured after the last epoch; may be empty.
    pub test: &'a dyn Samples,
    /// The numbers.
    pub hyper: Hyper,
    /// How the stages work together, for [`super::Strategy::Pipeline`].
    pub pipeline: Option<&'a Pipeline>,
    /// How server and workers get together where they are not in lock-step, for [`super::Strategy::SendRecv`].
    pub grid: Option<&'a Grid>,
    /// Who holds which weights, for [`super::Strategy::Split`].
    pub split: Option<&'a Split>,
    /// Where to go on from; absent for a new training.
    pub resume: Option<&'a Snapshot>,
}
