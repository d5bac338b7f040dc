//! The modes that a plan compares, as configurations that could be started.

use crate::cli::failure::Failure;
use crate::cli::prepare::Settled;
use crate::cli::{offload, split, stages, sync};
use crate::config::{Config, Learn, Mode, Origins, PipelineSchedule, Sync};
use std::num::NonZeroUsize;

/// One way to train.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// What to type.
    pub flags: String,
    /// The ranks that it takes: one alone, or all.
    pub ranks: usize,
    /// Whether a step is the gradient of a global batch, as one rank alone would follow it.
    pub same: bool,
    /// Its configuration, or why it cannot be.
    pub settled: Result<Settled, Failure>,
}

/// Steps of its own that a rank takes where the plan looks at local steps, unless it was said how many.
const LOCAL_STEPS: usize = 8;

/// What to do with keys that were given for another mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// They do not count: modes are compared.
    Aside,
    /// They count: a mode that they do not go with is none to choose.
    Kept,
}

/// All ways for so many ranks; `blocks` is how many trunk blocks the network has.
pub fn all(config: &Config, origins: &Origins, ranks: usize, blocks: usize, given: Given) -> Vec<Candidate> {
    let mut found = Vec::new();
    let mut add = |flags: String, ranks: usize, same: bool, change: &dyn Fn(&mut Config)| {
        let mut config = config.clone();
        change(&mut config);
        found.push(Candidate { flags, ranks, same, settled: settle(config, origins, ranks, given) });
    };
    let local = if config.local_steps.get() > 1 { config.local_steps.get() } else { LOCAL_STEPS };
    let one = NonZeroUsize::MIN;
    let plain = |config: &mut Config, mode| {
        config.mode = Some(mode);
        if given == Given::Aside {
            (config.local_steps, config.local_epochs) = (one, None);
        }
    };
    add("single".into(), 1, true, &|config| plain(config, Mode::Single));
    if ranks == 1 {
        return found;
    }
    add("allreduce".into(), ranks, true, &|config| plain(config, Mode::AllReduce));
    add(format!("allreduce --local-steps {local}"), ranks, false, &|config| {
        plain(config, Mode::AllReduce);
        config.local_steps = NonZeroUsize::new(local).unwrap_or(one);
    });
    add("sendrecv".into(), ranks, true, &|config| {
        plain(config, Mode::SendRecv);
        if given == Given::Aside {
            (config.sync, config.k) = (Sync::Full, None);
        }
    });
    for (rule, k) in rules(config, ranks - 1) {
        let flags = match k {
            Some(k) => format!("sendrecv --sync {rule} --k {k}"),
            None => format!("sendrecv --sync {rule}"),
        };
        add(flags, ranks, false, &|config| {
            plain(config, Mode::SendRecv);
            (config.sync, config.k) = (rule, k.and_then(NonZeroUsize::new));
        });
    }
    if config.cuts.is_none() && config.stages.is_none() {
        add("pipeline --learn local".into(), ranks, false, &|config| {
            plain(config, Mode::Pipeline);
            config.learn = Learn::Local;
            config.pipeline_schedule = PipelineSchedule::OneForwardOneBackward;
            config.micro_batches = None;
        });
    }
    if given == Given::Aside || split::KEYS.iter().any(|key| !config.is_default(key)) {
        add("split".into(), ranks, false, &|config| plain(config, Mode::Split));
    }
    for stages in stage_counts(config, ranks, blocks) {
        for word in PipelineSchedule::WORDS {
            let schedule = PipelineSchedule::from_word(word).expect("it is one of them");
            let replicas = if stages < ranks { format!(" --stages {stages}") } else { String::new() };
            add(format!("pipeline --learn backprop --schedule {word}{replicas}"), ranks, true, &|config| {
                plain(config, Mode::Pipeline);
                (config.learn, config.pipeline_schedule) = (Learn::Backprop, schedule);
                config.stages = NonZeroUsize::new(stages);
            });
        }
    }
    found
}

/// Rules by which a server takes the first results, and how many: the one asked for, else three quarters.
fn rules(config: &Config, workers: usize) -> Vec<(Sync, Option<usize>)> {
    let k = config.k.map_or(workers * 3 / 4, NonZeroUsize::get).clamp(1, workers);
    match workers {
        1 => Vec::new(),
        _ => vec![(Sync::KSync, Some(k)), (Sync::KBatch, Some(k)), (Sync::Async, None)],
    }
}

/// How many stages the ranks may make: as asked, else as many as the network can be cut into, and two.
fn stage_counts(config: &Config, ranks: usize, blocks: usize) -> Vec<usize> {
    if let Some(stages) = config.stages.map(NonZeroUsize::get).or(config.cuts.as_ref().map(|cuts| cuts.0.len() + 1)) {
        return vec![stages];
    }
    let most = (2..=ranks.min(blocks)).rev().find(|stages| ranks.is_multiple_of(*stages));
    let mut counts: Vec<usize> = most.into_iter().collect();
    if most.is_some_and(|most| most > 2) && ranks.is_multiple_of(2) {
        counts.push(2);
    }
    // None divides the ranks: what would be tried is told with its reason.
    if counts.is_empty() {
        counts.push(ranks);
    }
    counts
}

fn settle(mut config: Config, origins: &Origins, ranks: usize, given: Given) -> Result<Settled, Failure> {
    if given == Given::Aside {
        if config.mode != Some(Mode::Pipeline) {
            stages::KEYS.iter().for_each(|key| config.reset(key));
        }
        offload::KEYS.iter().for_each(|key| config.reset(key));
        if config.mode != Some(Mode::Split) {
            split::KEYS.iter().for_each(|key| config.reset(key));
        }
        if config.mode != Some(Mode::SendRecv) {
            sync::keys().for_each(|key| config.reset(key));
        }
    }
    Settled::of(config, origins, ranks)
}
