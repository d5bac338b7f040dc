//! Mistakes with mode split: cuts, protocols, limits, and the machines that devices are.

use super::pipelines::DEVICES;
use super::{Case, case};
use crate::run::{Launch, Run};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = numbers();
    cases.extend(cuts());
    cases.extend(together());
    cases.extend(elsewhere());
    cases.extend(machines());
    cases
}

/// A server and devices on so many threads.
fn split(args: &str, ranks: usize, parts: &[&str]) -> Case {
    let name = format!("split on {ranks}: {args}");
    case(&name, Run::new(&format!("--mode split {args}")), 2, parts).on(Launch::Threads(ranks))
}

#[rustfmt::skip]
fn numbers() -> Vec<Case> {
    vec![
        split("--alpha 1.5", 3, &["--alpha", "alpha = 1.5 is too large", "from 0 and up to 1"]),
        split("--alpha -0.1", 3, &["--alpha", "alpha = -0.1 is negative"]),
        split("--alpha NaN", 3, &["--alpha", "not a number"]),
        split("--deadline 0", 3, &["--deadline", "zero"]),
        split("--deadline -2", 3, &["--deadline", "negative"]),
        split("--energy-budget 0", 3, &["--energy-budget", "zero"]),
        split("--smoothing 0", 3, &["--smoothing", "zero"]),
        split("--smoothing 2", 3, &["--smoothing", "too large"]),
        split("--hysteresis 1", 3, &["--hysteresis", "too large", "below 1"]),
        split("--non-iid 0", 3, &["--non-iid", "zero"]),
        split("--non-iid many", 3, &["--non-iid", "not a number"]),
        split("--round-steps 0", 3, &["--round-steps", "zero", "1 or more"]),
        split("--split -1", 3, &["--split"]),
        split("--split all", 3, &["--split", "not a whole number", "auto, none"]),
        split("--split 1,,2", 3, &["--split", "not a whole number"]),
        split("--protocol splitfed", 3, &["--protocol", "splitfed is none of ares|splitfed-v1"]),
    ]
}

#[rustfmt::skip]
fn cuts() -> Vec<Case> {
    let layer = |name: &str, more: &str| format!("[[layer]]\nkind = \"{name}\"\n{more}");
    let dense = layer("dense", "outputs = 8\n");
    let shortcut = [&dense, &dense, &dense, &layer("add", "from = [\"fc3\", \"fc1\"]\n"), &layer("dense", "")].map(String::as_str).concat();
    let with_shortcut = Run::new("--mode split --split 4 --model m.toml").file("m.toml", shortcut);
    let two = [&dense, &layer("dense", "outputs = 3\nexit = true\n"), &layer("dense", "from = \"fc1\"\n")].map(String::as_str).concat();
    let with_exit = Run::new("--mode split --model m.toml").file("m.toml", two);
    vec![
        split("", 1, &["split needs a server and at least one device", "--ranks 2"]),
        case("split: single", Run::new("--mode split"), 2, &["--single"]),
        split("--split 9", 3, &["--split", "a cut behind block 9, but iris_mlp has 3 trunk blocks", "0 to 3, or none"]),
        case("split: beyond the network", Run::new("--mode split --split 4"), 2, &["behind block 4, but iris_mlp has 3 trunk blocks"]).on(Launch::Mpi(2)),
        case("split: two tensors cross", with_shortcut, 2, &["--split", "behind block 4", "has 3 trunk blocks (none begins before fc3, where several tensors cross)"]).on(Launch::Threads(3)),
        case("split: exit heads", with_exit, 2, &["--model", "2 outputs", "without exit heads"]).on(Launch::Threads(3)),
        split("--split 1,2", 4, &["--split", "split has 2 cuts for 3 devices", "write one number, or 3", "rank 0 is the server"]),
        split("--split 1,2", 2, &["2 cuts for 1 device;", "write one number: rank 0"]),
        split("--global-batch 2", 4, &["--global-batch", "globalBatch = 2 for 3 devices", "write 3 or more"]),
        split("--data-split 0.02/0.49/0.49", 8, &["7 devices, but only", "to train on", "start fewer ranks"]),
        case("split: cuts in an env file", Run::new("--mode split --env x.env").file("x.env", "seed=1\nsplit=9\n"), 3, &["x.env:2", "behind block 9"]).on(Launch::Threads(3)),
    ]
}

/// Keys that contradict each other, or mean nothing in mode split.
#[rustfmt::skip]
fn together() -> Vec<Case> {
    vec![
        split("--protocol federated --split 2", 3, &["--split", "protocol = federated, whose devices hold all blocks"]),
        split("--protocol splitfed-v1 --split 1,2", 3, &["--split", "share one part on the server", "one number for all"]),
        split("--protocol sequential --split 1,2", 3, &["--split", "protocol = sequential", "share one part"]),
        split("--protocol federated --alpha 0.5", 3, &["--alpha", "protocol = federated says where they are"]),
        split("--split 2 --deadline 3", 3, &["--deadline", "split = 2 says where they are", "--split auto"]),
        split("--split none --smoothing 1", 3, &["--smoothing", "split = none"]),
        split("--deadline 3 --alpha 0.5", 3, &["--alpha", "with deadline alone", "--energy-budget"]),
        split("--energy-budget 3", 3, &["--energy-budget", "energyBudget = 3 J, but there are no --devices", "watts"]),
        split("--folds 5", 3, &["--folds", "cross-validate with --single"]),
        split("--deterministic", 3, &["--deterministic", "the same devices give the same bits", "leave it out"]),
        split("--optimizer mcmc", 3, &["--optimizer", "gradients to send"]),
        split("--local-steps 2", 3, &["--local-steps", "give --round-steps instead"]),
        split("--local-epochs 2", 3, &["--local-epochs", "give --round-steps instead"]),
        split("--cuts 1", 3, &["--cuts", "give --split instead"]),
        split("--learn backprop", 3, &["--learn", "for pipelines, and the mode is split"]),
        split("--sync k-batch", 3, &["--sync", "for mode sendrecv, and the mode is split"]),
        split("--delay exp:1", 3, &["--delay", "for mode sendrecv, and the mode is split"]),
    ]
}

/// Keys of mode split in another mode.
fn elsewhere() -> Vec<Case> {
    let keys = [
        ("--protocol federated", "protocol"),
        ("--split 2", "split"),
        ("--round-steps 3", "roundSteps"),
        ("--non-iid 0.5", "nonIid"),
        ("--alpha 0.5", "alpha"),
        ("--deadline 2", "deadline"),
        ("--energy-budget 2", "energyBudget"),
        ("--smoothing 1", "smoothing"),
        ("--hysteresis 0", "hysteresis"),
    ];
    let alone = keys.map(|(flags, key)| {
        let said = format!("{key} is for mode split, and the mode is single");
        case(&format!("single: {flags}"), Run::new(flags), 2, &[&said, "add --mode split"])
    });
    let mut cases = Vec::from(alone);
    for mode in ["sendrecv", "allreduce", "pipeline"] {
        let said = format!("the mode is {mode}");
        let run = Run::new(&format!("--mode {mode} --split none"));
        cases.push(case(&format!("{mode}: --split none"), run, 2, &["--split", &said]).on(Launch::Threads(3)));
    }
    cases
}

#[rustfmt::skip]
fn machines() -> Vec<Case> {
    let on = |name: &str, args: &str, devices: &str, code: i32, parts: &[&str]| {
        let run = Run::new(&format!("--mode split --devices d.toml {args}")).file("d.toml", devices);
        case(name, run, code, parts).on(Launch::Threads(2))
    };
    let weak = DEVICES.replace("512\nmemory_source = \"assumed\"\n[profile.b.watts]", "0.25\nmemory_source = \"assumed\"\n[profile.b.watts]");
    assert_ne!(weak, DEVICES);
    let wide = "--global-batch 100 --set inputLayerNeurons=1000";
    vec![
        split("--devices ares", 4, &["ares.toml", "devices for 4 ranks"]),
        on("split: a table of another network", "", &DEVICES.replace("[0.1, 0.3, 0.2]", "[0.1, 0.3]").replace("[0.1, 0.3, 0.4]", "[0.1, 0.3]"), 4, &["d.toml", "a was measured on 2 blocks of iris_mlp, which has 3"]),
        on("split: too little memory", &format!("--split 1 {wide}"), &weak, 4, &["d.toml: on rank 1 the first trunk block needs", "KiB and b has 256.0 KiB", "--split", "--batch"]),
        on("split: too little memory for all", &format!("--protocol federated {wide}"), &weak, 4, &["on rank 1 the first 3 trunk blocks need"]),
    ]
}
