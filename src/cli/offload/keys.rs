//! Which keys go with mode offload, and with each other.

use super::network;
use crate::cli::failure::Failure;
use crate::cli::stages::{self, refuse};
use crate::cli::{split, sync};
use crate::config::{Config, Mode, Model, Origin, Origins, PlanObjective, Policy};
use crate::device::Devices;

pub use crate::config::keys::OFFLOAD_KEYS as KEYS;

/// Keys of training that somebody may type here; in files they may stand for other modes.
const TRAINING: &[&str] = &[
    "numEpochs",
    "learningRate",
    "batchSize",
    "globalBatch",
    "optimizer",
    "dataset",
    "augment",
    "schedule",
    "loss",
    "label",
    "dataSplit",
];

/// Refuses a budget where nothing has a price.
///
/// # Errors
/// When it is given.
pub fn check_prices(config: &Config, origins: &Origins, devices: &Devices) -> Result<(), Failure> {
    let free = devices.profiles().iter().all(|profile| profile.price_per_s == 0.0);
    if config.budget.is_none() || !free {
        return Ok(());
    }
    let what = format!("budget, and in {} no device has a price_per_s", devices.name());
    Err(refuse(origins, "budget", what, "leave it out, or add prices"))
}

/// Keys of mode split that mean the same of a request as of a round.
const SHARED: &[&str] = &["alpha", "deadline", "energyBudget"];

fn given(config: &Config, origins: &Origins, key: &str) -> bool {
    *origins.of(key) != Origin::Preset && !config.is_default(key)
}

/// Refuses mode offload where something is to be trained.
///
/// # Errors
/// Keys that do not go with it; else who asked for it, and what to do instead.
pub fn trains(config: &Config, origins: &Origins, ranks: usize) -> Result<(), Failure> {
    match config.mode {
        Some(Mode::Offload) => {
            check(config, origins, ranks)?;
            let what = "mode = offload answers requests, and nothing is trained";
            Err(refuse(origins, "mode", what, "compare its policies with goai-rs bench offload"))
        }
        _ => Ok(()),
    }
}

/// Refuses keys of mode offload in another mode.
///
/// # Errors
/// The first such key that was given.
pub fn only_in_offload(config: &Config, origins: &Origins, mode: &str) -> Result<(), Failure> {
    match KEYS.iter().find(|key| given(config, origins, key)) {
        None => Ok(()),
        Some(key) => {
            let what = format!("{key} is for mode offload, and the mode is {mode}");
            Err(refuse(origins, key, what, "add --mode offload"))
        }
    }
}

/// Refuses keys of other modes in mode offload, and those that contradict each other or the number of ranks.
///
/// # Errors
/// The first such key that was given, with who gave it.
pub(super) fn check(config: &Config, origins: &Origins, ranks: usize) -> Result<(), Failure> {
    let given = |key: &str| given(config, origins, key);
    let others = stages::KEYS.iter().chain(split::KEYS).copied().chain(sync::keys());
    if let Some(key) = others.filter(|key| !SHARED.contains(key)).find(|key| given(key)) {
        let what = format!("{key} is for training, and mode offload trains nothing");
        return Err(refuse(origins, key, what, "leave it out"));
    }
    for (key, what) in [
        ("folds", "trains nothing that could be cross-validated"),
        ("localSteps", "trains nothing"),
        ("localEpochs", "trains nothing"),
        ("checkpointEvery", "has no weights that change"),
        ("deterministic", "gives the same bits anyway: the same tasks compute them, wherever they run"),
    ] {
        if given(key) {
            return Err(refuse(origins, key, format!("{key} in mode offload, which {what}"), "leave it out"));
        }
    }
    if let Some(source) = config.sources.0.iter().find(|source| **source >= ranks) {
        let what = format!("sources names rank {source}, and the ranks are 0 to {}", ranks.saturating_sub(1));
        return Err(refuse(origins, "sources", what, "name some of them"));
    }
    if given("alpha") && config.objective != PlanObjective::Weighted {
        let what = format!("alpha weighs time against energy, and objective = {}", config.objective);
        return Err(refuse(origins, "alpha", what, "add --objective weighted, or leave alpha out"));
    }
    if given("planTime") && config.policy != Policy::Auto {
        let what = format!("planTime is for policy auto, and policy = {}", config.policy);
        return Err(refuse(origins, "planTime", what, "leave it out: this policy takes what it takes"));
    }
    if config.replan && (config.devices.is_none() || config.policy != Policy::Auto) {
        let what = "replan plans each request anew with policy auto, in the conditions of a device file";
        return Err(refuse(origins, "replan", what, "add --devices FILE, leave --policy out, or leave replan out"));
    }
    if given("width") && !matches!(network::model(config), Model::Named(_)) {
        let what = "width is a factor of the networks that have a name, and this one is in a file";
        return Err(refuse(origins, "width", what, "leave it out"));
    }
    if config.graph.is_some() && matches!(origins.of("model"), Origin::Flag(_)) {
        return Err(refuse(origins, "model", "model beside graph: only one of them is asked", "leave one out"));
    }
    if let Some(key) = TRAINING.iter().find(|key| matches!(origins.of(key), Origin::Flag(_))) {
        let what = format!("{key} is for training, and mode offload trains nothing");
        return Err(refuse(origins, key, what, "leave it out"));
    }
    if config.objective != PlanObjective::Time && config.devices.is_none() {
        let what = format!("objective = {} without --devices: nobody knows what a rank uses", config.objective);
        return Err(refuse(origins, "objective", what, "add --devices FILE with watts, or leave it out"));
    }
    let unlimited = [("energyBudget", "watts"), ("budget", "price_per_s")];
    match unlimited.into_iter().find(|(key, _)| given(key) && config.devices.is_none()) {
        None => Ok(()),
        Some((key, figure)) => {
            let what = format!("{key} without --devices: nobody knows what a rank costs");
            Err(refuse(origins, key, what, format!("add --devices FILE with {figure}, or leave it out")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn typed(flags: &[(&'static str, &str)]) -> (Config, Origins) {
        let flag = |(key, text): &(&'static str, &str)| (*key, (*text).to_owned(), format!("--{key}"));
        Sources { flags: flags.iter().map(flag).collect(), ..Sources::default() }.load().unwrap()
    }

    #[test]
    fn what_goes_together_is_taken() {
        for flags in [
            &[][..],
            &[("sources", "0,3"), ("requests", "50"), ("queue", "1")],
            &[("objective", "weighted"), ("alpha", "0.5"), ("deadline", "2"), ("devices", "mec")],
            &[("devices", "mec"), ("budget", "0.01"), ("energyBudget", "9")],
        ] {
            let (config, origins) = typed(flags);
            check(&config, &origins, 4).unwrap();
        }
    }

    #[test]
    fn what_does_not_is_refused_with_its_giver_and_a_cure() {
        for (flags, parts) in [
            (&[("split", "2")][..], ["--split: split is for training", "leave it out"]),
            (&[("sync", "k-sync")], ["--sync: sync is for training", "leave it out"]),
            (&[("stages", "2")], ["--stages: stages is for training", "leave it out"]),
            (&[("folds", "5")], ["--folds: folds in mode offload", "cross-validated"]),
            (&[("deterministic", "true")], ["--deterministic", "the same bits anyway"]),
            (&[("sources", "0,4")], ["--sources: sources names rank 4", "0 to 3"]),
            (&[("alpha", "0.5")], ["--alpha: alpha weighs", "--objective weighted"]),
            (&[("planTime", "1"), ("policy", "heft")], ["--planTime: planTime is for policy auto", "policy = heft"]),
            (&[("budget", "3")], ["--budget: budget without --devices", "price_per_s"]),
            (&[("energyBudget", "3")], ["--energyBudget", "watts"]),
        ] {
            let (config, origins) = typed(flags);
            let message = check(&config, &origins, 4).unwrap_err().message;
            assert!(parts.iter().all(|part| message.contains(part)), "{flags:?}: {message}");
        }
    }

    #[test]
    fn its_keys_are_refused_elsewhere_and_it_where_something_is_trained() {
        assert!(KEYS.iter().all(|key| crate::config::keys::key(key).is_some()));
        let (config, origins) = typed(&[("policy", "heft")]);
        let message = only_in_offload(&config, &origins, "single").unwrap_err().message;
        assert_eq!(message, "--policy: policy is for mode offload, and the mode is single; add --mode offload");
        let (config, origins) = typed(&[("mode", "offload")]);
        assert!(trains(&config, &origins, 1).unwrap_err().message.contains("goai-rs bench offload"));
    }
}
