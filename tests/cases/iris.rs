//! The data, the network and the numbers of small trainings.

use goai::data::split::{Fractions, stratified};
use goai::data::standardize::Standardizer;
use goai::data::{Dataset, source};
use goai::nn::{Init, Network, zoo};
use goai::optim::{Rule, Schedule, Shape};
use goai::strategy::{Hyper, Task};
use std::path::Path;

/// Iris, split and standardised, and the network 4-30-20-3.
pub struct Iris {
    pub network: Network,
    pub train: Dataset,
    pub validation: Dataset,
    pub test: Dataset,
}

impl Iris {
    pub fn load() -> Self {
        let mut data = source::load("iris", Path::new("/nonexistent"), None).unwrap();
        let split = stratified(&data.labels, data.num_classes(), Fractions::default(), 1);
        Standardizer::fit(&data.features, &split.train).apply(&mut data.features);
        Self {
            network: Network::build(zoo::mlp(4, &[30, 20], 3, &zoo::MlpOptions::default())).unwrap(),
            train: data.select(&split.train),
            validation: data.select(&split.validation),
            test: data.select(&split.test),
        }
    }

    pub fn task(&self, hyper: Hyper) -> Task<'_> {
        let Self { network, train, validation, test } = self;
        Task { network, train, validation, test, hyper, pipeline: None, grid: None, split: None, resume: None }
    }
}

/// The numbers of a training whose rate stays.
pub fn hyper(rule: Rule, rate: f64, global_batch: usize, epochs: u64) -> Hyper {
    Hyper {
        epochs,
        global_batch,
        rule,
        sampler: None,
        weight_decay: 0.0,
        schedule: Schedule { rate, warmup: 0.0, epochs: epochs as f64, shape: Shape::Constant },
        seed: 7,
        init: Init::Glorot,
        micro_chunk: None,
        local: None,
    }
}

/// A rule, and a rate that suits it.
pub const RULES: [(Rule, f64); 3] = [(Rule::Sgd, 0.1), (Rule::Momentum(0.9), 0.05), (Rule::Adam, 0.01)];
