//! Configuration to local steps, in the modes that have them.

use super::failure::Failure;
use super::stages::refuse;
use crate::config::{Config, Mode, OptimizerKind, Origins, Sync};
use crate::strategy::{Local, Strategy};
use std::num::NonZeroU64;

/// How long every rank goes on by itself, where all reduce; `None`: gradients are summed in every step.
pub fn local(config: &Config) -> Option<Local> {
    if !matches!(config.mode, Some(Mode::Single | Mode::AllReduce)) {
        return None;
    }
    let period = |n: std::num::NonZeroUsize| NonZeroU64::new(n.get() as u64).unwrap_or(NonZeroU64::MIN);
    match (config.local_epochs, config.local_steps.get()) {
        (Some(epochs), _) => Some(Local::Epochs(period(epochs))),
        // An average after every step is a summed gradient, but for the rounding and for what optimizers remember.
        (None, 1) => None,
        (None, _) => Some(Local::Steps(period(config.local_steps))),
    }
}

/// Refuses local steps where they cannot be.
///
/// # Errors
/// Who asked for them, and what else to do.
pub fn check(config: &Config, origins: &Origins, strategy: Strategy) -> Result<(), Failure> {
    let key = match (config.local_epochs, config.local_steps.get()) {
        (None, 1) => return Ok(()),
        (None, _) => "localSteps",
        (Some(_), 1) => "localEpochs",
        (Some(_), _) => {
            let what = "localEpochs with localSteps: weights are averaged after so many epochs, or after so many steps";
            return Err(refuse(origins, "localSteps", what, "leave one of them out"));
        }
    };
    match strategy {
        Strategy::Single | Strategy::AllReduce => {}
        // A shard's task is as many epochs.
        Strategy::SendRecv if config.sync == Sync::Shards && key == "localEpochs" => return Ok(()),
        _ => {
            let what = format!("{key} in mode {}, which averages no weights", strategy.name());
            return Err(refuse(origins, key, what, "write --mode allreduce, or leave it out"));
        }
    }
    if config.deterministic {
        let what = format!("{key} with deterministic: each rank's own steps depend on the number of ranks");
        return Err(refuse(origins, key, what, "leave one of them out: the same ranks give the same bits"));
    }
    if config.optimizer == OptimizerKind::Mcmc {
        let what = format!("{key} with optimizer = mcmc, whose proposals all ranks decide on");
        return Err(refuse(origins, key, what, "leave it out, or write --optimizer sgd"));
    }
    Ok(())
}
