//! What makes a split, and what is refused.

use super::*;
use crate::config::Sources;
use crate::data::Dataset;
use crate::device::{Link, Power, Profile};
use crate::nn::{Shape, model_text, zoo};
use crate::strategy::Strategy;

fn config(sets: &[&str]) -> (Config, Origins) {
    let flags = sets.iter().map(|set| set.split_once('=').unwrap());
    let flags =
        flags.map(|(key, value)| (crate::config::keys::key(key).unwrap().name, value.to_owned(), format!("--{key}")));
    Sources { flags: flags.collect(), ..Sources::default() }.load().unwrap()
}

/// Ten rows of each of three classes.
fn table() -> AnyData {
    AnyData::Table(Dataset {
        name: "t".into(),
        features: ndarray::Array2::zeros((30, 4)),
        labels: (0..30).map(|row| row % 3).collect(),
        classes: ["a", "b", "c"].map(str::to_owned).into(),
        columns: ["w", "x", "y", "z"].map(str::to_owned).into(),
        label_column: "label".into(),
    })
}

/// Three trunk blocks.
fn mlp() -> Network {
    Network::build(zoo::mlp(4, &[30, 20], 3, &zoo::MlpOptions::default())).unwrap()
}

/// Four machines whose devices draw so much.
fn machines(watts: f64) -> Devices {
    let power = Power { compute: Watts(watts), ..Power::default() };
    let profiles = vec![Profile { power, ..Profile::new("pi", 1e9) }; 4];
    Devices::new("d.toml", profiles, Link::new(1e6, Seconds(0.0)))
}

/// The split over a server and three devices.
fn laid_out(sets: &[&str], devices: Option<&Devices>) -> Result<(Split, Vec<String>), Failure> {
    let (config, origins) = config(&[&["mode=split"], sets].concat());
    check(&config, &origins, Strategy::Split)?;
    lay_out(&config, &origins, &mlp(), &table(), devices, 4)
}

fn refused(sets: &[&str], devices: Option<&Devices>, parts: &[&str]) {
    let failure = laid_out(sets, devices).expect_err(parts[0]);
    for part in parts {
        assert!(failure.message.contains(part), "{part:?} is not in: {failure}");
    }
}

#[test]
fn cuts_are_one_a_device() {
    for (sets, cuts) in [
        (&["split=2"][..], [2, 2, 2]),
        (&["split=0,3,1"], [0, 3, 1]),
        (&["split=none"], [3, 3, 3]),
        (&["protocol=federated"], [3, 3, 3]),
        (&["protocol=federated", "split=none"], [3, 3, 3]),
        (&["protocol=splitfed-v1", "split=1,1,1"], [1, 1, 1]),
    ] {
        let (split, notes) = laid_out(sets, None).unwrap();
        assert_eq!((split.cuts, split.shards), (SplitCuts::Fixed(cuts.to_vec()), None), "{sets:?}");
        assert!(notes.is_empty(), "{notes:?}");
    }
}

#[test]
fn cuts_that_are_none_are_refused() {
    refused(&["split=4"], None, &["--split", "behind block 4, but iris_mlp has 3 trunk blocks;", "0 to 3, or none"]);
    refused(&["split=1,2"], None, &["--split", "2 cuts for 3 devices", "one number, or 3", "rank 0 is the server"]);
    refused(&["globalBatch=2"], None, &["--globalBatch", "globalBatch = 2 for 3 devices", "3 or more"]);
    refused(&["folds=5"], None, &["--folds", "whole networks"]);
    refused(&["deterministic=true"], None, &["--deterministic", "same bits anyway"]);
    refused(&["localSteps=2"], None, &["--localSteps", "--round-steps"]);
    refused(&["cuts=1"], None, &["--cuts", "--split"]);
    refused(&["optimizer=mcmc"], None, &["--optimizer", "gradients to send"]);
    let (config, origins) = config(&["mode=split", "split=1"]);
    let failure = lay_out(&config, &origins, &mlp(), &table(), None, 40).unwrap_err();
    assert!(failure.message.contains("39 devices, but only 24 samples"), "{failure}");
}

#[test]
fn keys_that_contradict_each_other_are_refused() {
    refused(&["protocol=federated", "split=2"], None, &["--split", "hold all blocks", "--protocol ares"]);
    refused(&["protocol=splitfed-v2", "split=1,2,1"], None, &["--split", "share one part on the server", "one number"]);
    refused(&["split=2", "alpha=0.5"], None, &["--alpha", "split = 2 says where they are", "--split auto"]);
    refused(&["split=none", "hysteresis=0"], None, &["--hysteresis", "split = none"]);
    refused(&["protocol=federated", "deadline=2"], None, &["--deadline", "protocol = federated"]);
    refused(&["alpha=0.5", "deadline=2"], None, &["--alpha", "the least energy", "--energy-budget"]);
    let (other, origins) = config(&["mode=allreduce", "nonIid=0.5"]);
    let failure = check(&other, &origins, Strategy::AllReduce).unwrap_err();
    assert!(failure.message.contains("nonIid is for mode split, and the mode is allreduce"), "{failure}");
    let (usual, origins) = config(&["mode=allreduce", "alpha=0.6"]);
    check(&usual, &origins, Strategy::AllReduce).unwrap();
}

/// A convolution with a shortcut around it: where both tensors cross, no block begins.
#[test]
fn a_shortcut_is_within_a_block() {
    let conv = "[[layer]]\nkind = \"conv2d\"\noutputs = 2\nkernel = 3\npadding = 1\n";
    let text = format!(
        "{conv}{conv}{conv}[[layer]]\nkind = \"add\"\nfrom = [\"conv3\", \"conv1\"]\n[[layer]]\nkind = \"dense\"\n"
    );
    let network = Network::build(model_text::parse(&text, &Shape::image(1, 4, 4), 3).unwrap()).unwrap();
    let (config, origins) = config(&["mode=split", "split=4"]);
    let failure = fixed(&config, &origins, &network, &[4], 2).unwrap_err();
    let expected = "has 3 trunk blocks (none begins before conv3, where several tensors cross); write 0 to 3, or none";
    assert!(failure.message.contains(expected), "{failure}");
    assert_eq!(fixed(&config, &origins, &network, &[3], 2).unwrap(), [3, 3]);
}

#[test]
fn where_nothing_is_known_of_power_time_alone_counts() {
    let adaptive = |sets: &[&str], devices: Option<&Devices>| match laid_out(sets, devices).unwrap() {
        (Split { cuts: SplitCuts::Auto(adaptive), .. }, notes) => (adaptive, notes),
        (split, _) => panic!("{split:?}"),
    };
    let (found, notes) = adaptive(&["alpha=0.25", "smoothing=0.5"], Some(&machines(5.0)));
    assert_eq!((found.objective.alpha, found.smoothing, found.hysteresis), (0.25, 0.5, 0.02));
    assert!(notes.is_empty(), "{notes:?}");
    let (found, notes) = adaptive(&["deadline=2"], None);
    assert_eq!((found.objective.alpha, found.objective.deadline), (1.0, Some(Seconds(2.0))));
    assert!(notes.is_empty(), "nobody asked for alpha: {notes:?}");
    let (found, notes) = adaptive(&["alpha=0.6"], Some(&machines(0.0)));
    assert_eq!(found.objective.alpha, 1.0);
    assert_eq!(notes, ["alpha = 0.6, but d.toml gives its devices no watts: splits are chosen by time alone"]);
    refused(&["energyBudget=3"], None, &["--energyBudget", "no --devices", "nothing counts joules", "watts"]);
    let (found, _) = adaptive(&["energyBudget=3"], Some(&machines(5.0)));
    assert_eq!(found.objective.budget, Some(Joules(3.0)));
}

#[test]
fn a_device_that_is_too_small_is_refused() {
    let (config, _) = config(&["mode=split"]);
    let hyper = task::hyper(&config, 24, 3);
    let needs = |cut: usize| crate::strategy::device_memory(&mlp(), 4, hyper.rule.vectors())[cut];
    assert!(needs(1) < needs(2) && needs(2) < needs(3));
    let small = |memory| Profile { memory, ..Profile::new("mote", 1e9) };
    let profiles = vec![small(needs(0)), small(needs(3)), small(needs(2)), small(needs(1))];
    let devices = Devices::new("d.toml", profiles, Link::new(1e6, Seconds(0.0)));
    laid_out(&["split=3,2,1"], Some(&devices)).unwrap();
    refused(&["split=3,2,2"], Some(&devices), &["d.toml: on rank 3 the first 2 trunk blocks need", "KiB and mote has"]);
    refused(&["split=none"], Some(&devices), &["on rank 2 the first 3 trunk blocks need", "--split", "--batch"]);
}

#[test]
fn shards_are_dealt_and_told() {
    let (split, notes) = laid_out(&["split=1", "nonIid=0.2", "roundSteps=5"], None).unwrap();
    let shards = split.shards.unwrap();
    assert_eq!((shards.len(), shards.concat().len(), split.round_steps.unwrap().get()), (3, 24, 5));
    assert!(notes[0].starts_with("nonIid = 0.2: device 1 has "), "{notes:?}");
}

#[test]
fn the_rate_follows_a_devices_own_batch() {
    let rate = |mode: &str, trainers| {
        let (config, _) = config(&[mode, "batchSize=16", "rateBatch=4", "learningRate=0.01", "rateScaling=sqrt"]);
        let hyper = task::hyper(&config, 1000, trainers);
        (hyper.global_batch, hyper.schedule.rate)
    };
    assert_eq!(rate("mode=split", 4), (64, 0.02));
    assert_eq!(rate("mode=split", 1), (16, 0.02));
    assert_eq!(rate("mode=allreduce", 4), (64, 0.04));
}
