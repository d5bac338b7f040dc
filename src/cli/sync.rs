//! From a checked configuration to the grid of mode sendrecv: whose results make a step, and how workers work.

use super::failure::Failure;
use super::stages::refuse;
use crate::config::{Config, GlobalBatch, OptimizerKind, Origin, Origins, Sync};
use crate::device::{Delay, Devices, Link, Profile};
use crate::plan::quorum::{Rule, TermsError};
use crate::strategy::{Grid, Hyper, Shards, Strategy};
use crate::units::Seconds;

/// Keys that mean something in mode sendrecv alone, and with which rules.
const KEYS: &[(&str, &[Sync])] = &[
    ("sync", EVERY),
    ("k", &[Sync::KSync, Sync::KBatch, Sync::KAsync, Sync::KBatchAsync, Sync::Backup, Sync::Shards]),
    ("shards", &[Sync::Shards]),
    ("stragglerFactor", &[Sync::Shards]),
    ("maxContributors", &[Sync::Shards]),
    ("delay", EVERY),
];

const EVERY: &[Sync] =
    &[Sync::Full, Sync::KSync, Sync::KBatch, Sync::KAsync, Sync::KBatchAsync, Sync::Async, Sync::Backup, Sync::Shards];

/// The names of all these keys.
pub fn keys() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|(key, _)| *key)
}

/// Refuses keys of grids where they mean nothing.
///
/// # Errors
/// The first such key that was given.
pub fn check(config: &Config, origins: &Origins, strategy: Strategy) -> Result<(), Failure> {
    let given = |key: &str| *origins.of(key) != Origin::Preset && !config.is_default(key);
    for (key, rules) in KEYS.iter().filter(|(key, _)| given(key)) {
        if strategy != Strategy::SendRecv {
            let what = format!("{key} is for mode sendrecv, and the mode is {}", strategy.name());
            return Err(refuse(origins, key, what, "add --mode sendrecv"));
        }
        if !rules.contains(&config.sync) {
            let words: Vec<&str> = rules.iter().map(|rule| rule.word()).collect();
            let what = format!("{key} means nothing with sync = {}", config.sync);
            return Err(refuse(origins, key, what, format!("leave it out, or add --sync {}", words.join("|"))));
        }
    }
    if strategy != Strategy::SendRecv {
        return Ok(());
    }
    if config.sync == Sync::Shards && config.global_batch != GlobalBatch::PerRank {
        let what = "globalBatch with sync = shards, whose steps are K shards each";
        return Err(refuse(origins, "globalBatch", what, "give --k and --shards instead"));
    }
    if config.sync == Sync::Shards && config.deterministic && !is_one_step_at_most(config) {
        let what = "deterministic with shards that are trained for several passes";
        return Err(refuse(origins, "deterministic", what, "leave it out: who computes a shard changes no bit of it"));
    }
    Ok(())
}

fn is_one_step_at_most(config: &Config) -> bool {
    config.local_epochs.is_none_or(|epochs| epochs.get() == 1)
}

/// How many results make a step, for so many workers.
pub fn contributions(config: &Config, workers: usize) -> usize {
    let given = config.k.map(std::num::NonZeroUsize::get);
    match config.sync {
        Sync::Full => workers,
        Sync::Async => 1,
        Sync::Backup => given.unwrap_or(workers.saturating_sub(1).max(1)),
        _ => given.unwrap_or(workers),
    }
}

/// The grid of a configuration; none where workers are in lock-step.
///
/// # Errors
/// A law of delays that is none.
pub fn grid(config: &Config, workers: usize) -> Result<Option<Grid>, Failure> {
    let delay = config.delay.as_deref().map(Delay::parse).transpose().map_err(|error| Failure::new(2, error))?;
    if let Some(delay) = &delay {
        delay.check_ranks(workers + 1).map_err(|error| Failure::new(2, error))?;
    }
    let rule = match config.sync {
        // Lock-step sends no delays around; K-sync with all workers gives the same weights.
        Sync::Full if delay.is_none() => return Ok(None),
        Sync::Full | Sync::KSync | Sync::Backup => Rule::KSync,
        Sync::KBatch => Rule::KBatch,
        Sync::KAsync => Rule::KAsync,
        Sync::KBatchAsync | Sync::Async => Rule::KBatchAsync,
        Sync::Shards => Rule::Shards,
    };
    let factor = config.straggler_factor;
    Ok(Some(Grid {
        rule,
        k: contributions(config, workers),
        shards: (config.sync == Sync::Shards).then(|| shards(config)),
        // Where workers are called off anyway, nobody waits for a factor.
        straggler_factor: Some(factor).filter(|factor| *factor > 0.0 && rule == Rule::Shards),
        max_contributors: config.max_contributors.map(std::num::NonZeroUsize::get),
        delay,
    }))
}

fn shards(config: &Config) -> Shards {
    Shards {
        count: config.shards.get(),
        batch: config.batch_size.get(),
        epochs: config.local_epochs.map_or(1, std::num::NonZeroUsize::get),
    }
}

/// The samples whose gradients make one step with shards: those of K shards where each is one gradient, else a local
/// step's.
pub fn shard_batch(config: &Config, samples: usize, k: usize) -> usize {
    let shards = shards(config);
    match shards.is_one_step(samples) {
        true => samples.div_ceil(shards.count).saturating_mul(k),
        false => shards.batch,
    }
}

/// Checks the grid for so many samples and workers.
///
/// # Errors
/// The first number that cannot work, with its cure.
pub fn fits(grid: &Grid, config: &Config, samples: usize, hyper: &Hyper, workers: usize) -> Result<(), Failure> {
    let refused = |message: String| Err(Failure { code: 2, message });
    if config.optimizer == OptimizerKind::Mcmc {
        return Ok(()); // refused elsewhere
    }
    let pieces = hyper.global_batch.min(samples).div_ceil(hyper.micro_chunk.unwrap_or(1));
    if grid.shards.is_none() && pieces < grid.k {
        let unit = if hyper.micro_chunk.is_some() { "micro-chunks" } else { "samples" };
        return refused(format!(
            "--k {}: a step has only {pieces} {unit} for its {} results; give a smaller --k or a larger --global-batch",
            grid.k, grid.k
        ));
    }
    if config.sync == Sync::Shards && config.shards.get() > samples {
        let count = config.shards;
        return refused(format!(
            "--shards {count}: there are only {samples} samples to train on; give --shards {samples} or less"
        ));
    }
    // Some rules are others with another K: what was typed is named.
    let typed = |error: TermsError| error.to_string().replacen(grid.rule.name(), config.sync.word(), 1);
    grid.check(samples, hyper, workers).or_else(|error| refused(typed(error)))
}

/// Machines that take no time and no energy but what a delay costs them.
pub fn instant_machines(ranks: usize) -> Devices {
    let profile = Profile::new("instant", f64::INFINITY);
    Devices::new("delay", vec![profile; ranks], Link::new(f64::INFINITY, Seconds(0.0)))
}
