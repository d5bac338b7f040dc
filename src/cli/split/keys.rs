//! Which keys go with mode split, and with each other.

use crate::cli::failure::Failure;
use crate::cli::stages::refuse;
use crate::config::{Config, OptimizerKind, Origin, Origins, Protocol, SplitPoints};
use crate::strategy::Strategy;

/// Keys that mean something in mode split alone.
pub const KEYS: &[&str] = &[
    "protocol",
    "split",
    "roundSteps",
    "nonIid",
    "alpha",
    "deadline",
    "energyBudget",
    "leastCut",
    "smoothing",
    "hysteresis",
];

/// Those of them that say how cuts are chosen.
const CHOOSING: &[&str] = &["alpha", "deadline", "energyBudget", "leastCut", "smoothing", "hysteresis"];

/// Refuses keys of mode split in another mode, those of other modes in mode split, and those that contradict each other.
///
/// # Errors
/// The first such key that was given, with who gave it.
pub fn check(config: &Config, origins: &Origins, strategy: Strategy) -> Result<(), Failure> {
    let given = |key: &str| *origins.of(key) != Origin::Preset && !config.is_default(key);
    if strategy != Strategy::Split {
        return match KEYS.iter().find(|key| given(key)) {
            None => Ok(()),
            Some(key) => {
                let what = format!("{key} is for mode split, and the mode is {}", strategy.name());
                Err(refuse(origins, key, what, "add --mode split"))
            }
        };
    }
    for (key, what, cure) in [
        ("localSteps", "devices average after a round", "give --round-steps instead"),
        ("localEpochs", "devices average after a round", "give --round-steps instead"),
        ("cuts", "devices have cuts of their own", "give --split instead"),
        ("folds", "a cross-validation trains whole networks", "cross-validate with --single or --mode allreduce"),
        ("deterministic", "the same devices give the same bits anyway", "leave it out"),
    ] {
        if given(key) {
            return Err(refuse(origins, key, format!("{key} in mode split, where {what}"), cure));
        }
    }
    if config.optimizer == OptimizerKind::Mcmc {
        let what = "optimizer = mcmc in mode split, which has gradients to send";
        return Err(refuse(origins, "optimizer", what, "write --mode allreduce or --mode pipeline"));
    }
    check_cuts(config, origins)?;
    check_choosing(config, origins, &given)
}

/// Cuts that the protocol cannot have.
fn check_cuts(config: &Config, origins: &Origins) -> Result<(), Failure> {
    let SplitPoints::Fixed(cuts) = &config.split else { return Ok(()) };
    let (protocol, split) = (config.protocol, String::from(config.split.clone()));
    if protocol == Protocol::Federated {
        let what = format!("split = {split} with protocol = federated, whose devices hold all blocks");
        return Err(refuse(origins, "split", what, "leave it out, or write --protocol ares"));
    }
    if super::protocol(protocol).shares_server() && cuts.iter().any(|cut| *cut != cuts[0]) {
        let what = format!("split = {split} with protocol = {protocol}, whose devices share one part on the server");
        return Err(refuse(origins, "split", what, "write one number for all, or --protocol ares"));
    }
    Ok(())
}

/// Limits and weights of a choice that nobody makes, or that do not count in it.
fn check_choosing(config: &Config, origins: &Origins, given: &dyn Fn(&str) -> bool) -> Result<(), Failure> {
    let chosen_already = match config.protocol {
        Protocol::Federated => Some("protocol = federated".to_owned()),
        _ if config.split == SplitPoints::Auto => None,
        _ => Some(format!("split = {}", String::from(config.split.clone()))),
    };
    if let Some(said) = chosen_already {
        return match CHOOSING.iter().find(|key| given(key)) {
            None => Ok(()),
            Some(key) => {
                let what = format!("{key} is for cuts that are chosen, and {said} says where they are");
                Err(refuse(origins, key, what, "leave it out, or write --split auto and --protocol ares"))
            }
        };
    }
    let alone = match (config.deadline, config.energy_budget) {
        (Some(_), None) => ("deadline", "the least energy", "--energy-budget"),
        (None, Some(_)) => ("energyBudget", "the least time", "--deadline"),
        _ => return Ok(()),
    };
    if given("alpha") {
        let (key, least, other) = alone;
        let what = format!("alpha with {key} alone, which asks for {least} within it");
        return Err(refuse(origins, "alpha", what, format!("leave it out, or add {other}")));
    }
    Ok(())
}
