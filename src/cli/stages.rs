//! From a checked configuration to the stages of a pipeline: how many, cut where, on which machines.

use super::failure::{DATA, Failure};
use super::prepare::Prepared;
use super::task;
use crate::config::{Config, ConfigError, ExitRule, Learn, Origin, Origins};
use crate::device::{Devices, Pass, Work};
use crate::nn::{Network, with_exits};
use crate::plan::pipeline::{ScheduleKind, balance};
use crate::report::text::count;
use crate::strategy::{self, Exits, Pipeline, Sureness};
use crate::units::{Bytes, Flops, Seconds};

/// Keys that mean something in a pipeline alone.
pub const KEYS: &[&str] = &[
    "learn",
    "stages",
    "cuts",
    "pipelineSchedule",
    "microBatches",
    "window",
    "preempt",
    "replay",
    "exitRule",
    "exitThreshold",
];

/// A contradiction that the key's giver is told about.
pub fn refuse(origins: &Origins, key: &str, what: impl Into<String>, cure: impl Into<String>) -> Failure {
    ConfigError::Contradiction { origin: origins.of(key).clone(), what: what.into(), cure: cure.into() }.into()
}

/// Refuses keys of pipelines in another mode.
///
/// # Errors
/// The first such key that was given.
pub fn only_in_pipelines(config: &Config, origins: &Origins, mode: &str) -> Result<(), Failure> {
    match KEYS.iter().find(|key| *origins.of(key) != Origin::Preset && !config.is_default(key)) {
        None => Ok(()),
        Some(key) => {
            Err(refuse(origins, key, format!("{key} is for pipelines, and the mode is {mode}"), "add --mode pipeline"))
        }
    }
}

/// What `eval` has to be given to let samples leave as the run did.
pub fn eval_options(config: &Config) -> String {
    let rule = match config.exit_rule {
        ExitRule::Confidence => String::new(),
        rule => format!(" --exit-rule {rule}"),
    };
    let given = config.exit_threshold.clone();
    given.map_or(String::new(), |thresholds| format!(" --exit-threshold {}{rule}", String::from(thresholds)))
}

/// Stages and replicas of so many ranks.
///
/// # Errors
/// Ranks that do not make up the stages, and settings that do not go with the way of learning.
pub fn grid(config: &Config, origins: &Origins, ranks: usize) -> Result<(usize, usize), Failure> {
    let of_cuts = config.cuts.as_ref().map(|cuts| cuts.0.len() + 1);
    let given = config.stages.map(std::num::NonZeroUsize::get);
    if let (Some(stages), Some(of_cuts)) = (given, of_cuts)
        && stages != of_cuts
    {
        let what = format!("stages = {stages}, but the cuts make {of_cuts} stages");
        return Err(refuse(origins, "stages", what, "leave one of the two out"));
    }
    let key = if given.is_some() { "stages" } else { "cuts" };
    let stages = given.or(of_cuts).unwrap_or(ranks);
    if ranks < stages {
        let what = format!("{stages} stages, but only {}", count(ranks, "rank"));
        return Err(refuse(origins, key, what, format!("start {stages} ranks, or ask for fewer stages")));
    }
    match config.learn {
        Learn::Local if ranks != stages => {
            let what = format!("{stages} stages on {ranks} ranks: a stage that learns by itself has no replicas");
            Err(refuse(origins, key, what, format!("start {stages} ranks, or add --learn backprop")))
        }
        Learn::Backprop if !ranks.is_multiple_of(stages) => {
            let what = format!("{ranks} ranks are no whole number of chains of {stages} stages");
            let (below, above) = (ranks / stages * stages, (ranks / stages + 1) * stages);
            Err(refuse(origins, key, what, format!("start {below} or {above} ranks")))
        }
        _ => {
            check_rules(config, origins)?;
            Ok((stages, ranks / stages))
        }
    }
}

/// Settings that go with one way of learning alone.
fn check_rules(config: &Config, origins: &Origins) -> Result<(), Failure> {
    let given = |key: &str| *origins.of(key) != Origin::Preset && !config.is_default(key);
    let sampling = config.optimizer == crate::config::OptimizerKind::Mcmc;
    if config.folds > 0 {
        return Err(refuse(
            origins,
            "folds",
            "folds in a pipeline",
            "cross-validate with --single or --mode allreduce",
        ));
    }
    if config.learn == Learn::Local {
        if let Some(key) = ["pipelineSchedule", "microBatches"].into_iter().find(|key| given(key)) {
            return Err(refuse(origins, key, format!("{key} is for gradients that flow back"), "add --learn backprop"));
        }
        if config.deterministic {
            let what = "deterministic with local learning, where the same stages give the same bits anyway";
            return Err(refuse(origins, "deterministic", what, "leave it out"));
        }
        if config.replay == 1 {
            let what = "replay = 1 keeps the newest batch only, and an older one is learned again";
            return Err(refuse(origins, "replay", what, "write 2 or more"));
        }
        if config.preempt && !sampling {
            let what = "preempt, but there are no proposals to leave out";
            return Err(refuse(origins, "preempt", what, "add --optimizer mcmc, or leave it out"));
        }
        return Ok(());
    }
    if sampling {
        let what = "optimizer = mcmc follows no gradients, and learn = backprop sends them";
        return Err(refuse(origins, "optimizer", what, "leave --learn backprop out"));
    }
    if let Some(key) = ["window", "preempt", "replay"].into_iter().find(|key| given(key)) {
        return Err(refuse(origins, key, format!("{key} is for local learning"), "leave --learn backprop out"));
    }
    if config.deterministic && given("microBatches") {
        let what = "microBatches with deterministic, whose micro-batches are its micro-chunks";
        return Err(refuse(origins, "microBatches", what, "give --micro-chunk instead"));
    }
    Ok(())
}

/// Cuts a network for so many stages; with exit heads where each stage learns for itself.
///
/// # Errors
/// Stages, cuts, micro-batches or thresholds that do not fit the network, and a stage that does not fit its machine.
pub fn lay_out(
    config: &Config,
    origins: &Origins,
    network: Network,
    (stages, replicas): (usize, usize),
    devices: Option<&Devices>,
    samples: usize,
) -> Result<(Network, Pipeline), Failure> {
    let blocks = network.cuts().len() + 1;
    if stages > blocks {
        let what = format!("{stages} stages, but {} has {}", config.model, count(blocks, "trunk block"));
        let key = if config.cuts.is_some() { "cuts" } else { "stages" };
        if config.cuts.is_none() && config.stages.is_none() {
            let text = format!("{stages} ranks make {what}; start {blocks} ranks or fewer, or cut a deeper network");
            return Err(Failure::new(2, text));
        }
        return Err(refuse(origins, key, what, format!("start {blocks} ranks or fewer, or cut a deeper network")));
    }
    check_tables(&config.model.to_string(), devices, blocks)?;
    let cuts = cuts(config, origins, &network, stages, replicas, devices)?;
    let network = match config.learn {
        Learn::Backprop => network,
        Learn::Local => {
            let places = network.cuts();
            let nodes: Vec<usize> = cuts.iter().map(|blocks| places[blocks - 1]).collect();
            Network::build(with_exits(&network, &nodes))?
        }
    };
    let exits = exits(config, origins, &network, stages)?;
    let learn = match config.learn {
        Learn::Local => strategy::Learn::Local { preempt: config.preempt, replay: config.replay },
        Learn::Backprop => strategy::Learn::Backprop {
            schedule: ScheduleKind::from_name(config.pipeline_schedule.word()).expect("the plans have these words"),
            micro_batches: micro_batches(config, origins, stages, replicas, samples)?,
        },
    };
    let pipeline = Pipeline { cuts, learn, window: config.window.get(), exits };
    task::check_chains(config, origins, &pipeline.networks(&network))?;
    Ok((network, pipeline))
}

/// A measured table has to be one of this network.
///
/// # Errors
/// The first that has more or fewer blocks; exit code 4.
pub fn check_tables(model: &str, devices: Option<&Devices>, blocks: usize) -> Result<(), Failure> {
    let profiles = devices.into_iter().flat_map(|devices| devices.profiles());
    let wrong = profiles.filter_map(|profile| {
        let table = profile.measured.get(model).filter(|table| table.blocks() != blocks)?;
        Some((profile, table.blocks()))
    });
    match wrong.into_iter().next() {
        None => Ok(()),
        Some((profile, measured)) => {
            let text = format!(
                "{}: {} was measured on {measured} blocks of {model}, which has {blocks}; give as many times as blocks",
                devices.map_or("", Devices::name),
                profile.name
            );
            Err(Failure::new(DATA, text))
        }
    }
}

/// The cuts that were given, or those that make the slowest stage and link fastest.
fn cuts(
    config: &Config,
    origins: &Origins,
    network: &Network,
    stages: usize,
    replicas: usize,
    devices: Option<&Devices>,
) -> Result<Vec<usize>, Failure> {
    let within = network.cuts_within_steps();
    let blocks = network.cuts().len() + 1;
    if let Some(cuts) = &config.cuts {
        let last = *cuts.0.last().expect("a list has one part or more");
        if last >= blocks {
            let what = format!("a cut behind block {last}, but {} has {blocks} trunk blocks", config.model);
            return Err(refuse(origins, "cuts", what, format!("write numbers from 1 to {}", blocks - 1)));
        }
        if let Some(cut) = cuts.0.iter().find(|cut| config.deterministic && within.contains(&(**cut - 1))) {
            let what = format!(
                "a cut behind block {cut} parts a convolution from its pooling, and deterministic needs them summed in one order"
            );
            return Err(refuse(origins, "cuts", what, format!("cut behind block {}", cut + 1)));
        }
        return Ok(cuts.0.clone());
    }
    let prices = Prices { network, devices, replicas, rows: config.batch_size.get(), model: config.model.to_string() };
    let (costs, transfer) = (prices.costs(stages), prices.transfers(stages));
    let whole: Vec<bool> = (0..blocks - 1).map(|cut| !within.contains(&cut)).collect();
    let anywhere = vec![true; blocks - 1];
    let found = balance(&costs, &transfer, &whole);
    match found.or_else(|| balance(&costs, &transfer, &anywhere).filter(|_| !config.deterministic)) {
        Some(cuts) => Ok(cuts),
        None => {
            let what = format!(
                "{stages} stages, but {} has only {} places to cut that leave convolutions their poolings",
                config.model,
                whole.iter().filter(|may| **may).count()
            );
            Err(refuse(origins, "deterministic", what, "start fewer ranks, or leave --deterministic out"))
        }
    }
}

/// What blocks and links cost: seconds on emulated machines, else arithmetic.
struct Prices<'a> {
    network: &'a Network,
    devices: Option<&'a Devices>,
    replicas: usize,
    rows: usize,
    model: String,
}

impl Prices<'_> {
    fn costs(&self, stages: usize) -> Vec<Vec<f64>> {
        let cuts = self.network.cuts();
        let blocks = cuts.len() + 1;
        let nodes = |block: usize| {
            let start = if block == 0 { 0 } else { cuts[block - 1] };
            start..cuts.get(block).copied().unwrap_or(self.network.nodes().len())
        };
        let cost = |stage: usize, block: usize| {
            let cost: crate::nn::Cost = self.network.nodes()[nodes(block)].iter().map(|node| node.cost).sum();
            // The first layer's input is data: nobody asks for its gradient.
            let input = if block == 0 { 0 } else { cost.grad_input.0 };
            let work = |flops: u64, pass| Work {
                flops: Flops(flops * self.rows as u64),
                blocks: block..block + 1,
                rows: self.rows,
                pass,
            };
            let works = [work(cost.forward.0, Pass::Forward), work(input + cost.grad_params.0, Pass::Backward)];
            match self.devices {
                Some(devices) => {
                    let profile = devices.profile(stage * self.replicas);
                    works.iter().map(|work| profile.price(&self.model, work).0).sum()
                }
                None => works.iter().map(|work| work.flops.0 as f64).sum::<f64>(),
            }
        };
        (0..stages).map(|stage| (0..blocks).map(|block| cost(stage, block)).collect()).collect()
    }

    fn transfers(&self, stages: usize) -> Vec<Vec<f64>> {
        let first = self.network.num_inputs();
        let crossing = |node: usize| {
            let reads = self.network.nodes()[node..].iter().flat_map(|node| &node.inputs);
            let value = reads.copied().filter(|value| *value < first + node).max().unwrap_or(0);
            self.network.shapes()[value].elements()
        };
        let seconds = |stage: usize, node: usize| {
            let Some(devices) = self.devices else { return 0.0 };
            let link = devices.link(stage * self.replicas, (stage + 1) * self.replicas);
            let bytes = Bytes((4 * self.rows * (crossing(node) + 1)) as u64);
            link.bandwidth.transmission_from(Seconds(0.0), bytes).0
        };
        let of_stage = |stage: usize| self.network.cuts().iter().map(|node| seconds(stage, *node)).collect();
        (0..stages - 1).map(of_stage).collect()
    }
}

/// The exit rule, where thresholds are given.
fn exits(config: &Config, origins: &Origins, network: &Network, stages: usize) -> Result<Option<Exits>, Failure> {
    let Some(thresholds) = &config.exit_threshold else { return Ok(None) };
    let thresholds = thresholds.all().to_vec();
    if network.outputs().len() < stages {
        let what = "exitThreshold, but not every stage has an exit head";
        return Err(refuse(origins, "exitThreshold", what, "leave --learn backprop out, which makes them"));
    }
    if thresholds.len() != 1 && thresholds.len() + 1 != stages {
        let what = format!("{} exit thresholds for {}", thresholds.len(), count(stages, "stage"));
        return Err(refuse(
            origins,
            "exitThreshold",
            what,
            format!("write one, or {}: the last stage needs none", stages.max(2) - 1),
        ));
    }
    let sureness = match config.exit_rule {
        crate::config::ExitRule::Confidence => Sureness::Confidence,
        crate::config::ExitRule::Entropy => Sureness::Entropy,
    };
    Ok(Some(Exits { sureness, thresholds }))
}

/// How many micro-batches a chain's part of a step is cut into.
fn micro_batches(
    config: &Config,
    origins: &Origins,
    stages: usize,
    replicas: usize,
    samples: usize,
) -> Result<usize, Failure> {
    let batch = match config.global_batch {
        crate::config::GlobalBatch::Fixed(batch) => batch / replicas,
        crate::config::GlobalBatch::Full => samples / replicas,
        crate::config::GlobalBatch::PerRank => config.batch_size.get(),
    };
    let Some(given) = config.micro_batches else {
        // As many as keep the stages busy and divide the batch.
        let most = (4 * stages).min(batch.max(1));
        return Ok((1..=most).rev().find(|m| batch.is_multiple_of(*m)).unwrap_or(1));
    };
    if !batch.is_multiple_of(given.get()) {
        let what = format!("microBatches = {given} does not divide a chain's batch of {batch}");
        let near = (1..=given.get().min(batch)).rev().find(|m| batch.is_multiple_of(*m)).unwrap_or(1);
        return Err(refuse(origins, "microBatches", what, format!("write {near}, or another batch")));
    }
    Ok(given.get())
}

/// Refuses a stage that does not fit the memory of its machine.
///
/// # Errors
/// The first such stage, with what it needs and what there is.
pub fn check_memory(
    network: &Network,
    pipeline: &Pipeline,
    hyper: &strategy::Hyper,
    replicas: usize,
    devices: &Devices,
) -> Result<(), Failure> {
    for (stage, layers) in pipeline.layers(network).iter().enumerate() {
        let needed = pipeline.memory(network, hyper, replicas, stage);
        for rank in stage * replicas..(stage + 1) * replicas {
            let profile = devices.profile(rank);
            if needed > profile.memory.0 {
                let text = format!(
                    "{}: stage {stage} ({layers}) needs {} and {} has {}; cut elsewhere with --cuts, or lower --batch",
                    devices.name(),
                    size(needed),
                    profile.name,
                    size(profile.memory.0)
                );
                return Err(Failure::new(DATA, text));
            }
        }
    }
    Ok(())
}

/// Bytes of memory in binary units.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..=0xf_ffff => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64),
    }
}

/// What each rank of a pipeline is.
pub fn titles(prepared: &Prepared, ranks: usize) -> Vec<String> {
    let Some(pipeline) = &prepared.pipeline else { return Vec::new() };
    let (layers, replicas) = (pipeline.layers(&prepared.network), ranks / pipeline.stages());
    (0..ranks).map(|rank| rank / replicas).map(|stage| format!("stage {stage} ({})", layers[stage])).collect()
}
