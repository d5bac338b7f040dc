//! Stopping and going on: a training that was stopped ends with the weights of one that was not.

mod bad_input;
mod directory;
mod signals;

use crate::run::{Launch, Outcome, Run};

/// The hash of the weights with which the run in this directory ended.
fn hash(outcome: &Outcome, dir: &str) -> String {
    let run = outcome.json_of(dir);
    assert_eq!(run["state"], "complete", "{run}\n{}", outcome.stderr);
    run["final"]["weights_hash"].as_str().expect("a hash").to_owned()
}

/// The older of the two checkpoints that are kept.
fn older(outcome: &Outcome, dir: &str) -> String {
    let folder = outcome.path(&format!("{dir}/ckpt"));
    let names = std::fs::read_dir(folder).expect("checkpoints").map(|entry| entry.unwrap().file_name());
    let mut steps: Vec<String> =
        names.filter_map(|name| name.into_string().ok()).filter(|n| n.starts_with("step")).collect();
    steps.sort();
    assert_eq!(steps.len(), 2, "{steps:?}");
    format!("{dir}/ckpt/{}", steps[0])
}

/// Trains with checkpoints, and from the older one again, with the ranks of `then`: both end with these weights.
fn goes_on(args: &str, every: u64, launch: Launch, then: &[Launch]) {
    let whole = Run::new(&format!("{args} --run-dir a")).launch(launch).ok();
    let expected = hash(&whole, "a");
    let mut outcome = whole.again(&format!("{args} --run-dir b --checkpoint-every {every}")).launch(launch).ok();
    assert_eq!(hash(&outcome, "b"), expected, "checkpoints changed the training: {args}");
    let from = older(&outcome, "b");
    for (i, launch) in then.iter().enumerate() {
        outcome = outcome.again(&format!("--resume {from} --run-dir c{i}")).launch(*launch).ok();
        assert_eq!(hash(&outcome, &format!("c{i}")), expected, "{args} from {from} on {launch:?}");
    }
}

#[test]
fn every_mode_and_optimizer_goes_on_to_the_same_bits() {
    for (mode, launch) in [
        ("", Launch::Solo),
        ("--mode allreduce", Launch::Threads(3)),
        ("--mode sendrecv", Launch::Threads(3)),
        ("--mode pipeline", Launch::Threads(3)),
        ("--mode pipeline --learn backprop", Launch::Threads(3)),
        ("--mode pipeline --learn backprop --stages 2", Launch::Threads(4)),
    ] {
        // Within an epoch, at its end, and where a checkpoint comes with every step.
        for (optimizer, every) in [("sgd", 37), ("momentum", 30), ("adam", 1)] {
            goes_on(&format!("{mode} --optimizer {optimizer} --epochs 7"), every, launch, &[launch]);
        }
    }
}

#[test]
fn proposals_go_on_to_the_same_bits() {
    let args = "--optimizer mcmc --proposals 10 --global-batch 20 --epochs 6";
    goes_on(args, 7, Launch::Threads(2), &[Launch::Threads(2)]);
    goes_on(&format!("{args} --mode pipeline"), 7, Launch::Threads(2), &[Launch::Threads(2)]);
}

#[test]
fn deterministic_training_goes_on_to_the_same_bits_at_any_number_of_ranks() {
    let ranks = [1, 2, 3, 8, 20].map(Launch::Threads);
    for (optimizer, every) in [("sgd", 31), ("momentum", 29), ("adam", 40)] {
        let args = format!("--deterministic --global-batch 12 --optimizer {optimizer} --epochs 7");
        goes_on(&args, every, Launch::Threads(3), &ranks);
    }
    // One mode's checkpoint goes on in another.
    let run = |args: &str, launch| Run::new(args).launch(launch).ok();
    let args = "--deterministic --global-batch 12 --epochs 5 --run-dir a --checkpoint-every 23";
    let mut outcome = run(&format!("{args} --mode pipeline --learn backprop"), Launch::Threads(2));
    let (expected, from) = (hash(&outcome, "a"), older(&outcome, "a"));
    for mode in ["sendrecv", "allreduce", "pipeline"] {
        outcome =
            outcome.again(&format!("--resume {from} --run-dir {mode} --mode {mode}")).launch(Launch::Threads(3)).ok();
        assert_eq!(hash(&outcome, mode), expected, "{mode}");
    }
    outcome = outcome.again(&format!("--resume {from} --run-dir alone")).launch(Launch::Solo).ok();
    assert_eq!(hash(&outcome, "alone"), expected);
}

#[test]
fn statistics_and_varied_pictures_go_on_to_the_same_bits() {
    let data = Run::new("data synth --dataset cifar10 --out datasets --per-class 4/1").launch(Launch::Plain).ok();
    let args = "--dataset cifar10 --model vgg5 --batch 8 --epochs 2";
    let whole = data.again(&format!("{args} --run-dir a --checkpoint-every 2")).launch(Launch::Threads(2)).ok();
    let (expected, from) = (hash(&whole, "a"), older(&whole, "a"));
    let again = whole.again(&format!("--resume {from} --run-dir b")).launch(Launch::Threads(2)).ok();
    assert_eq!(hash(&again, "b"), expected);
    let eval = again.again(&format!("eval {from}")).launch(Launch::Plain).ok();
    assert!(eval.stdout.contains("accuracy"), "{}", eval.stdout);
}

#[test]
fn another_number_of_ranks_is_noted_and_keeps_the_global_batch() {
    let outcome = Run::new("--run-dir a --epochs 6 --checkpoint-every 20").launch(Launch::Threads(2)).ok();
    let from = older(&outcome, "a");
    let outcome = outcome.again(&format!("--resume {from} --run-dir b")).launch(Launch::Threads(3)).ok();
    assert!(outcome.stdout.contains("equal up to rounding; --deterministic"), "{}", outcome.stdout);
    assert!(outcome.text("b/config.toml").contains("globalBatch = 8\n"));
    let last = |dir: &str| outcome.text(&format!("{dir}/metrics.csv")).lines().last().unwrap().to_owned();
    assert_eq!(last("a").split(',').nth(1), last("b").split(',').nth(1), "as many steps");
}
