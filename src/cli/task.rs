//! From a checked configuration to what a strategy trains.

use crate::config::{Activation, Config, GlobalBatch, LossKind, Mode, OptimizerKind, RateScaling, Schedule};
use crate::data::Dataset;
use crate::data::standardize::Standardizer;
use crate::nn::zoo::{Hidden, MlpOptions, mlp};
use crate::nn::{Init, Loss, Spec};
use crate::optim::{self, Rule};
use crate::strategy::{Hyper, Strategy};

/// The strategy of a mode; without one, a rank alone trains by itself and several reduce over all.
pub fn strategy(mode: Option<Mode>, ranks: usize) -> Strategy {
    match mode {
        Some(Mode::Single) => Strategy::Single,
        Some(Mode::SendRecv) => Strategy::SendRecv,
        Some(Mode::AllReduce) => Strategy::AllReduce,
        None if ranks > 1 => Strategy::AllReduce,
        None => Strategy::Single,
    }
}

/// The mode of a strategy, as the resolved configuration holds it.
pub fn mode(strategy: Strategy) -> Mode {
    match strategy {
        Strategy::Single => Mode::Single,
        Strategy::SendRecv => Mode::SendRecv,
        Strategy::AllReduce => Mode::AllReduce,
    }
}

/// The network of a configuration for data of `dims` numbers and `classes` classes.
pub fn network(config: &Config, dims: usize, classes: usize) -> Spec {
    let [inputs, first, second, outputs] = config.layer_widths(dims, classes);
    let options = MlpOptions {
        hidden: match config.activation {
            Activation::Sigmoid => Hidden::Sigmoid,
            Activation::Tanh => Hidden::Tanh,
            Activation::Relu => Hidden::Relu,
        },
        loss: match config.loss {
            LossKind::CrossEntropy => Loss::CrossEntropy,
            LossKind::L2 => Loss::L2,
        },
        standardize: config.standardize_hidden,
    };
    Spec { name: config.model.word().into(), ..mlp(inputs, &[first, second], outputs, &options) }
}

/// The numbers of a configuration for `samples` training samples on `trainers` ranks that train.
///
/// The rate grows with the global batch as configured, and with nothing else: the same global batch
/// gives the same steps at any rank count.
pub fn hyper(config: &Config, samples: usize, trainers: usize) -> Hyper {
    let global_batch = match config.global_batch {
        GlobalBatch::PerRank => config.batch_size.get().saturating_mul(trainers),
        GlobalBatch::Fixed(batch) => batch,
        GlobalBatch::Full => samples,
    }
    .clamp(1, samples.max(1));
    let ratio = global_batch as f64 / config.rate_batch.get() as f64;
    let scale = match config.rate_scaling {
        RateScaling::None => 1.0,
        RateScaling::Sqrt => ratio.sqrt(),
        RateScaling::Linear => ratio,
    };
    Hyper {
        epochs: config.epochs.get(),
        global_batch,
        rule: match config.optimizer {
            OptimizerKind::Sgd => Rule::Sgd,
            OptimizerKind::Momentum => Rule::Momentum(config.momentum),
            OptimizerKind::Adam => Rule::Adam,
        },
        weight_decay: config.weight_decay,
        schedule: optim::Schedule {
            rate: config.learning_rate * scale,
            warmup: config.warmup_epochs as f64,
            epochs: config.epochs.get() as f64,
            shape: match config.schedule {
                Schedule::Constant => optim::Shape::Constant,
                Schedule::Step => {
                    optim::Shape::Step { epochs: config.step_epochs.get() as f64, factor: config.step_factor }
                }
                Schedule::Cosine => optim::Shape::Cosine,
            },
        },
        seed: config.seed,
        init: match config.init {
            crate::config::Init::Glorot => Init::Glorot,
            crate::config::Init::He => Init::He,
            crate::config::Init::Uniform => Init::Uniform,
        },
        micro_chunk: config.deterministic.then_some(config.micro_chunk.get()),
    }
}

/// The three parts of a data set, standardized with the training part's moments.
pub struct Parts {
    /// What trains.
    pub train: Dataset,
    /// What is measured after every epoch.
    pub validation: Dataset,
    /// What is measured at the end.
    pub test: Dataset,
    /// The moments of the training part.
    pub standardizer: Standardizer,
}

impl Parts {
    /// Cuts `data` into the given rows and standardizes them.
    pub fn cut(data: &Dataset, train: &[usize], validation: &[usize], test: &[usize]) -> Self {
        let standardizer = Standardizer::fit(&data.features, train);
        let part = |rows: &[usize]| {
            let mut part = data.select(rows);
            standardizer.apply(&mut part.features);
            part
        };
        Self { train: part(train), validation: part(validation), test: part(test), standardizer }
    }
}
