//! From a checked configuration to mode split: who holds what, who trains on what, what a good cut is.

mod keys;
mod memory;
mod shards;

pub use keys::{KEYS, check};

use super::failure::Failure;
use super::stages::{check_tables, refuse};
use super::task;
use crate::config::{self, Config, GlobalBatch, Origin, Origins, SplitPoints};
use crate::data::AnyData;
use crate::device::Devices;
use crate::nn::Network;
use crate::plan::split::{Fleet, Objective};
use crate::report::text::count;
use crate::strategy::{Adaptive, Hyper, Protocol, Split, SplitCuts, SplitTerms, split_fleet};
use crate::units::{Joules, Seconds, Watts};

/// The split of a network over so many ranks, the first of them the server; with what the reader should know.
///
/// # Errors
/// Ranks, samples, cuts or limits that do not go together, and a device that its part does not fit into.
pub fn lay_out(
    config: &Config,
    origins: &Origins,
    network: &Network,
    data: &AnyData,
    devices: Option<&Devices>,
    ranks: usize,
) -> Result<(Split, Vec<String>), Failure> {
    let rows = task::split(data, config.data_split, config.seed).train;
    let labels: Vec<u32> = rows.iter().map(|row| data.labels()[*row]).collect();
    let workers = ranks - 1;
    let (protocol, cuts, said) = places(config, origins, network, labels.len(), devices, workers)?;
    let dealt = config.non_iid.map(|alpha| shards::deal(&labels, data.classes(), workers, alpha, config.seed));
    let (shards, dealing) = dealt.unzip();
    let split = Split { protocol, cuts, round_steps: config.round_steps, shards };
    Ok((split, said.into_iter().chain(dealing).collect()))
}

/// Who holds what, of a network and so many samples, and where each device hands over; with what the reader should know.
///
/// # Errors
/// As those of [`lay_out`].
pub fn places(
    config: &Config,
    origins: &Origins,
    network: &Network,
    samples: usize,
    devices: Option<&Devices>,
    workers: usize,
) -> Result<(Protocol, SplitCuts, Option<String>), Failure> {
    check_samples(config, origins, samples, workers)?;
    check_tables(&config.model.to_string(), devices, blocks(network))?;
    if network.outputs().len() > 1 {
        let what = format!("{} has {} outputs, and mode split has one loss", config.model, network.outputs().len());
        return Err(refuse(origins, "model", what, "take a network without exit heads, or --mode pipeline"));
    }
    let (cuts, said) = cuts(config, origins, network, devices, workers)?;
    if let (Some(devices), SplitCuts::Fixed(cuts)) = (devices, &cuts) {
        let hyper = task::hyper(config, samples, workers);
        memory::check(network, &hyper, cuts, devices)?;
    }
    feasible(config, network, devices, samples, workers, &cuts)?;
    Ok((protocol(config.protocol), cuts, said))
}

/// Where cuts are chosen, some have to be within the limits: the planner is asked before anything runs.
fn feasible(
    config: &Config,
    network: &Network,
    devices: Option<&Devices>,
    samples: usize,
    workers: usize,
    cuts: &SplitCuts,
) -> Result<(), Failure> {
    let SplitCuts::Auto(adaptive) = cuts else { return Ok(()) };
    if adaptive.least > blocks(network) {
        let what = format!("--least-cut {}: {} has {} trunk blocks", adaptive.least, config.model, blocks(network));
        return Err(Failure::new(2, format!("{what}; write {} or less", blocks(network))));
    }
    let Some(devices) = devices else { return Ok(()) };
    let hyper = task::hyper(config, samples, workers);
    let terms = terms(config, &hyper, samples, workers, adaptive.least);
    let fleet = Fleet { protocol: protocol(config.protocol), ..split_fleet(network, devices, &terms) };
    let chosen = fleet.choose(&adaptive.objective, Seconds(0.0));
    let or = if adaptive.least > 0 { "; or let samples go up, with --least-cut 0" } else { "" };
    chosen.map(|_| ()).map_err(|why| Failure::new(3, format!("no split is within the limits: {why}{or}")))
}

/// A round of these numbers, for the planner. Its batch is the mean of an epoch's: the last step may have fewer samples.
pub fn terms(config: &Config, hyper: &Hyper, samples: usize, workers: usize, least: usize) -> SplitTerms {
    let epoch = samples.div_ceil(hyper.global_batch.min(samples).max(1)).max(1);
    let steps = config.round_steps.map_or(epoch as u64, |steps| steps.get().min(epoch as u64));
    let batch = samples.div_ceil(workers * epoch).max(1);
    SplitTerms { batch, steps, vectors: hyper.rule.vectors(), least }
}

/// Trunk blocks of a network: the cut that leaves the server none of them.
fn blocks(network: &Network) -> usize {
    network.cuts().len() + 1
}

/// The protocol of a word.
fn protocol(word: config::Protocol) -> Protocol {
    match word {
        config::Protocol::Ares => Protocol::Ares,
        config::Protocol::SplitFedV1 => Protocol::SplitFedV1,
        config::Protocol::SplitFedV2 => Protocol::SplitFedV2,
        config::Protocol::Sequential => Protocol::Sequential,
        config::Protocol::Federated => Protocol::Federated,
    }
}

/// Each device needs a sample, in the whole and in a step.
fn check_samples(config: &Config, origins: &Origins, samples: usize, workers: usize) -> Result<(), Failure> {
    if samples < workers {
        let (samples, workers) = (count(samples, "sample"), count(workers, "device"));
        let text = format!("{workers}, but only {samples} to train on; start fewer ranks, or give --data-split");
        return Err(Failure::new(2, text));
    }
    match config.global_batch {
        GlobalBatch::Fixed(batch) if batch < workers => {
            let what = format!("globalBatch = {batch} for {}, each of which takes its part", count(workers, "device"));
            Err(refuse(origins, "globalBatch", what, format!("write {workers} or more, or start fewer ranks")))
        }
        _ => Ok(()),
    }
}

/// Where each device hands over.
fn cuts(
    config: &Config,
    origins: &Origins,
    network: &Network,
    devices: Option<&Devices>,
    workers: usize,
) -> Result<(SplitCuts, Option<String>), Failure> {
    let all = || SplitCuts::Fixed(vec![blocks(network); workers]);
    match &config.split {
        _ if config.protocol == config::Protocol::Federated => Ok((all(), None)),
        SplitPoints::None => Ok((all(), None)),
        SplitPoints::Fixed(given) => Ok((SplitCuts::Fixed(fixed(config, origins, network, given, workers)?), None)),
        SplitPoints::Auto => {
            let (objective, said) = objective(config, origins, devices)?;
            let usual = if devices.is_some() { Adaptive::MODELLED } else { Adaptive::MEASURED };
            let hysteresis = config.hysteresis.unwrap_or(usual);
            let (smoothing, least) = (config.smoothing, config.least_cut);
            Ok((SplitCuts::Auto(Adaptive { objective, smoothing, hysteresis, least }), said))
        }
    }
}

/// The cuts that were given, one a device.
fn fixed(
    config: &Config,
    origins: &Origins,
    network: &Network,
    given: &[usize],
    workers: usize,
) -> Result<Vec<usize>, Failure> {
    let cuts = match given {
        [one] => vec![*one; workers],
        several if several.len() == workers => several.to_vec(),
        several => {
            let what = format!("split has {} cuts for {}", several.len(), count(workers, "device"));
            let cure = match workers {
                1 => "write one number: rank 0 is the server".to_owned(),
                _ => format!("write one number, or {workers}: rank 0 is the server"),
            };
            return Err(refuse(origins, "split", what, cure));
        }
    };
    let blocks = blocks(network);
    match cuts.iter().find(|cut| **cut > blocks) {
        None => Ok(cuts),
        Some(cut) => {
            let has = count(blocks, "trunk block");
            let what = format!("a cut behind block {cut}, but {} has {has}{}", config.model, crossings(network));
            Err(refuse(origins, "split", what, format!("write 0 to {blocks}, or none")))
        }
    }
}

/// Why there are fewer blocks than layers that could begin one: where two tensors cross there is no cut.
fn crossings(network: &Network) -> String {
    let cuts = network.cuts();
    let begins = (0..network.nodes().len()).filter(|node| network.layer(*node).begins_block()).skip(1);
    let uncut: Vec<&str> =
        begins.filter(|node| !cuts.contains(node)).map(|node| network.spec().nodes[node].name.as_str()).collect();
    match uncut[..] {
        [] => String::new(),
        [one] => format!(" (none begins before {one}, where several tensors cross)"),
        [first, .., last] => {
            let layers = count(uncut.len(), "layer");
            format!(" (none begins before {layers} from {first} to {last}, where several tensors cross)")
        }
    }
}

/// What a good cut is. Where nothing is known of power, time alone counts.
fn objective(
    config: &Config,
    origins: &Origins,
    devices: Option<&Devices>,
) -> Result<(Objective, Option<String>), Failure> {
    let deadline = config.deadline.map(Seconds);
    let Some(unknown) = without_power(devices) else {
        let budget = config.energy_budget.map(Joules);
        return Ok((Objective { alpha: config.alpha, deadline, budget }, None));
    };
    if let Some(budget) = config.energy_budget {
        let what = format!("energyBudget = {budget} J, but {unknown}, so nothing counts joules");
        return Err(refuse(origins, "energyBudget", what, "add --devices FILE with watts, or leave it out"));
    }
    // A file may repeat what its writer never asked for.
    let asked = match origins.of("alpha") {
        Origin::Preset => false,
        Origin::Flag(_) | Origin::Variable(_) | Origin::Set => true,
        _ => !config.is_default("alpha"),
    };
    let said = (asked && config.alpha < 1.0)
        .then(|| format!("alpha = {}, but {unknown}: splits are chosen by time alone", config.alpha));
    Ok((Objective { alpha: 1.0, deadline, budget: None }, said))
}

/// Why the joules of devices are not known; none where they are.
fn without_power(devices: Option<&Devices>) -> Option<String> {
    let Some(devices) = devices else { return Some("there are no --devices".to_owned()) };
    let draws = |profile: &crate::device::Profile| {
        let power = &profile.power;
        [power.compute, power.idle, power.send, power.receive].into_iter().any(|watts| watts > Watts(0.0))
    };
    // The server hangs on the mains.
    let known = devices.profiles().iter().skip(1).any(draws);
    (!known).then(|| format!("{} gives its devices no watts", devices.name()))
}

#[cfg(test)]
mod tests;
