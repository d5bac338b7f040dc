//! From a checked configuration to what a strategy trains.

use super::failure::{DATA, Failure};
use super::stages::refuse;
use super::sync::shard_batch;
use crate::config::{
    Activation, AugmentKind, Config, GlobalBatch, LossKind, Mode, Model, OptimizerKind, Origin, Origins, RateScaling,
    Schedule, Sync,
};
use crate::data::pictures::{Augment, PictureView, PixelScale};
use crate::data::split::{Fractions, Split, stratified};
use crate::data::standardize::Standardizer;
use crate::data::{AnyData, Samples};
use crate::nn::model_text::{self, ModelTextError};
use crate::nn::zoo::{self, Hidden, MlpOptions, mlp};
use crate::nn::{Init, Loss, Network, ParameterKind, Shape, Spec};
use crate::optim::metropolis::{Group, Metropolis, Neighbourhood, Prior, Proposer, Sampler};
use crate::optim::{self, Rule};
use crate::run::error::show;
use crate::strategy::{Hyper, Strategy};
use std::sync::Arc;

/// The strategy of a mode; without one, and until a plan has chosen one, a rank alone trains by itself and several reduce
/// over all.
pub fn strategy(mode: Option<Mode>, ranks: usize) -> Strategy {
    match mode {
        Some(Mode::Single) => Strategy::Single,
        Some(Mode::SendRecv) => Strategy::SendRecv,
        Some(Mode::AllReduce) => Strategy::AllReduce,
        Some(Mode::Pipeline) => Strategy::Pipeline,
        Some(Mode::Split) => Strategy::Split,
        // Mode offload trains nothing and comes to no strategy: `Settled::of` sees to that.
        None | Some(Mode::Auto | Mode::Offload) if ranks > 1 => Strategy::AllReduce,
        None | Some(Mode::Auto | Mode::Offload) => Strategy::Single,
    }
}

/// The mode of a strategy, as the resolved configuration holds it.
pub fn mode(strategy: Strategy) -> Mode {
    match strategy {
        Strategy::Single => Mode::Single,
        Strategy::SendRecv => Mode::SendRecv,
        Strategy::AllReduce => Mode::AllReduce,
        Strategy::Pipeline => Mode::Pipeline,
        Strategy::Split => Mode::Split,
    }
}

/// Refuses a sampler where it cannot run.
///
/// # Errors
/// Who asked for it, and where it runs.
pub fn check_sampler(config: &Config, origins: &Origins, strategy: Strategy) -> Result<(), Failure> {
    if config.optimizer == OptimizerKind::Mcmc && strategy == Strategy::SendRecv {
        let what = "optimizer = mcmc in mode sendrecv, which has gradients to send";
        return Err(refuse(origins, "optimizer", what, "write --mode allreduce or --mode pipeline"));
    }
    if config.optimizer == OptimizerKind::Mcmc && config.deterministic {
        let what = "deterministic with optimizer = mcmc, whose losses are summed rank by rank";
        return Err(refuse(origins, "deterministic", what, "leave it out: the same ranks give the same bits"));
    }
    Ok(())
}

/// Refuses sampler settings that make no sampler of these networks: a whole one, or the stages of one.
///
/// # Errors
/// The first wrong setting, or a network without a layer to sample.
pub fn check_chains<'n>(
    config: &Config,
    origins: &Origins,
    networks: impl IntoIterator<Item = &'n Network>,
) -> Result<(), Failure> {
    if config.optimizer != OptimizerKind::Mcmc {
        return Ok(());
    }
    for network in networks {
        Sampler::new(&sampler(config), &network.parameters(), config.seed)
            .map_err(|error| Failure::new(origins.of("optimizer").exit_code(), error))?;
    }
    Ok(())
}

/// The network of a configuration for these data; `text` is that of the model's file.
///
/// # Errors
/// A network that cannot read the data or is too large, or the first mistake in its file; exit code 4.
pub fn network(config: &Config, origins: &Origins, data: &AnyData, text: Option<&str>) -> Result<Network, Failure> {
    let classes = data.num_classes();
    let input = data.shape().map_or(Shape::vector(data.dims()), |[c, h, w]| Shape::image(c, h, w));
    let spec = match &config.model {
        model if model.is_mlp() => {
            let mlp = dense(config, data.dims(), classes);
            Spec { name: model.to_string(), input, ..mlp }
        }
        Model::Named(name) => {
            let mut spec = zoo::by_name(name, &input, classes)?;
            spec.outputs.iter_mut().for_each(|output| output.loss = loss(config));
            spec
        }
        Model::File(path) => {
            let bad = |error: ModelTextError| {
                let ModelTextError { line, what, cure, .. } = error;
                Failure::new(DATA, format!("{}:{line}: {what}; {cure}", show(path)))
            };
            let spec = model_text::parse(text.unwrap_or_default(), &input, classes).map_err(bad)?;
            let origin = origins.of("loss");
            if *origin != Origin::Preset && spec.outputs.iter().any(|output| output.loss != loss(config)) {
                let text = format!(
                    "{origin}: loss = {}, but {} says another one; leave the key out, or change the file",
                    config.loss,
                    show(path)
                );
                return Err(Failure::new(origin.exit_code(), text));
            }
            spec
        }
    };
    let network = Network::build(spec)?;
    let read = &network.shapes()[0];
    if let (Some(read), Some(shape)) = (read.picture(), data.shape())
        && read != shape
    {
        let ([a, b, c], [d, e, f]) = (read, shape);
        let text = format!(
            "{}: the network reads pictures of {a}x{b}x{c}, and {} has {d}x{e}x{f}; leave its input out",
            config.model, config.dataset
        );
        return Err(Failure::new(DATA, text));
    }
    if network.theta_len() > MOST_PARAMETERS {
        let text = format!(
            "{} has {} parameters on pictures of this size, above {MOST_PARAMETERS}; make them smaller with --image-size",
            config.model,
            network.theta_len()
        );
        return Err(Failure::new(DATA, text));
    }
    Ok(network)
}

/// Most parameters of a network: a packed gradient must be countable by MPI's 32-bit integers.
const MOST_PARAMETERS: usize = i32::MAX as usize / 2;

fn loss(config: &Config) -> Loss {
    match config.loss {
        LossKind::CrossEntropy => Loss::CrossEntropy,
        LossKind::L2 => Loss::L2,
    }
}

/// The dense network whose widths the configuration gives.
fn dense(config: &Config, dims: usize, classes: usize) -> Spec {
    let [inputs, first, second, outputs] = config.layer_widths(dims, classes);
    let hidden = match config.activation {
        Activation::Sigmoid => Hidden::Sigmoid,
        Activation::Tanh => Hidden::Tanh,
        Activation::Relu => Hidden::Relu,
    };
    let options = MlpOptions { hidden, loss: loss(config), standardize: config.standardize_hidden };
    mlp(inputs, &[first, second], outputs, &options)
}

/// How pictures of this shape are varied while they train.
pub fn augment(config: &Config, shape: Option<[usize; 3]>) -> Option<Augment> {
    let [_, height, width] = shape?;
    let crop = config.crop_margin.map_or((height.min(width) / 8).max(1), usize::from);
    match config.augment {
        AugmentKind::None => None,
        AugmentKind::Flip => Some(Augment { crop: 0, flip: true }),
        AugmentKind::Crop => Some(Augment { crop, flip: false }),
        AugmentKind::CropFlip => Some(Augment { crop, flip: true }),
    }
}

/// Which samples train, validate and test.
pub fn split(data: &AnyData, fractions: Option<Fractions>, seed: u64) -> Split {
    match data {
        AnyData::Table(table) => stratified(&table.labels, table.num_classes(), fractions.unwrap_or_default(), seed),
        AnyData::Pictures(pictures) => {
            let rows = pictures.split(fractions, seed);
            let wide = |rows: Vec<u32>| rows.into_iter().map(|row| row as usize).collect();
            Split { train: wide(rows.train), validation: wide(rows.validation), test: wide(rows.test) }
        }
    }
}

/// The numbers of a configuration for `samples` training samples on `trainers` ranks that train.
///
/// The rate grows with the global batch as configured, and with nothing else: the same global batch
/// gives the same steps at any rank count. In mode split each device follows its own batch, and the rate that.
pub fn hyper(config: &Config, samples: usize, trainers: usize) -> Hyper {
    let global_batch = match config.global_batch {
        GlobalBatch::PerRank if config.sync == Sync::Shards => shard_batch(config, samples, trainers),
        GlobalBatch::PerRank => config.batch_size.get().saturating_mul(trainers),
        GlobalBatch::Fixed(batch) => batch,
        GlobalBatch::Full => samples,
    }
    .clamp(1, samples.max(1));
    let followed = match config.mode {
        Some(Mode::Split) => global_batch as f64 / trainers.max(1) as f64,
        _ => global_batch as f64,
    };
    let ratio = followed / config.rate_batch.get() as f64;
    let scale = match config.rate_scaling {
        RateScaling::None => 1.0,
        RateScaling::Sqrt => ratio.sqrt(),
        RateScaling::Linear => ratio,
    };
    Hyper {
        epochs: config.epochs.get(),
        global_batch,
        rule: match config.optimizer {
            // A sampler has no gradient and so no rule; plain descent remembers nothing.
            OptimizerKind::Sgd | OptimizerKind::Mcmc => Rule::Sgd,
            OptimizerKind::Momentum => Rule::Momentum(config.momentum),
            OptimizerKind::Adam => Rule::Adam,
        },
        sampler: (config.optimizer == OptimizerKind::Mcmc).then(|| sampler(config)),
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
        local: super::local::local(config),
    }
}

/// The sampler of a configuration.
fn sampler(config: &Config) -> Metropolis {
    let of = |numbers: &crate::config::Numbers, i: usize| numbers.all()[i.min(numbers.all().len() - 1)];
    let group = |i: usize, kind, probability, neighbourhood| Group {
        kind,
        probability,
        lambda: of(&config.mcmc_lambda, i),
        proposer: Proposer::Student(of(&config.proposal_scale, i)),
        prior: Prior::Student(of(&config.prior_scale, i)),
        neighbourhood,
    };
    let convolution = config.neighbourhood.convolution.map_or(Neighbourhood::Filter, Neighbourhood::Elements);
    let dense = Neighbourhood::Elements(config.neighbourhood.dense);
    Metropolis {
        groups: vec![
            group(0, ParameterKind::Conv, config.layer_probability, convolution),
            group(1, ParameterKind::Dense, 1.0 - config.layer_probability, dense),
        ],
        iterations: config.proposals.get() as u64,
    }
}

/// The three parts of a data set, standardized with the training part's moments.
pub struct Parts {
    /// What trains.
    pub train: Box<dyn Samples>,
    /// What is measured after every epoch.
    pub validation: Box<dyn Samples>,
    /// What is measured at the end.
    pub test: Box<dyn Samples>,
    /// The moments of the training part.
    pub scale: Scale,
}

/// The moments of the training part.
#[derive(Debug, Clone, PartialEq)]
pub enum Scale {
    /// Of each column of a table.
    Columns(Standardizer),
    /// Of each channel of pictures.
    Pixels(PixelScale),
}

impl Parts {
    /// Cuts `data` into the given rows and standardizes them; training pictures are varied.
    pub fn cut(data: &AnyData, split: &Split, augment: Option<Augment>) -> Self {
        let Split { train, validation, test } = split;
        match data {
            AnyData::Table(data) => {
                let standardizer = Standardizer::fit(&data.features, train);
                let part = |rows: &[usize]| {
                    let mut part = data.select(rows);
                    standardizer.apply(&mut part.features);
                    Box::new(part) as Box<dyn Samples>
                };
                let (train, validation, test) = (part(train), part(validation), part(test));
                Self { train, validation, test, scale: Scale::Columns(standardizer) }
            }
            AnyData::Pictures(data) => {
                let narrow = |rows: &[usize]| rows.iter().map(|&row| row as u32).collect::<Vec<u32>>();
                let scale = PixelScale::fit(data, &narrow(train));
                // The pixels are shared, and no copy.
                let pictures = Arc::new(data.clone());
                let part = |rows: &[usize], augment| {
                    let pictures = Arc::clone(&pictures);
                    Box::new(PictureView { pictures, rows: narrow(rows), scale: scale.clone(), augment })
                        as Box<dyn Samples>
                };
                let (train, validation, test) = (part(train, augment), part(validation, None), part(test, None));
                Self { train, validation, test, scale: Scale::Pixels(scale) }
            }
        }
    }
}
