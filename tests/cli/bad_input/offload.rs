//! Mistakes with mode offload: its keys, and those of other modes.

use super::{Case, case};
use crate::run::{Launch, Run};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = values();
    cases.extend(together());
    cases.extend(elsewhere());
    cases
}

/// So many threads, of which rank 0 asks.
fn offload(args: &str, ranks: usize, parts: &[&str]) -> Case {
    let name = format!("offload on {ranks}: {args}");
    case(&name, Run::new(&format!("--mode offload {args}")), 2, parts).on(Launch::Threads(ranks))
}

#[rustfmt::skip]
fn values() -> Vec<Case> {
    vec![
        offload("--graph vgg61", 2, &["--graph", "graph = vgg61 is no network", "FILE.toml"]),
        offload("--granularity neuron", 2, &["--granularity", "layer|block"]),
        offload("--policy hefd", 2, &["--policy", "did you mean heft?"]),
        offload("--requests 0", 2, &["--requests", "zero"]),
        offload("--arrivals poisson", 2, &["--arrivals", "no law of arrivals", "at-once, poisson:RATE"]),
        offload("--arrivals periodic:-1", 2, &["--arrivals", "-1 s between two"]),
        offload("--sources 0,0", 2, &["--sources", "names rank 0 twice"]),
        offload("--queue 0", 2, &["--queue", "zero"]),
        offload("--width 0", 2, &["--width", "zero", "up to 4"]),
        offload("--plan-time 0", 2, &["--plan-time", "zero"]),
        offload("--objective money", 2, &["--objective", "time|energy|weighted"]),
        offload("--budget -1", 2, &["--budget", "negative"]),
        case("offload: sources in an env file", Run::new("--mode offload --env x.env").file("x.env", "seed=1\nsources=0;1\n"), 3, &["x.env:2", "not a whole number"]).on(Launch::Threads(2)),
    ]
}

#[rustfmt::skip]
fn together() -> Vec<Case> {
    vec![
        offload("--sources 0,2", 2, &["--sources", "names rank 2, and the ranks are 0 to 1"]),
        offload("--alpha 0.5", 2, &["--alpha", "--objective weighted"]),
        offload("--plan-time 1 --policy heft", 2, &["--plan-time", "for policy auto, and policy = heft"]),
        offload("--budget 1", 2, &["--budget", "without --devices", "price_per_s"]),
        offload("--energy-budget 1", 2, &["--energy-budget", "without --devices", "watts"]),
        offload("--split 2", 2, &["--split", "for training, and mode offload trains nothing"]),
        offload("--learn backprop", 2, &["--learn", "for training"]),
        offload("--sync k-sync", 2, &["--sync", "for training"]),
        offload("--folds 5", 2, &["--folds", "cross-validated"]),
        offload("--deterministic", 2, &["--deterministic", "the same bits anyway"]),
    ]
}

/// Keys of mode offload in another mode.
fn elsewhere() -> Vec<Case> {
    let keys = [
        ("--graph vgg5", "graph"),
        ("--policy heft", "policy"),
        ("--requests 3", "requests"),
        ("--arrivals poisson:1", "arrivals"),
        ("--width 0.5", "width"),
        ("--replan", "replan"),
        ("--pictures p", "pictures"),
    ];
    let alone = keys.map(|(flags, key)| {
        let said = format!("{key} is for mode offload, and the mode is single");
        case(&format!("single: {flags}"), Run::new(flags), 2, &[&said, "add --mode offload"])
    });
    Vec::from(alone)
}
