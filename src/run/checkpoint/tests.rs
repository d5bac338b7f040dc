//! What the tests of checkpoints share, and the round trip.

mod crash;
mod damage;
mod faults;
mod golden;
mod killed;
mod sim;
mod writing;

use super::format::FORMAT;
use super::*;
use crate::nn::zoo::{MlpOptions, by_name, mlp};
use crate::nn::{Network, Shape};
use crate::optim::{Rule, Step};
use crate::run::disk::RealDisk;
use crate::run::model_file::{self, ModelMeta, tests::meta};
use crate::strategy::{Cursor, Snapshot, State, team};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// A network with running statistics.
fn network() -> Network {
    Network::build(by_name("vgg5", &Shape::image(1, 8, 8), 2).unwrap()).unwrap()
}

/// A network of nine weights.
fn tiny() -> Network {
    Network::build(mlp(2, &[], 3, &MlpOptions::default())).unwrap()
}

/// A state of [`tiny`], with Adam's vectors, that is another at every step.
fn snapshot(step: u64) -> Snapshot {
    let vector = |add: f32| (0..9).map(|i| i as f32 * 0.25 + add + step as f32).collect::<Vec<f32>>();
    let slices: Vec<(&str, Vec<f32>)> = vec![
        ("theta", vector(-1.0)),
        ("sigma", vec![]),
        ("scales", vec![f32::NAN, 2.0, -0.0]),
        ("first_moment", vector(0.5)),
        ("second_moment", vector(8.0)),
    ];
    Snapshot {
        cursor: cursor(step),
        slices: slices.into_iter().map(|(name, slice)| (name.to_owned(), slice)).collect(),
    }
}

fn cursor(step: u64) -> Cursor {
    Cursor { epoch: step / 10, step_in_epoch: step % 10, step, samples: step * 32 }
}

fn about() -> CheckpointMeta {
    CheckpointMeta {
        config: "mode = \"allreduce\"\n".into(),
        seed: u64::MAX,
        global_batch: 32,
        train_samples: 135,
        data_fingerprint: "00000000000000ab".into(),
        mode: "allreduce".into(),
        ranks: 4,
        modelled_s: Some(0.1),
        ..CheckpointMeta::default()
    }
}

/// Saves the state of a step of [`tiny`].
fn save(store: &Store, step: u64) -> Result<Saved, crate::run::RunError> {
    store.save(&Checkpoint::of_snapshot(&tiny(), &snapshot(step), meta(), about()))
}

/// The bytes of the file of a step of [`tiny`].
fn bytes(step: u64) -> Vec<u8> {
    Checkpoint::of_snapshot(&tiny(), &snapshot(step), meta(), about()).pieces().unwrap().concat()
}

/// A snapshot's bits, NaN included.
fn bits(snapshot: &Snapshot) -> Vec<(&str, Vec<u32>)> {
    snapshot.slices.iter().map(|(name, slice)| (name.as_str(), slice.iter().map(|v| v.to_bits()).collect())).collect()
}

/// Whether it is the checkpoint of that step, bit for bit.
fn is_step(loaded: &Loaded, step: u64) -> bool {
    let read = loaded.snapshot(&tiny()).unwrap();
    read.cursor == cursor(step) && bits(&read) == bits(&snapshot(step))
}

fn open(dir: &Path) -> Store {
    Store::open(dir, Arc::new(RealDisk)).unwrap()
}

fn names(dir: &Path) -> BTreeSet<String> {
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_state_comes_back_bit_for_bit_and_as_a_model() {
    let scales = [0.5, f32::NAN, f32::from_bits(1)];
    for (network, rule, scales) in [
        (network(), Rule::Sgd, &scales[..0]),
        (network(), Rule::Momentum(0.9), &scales[..]),
        (network(), Rule::Adam, &scales[..]),
        (tiny(), Rule::Adam, &scales[..0]),
    ] {
        let value = |i: usize| ((i * 2_654_435_761) % 1000) as f32 / 997.0 - 0.5;
        let mut theta: Vec<f32> = (0..network.theta_len()).map(value).collect();
        let sigma: Vec<f32> = (0..network.sigma_len()).map(|i| value(i + 7).abs()).collect();
        let mut optimizer = rule.build(network.theta_len(), 0.01);
        let grad: Vec<f32> = (0..network.theta_len()).map(|i| value(i + 3)).collect();
        optimizer.step(Step { number: 1, rate: 0.1, scale: 0.5 }, &grad, &mut theta, team());
        (theta[0], theta[1]) = (-0.0, f32::from_bits(1));
        let state =
            State { cursor: cursor(12), theta: &theta, sigma: &sigma, scales, applied: &[], optimizer: &*optimizer };

        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir.path().join("ckpt"));
        let checkpoint = Checkpoint::of(&network, &state, meta(), about());
        let saved = store.save(&checkpoint).unwrap();
        let read = newest_valid(&RealDisk, &dir.path().join("ckpt")).unwrap();
        let loaded = read.loaded.unwrap();
        assert!(read.refused.is_empty());
        assert_eq!(loaded.path, saved.path);
        let back = loaded.snapshot(&network).unwrap();
        assert_eq!((back.cursor, bits(&back)), (state.cursor, bits(&state.snapshot())), "{rule:?}");
        assert_eq!(loaded.about.sums.len(), loaded.model.tensors.len() + loaded.state.len());
        let told = CheckpointMeta { sums: Default::default(), slices: vec![], format: 0, ..loaded.about.clone() };
        assert_eq!(told, CheckpointMeta { cursor: cursor(12), ..about() });
        assert_eq!(loaded.about.format, FORMAT);

        let again = Checkpoint::of_snapshot(&network, &back, meta(), about());
        assert_eq!(
            again.pieces().unwrap().concat(),
            std::fs::read(&saved.path).unwrap(),
            "the same state, the same bytes"
        );
        assert_eq!(again.into_owned().pieces().unwrap(), checkpoint.pieces().unwrap());
        assert_eq!(std::fs::metadata(&saved.path).unwrap().len(), saved.bytes);
        let model = model_file::load(&saved.path).unwrap();
        assert_eq!(
            (&model, model.tensors.len()),
            (&loaded.model, network.tensors().count() + network.statistics().count())
        );
        assert_eq!(ModelMeta { checkpoint: None, weights_hash: meta().weights_hash, ..model.meta }, meta());
    }
}

#[test]
fn the_last_two_are_kept_and_last_and_best_point_at_theirs() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("run/ckpt");
    let store = open(&dir);
    assert!(newest_valid(&RealDisk, &dir).unwrap().loaded.is_none());
    let name = |step: u64| format!("step-{step:08}.safetensors");
    for step in [9, 10, 100, 123_456_789] {
        let saved = save(&store, step).unwrap();
        if step == 10 {
            store.mark_best(&saved.path).unwrap();
            store.mark_best(&saved.path).unwrap();
        }
        assert_eq!(std::fs::read_link(dir.join("last")).unwrap(), Path::new(&name(step)));
    }
    let kept = [name(100), name(123_456_789), "best".into(), "last".into()];
    assert_eq!(names(&dir), BTreeSet::from(kept));
    for (name, step) in [("best", 10), ("last", 123_456_789)] {
        assert!(is_step(&load(&RealDisk, &dir.join(name)).unwrap(), step));
    }
    // Another course, from an earlier step: the later ones belong to the one that was left.
    save(&store, 50).unwrap();
    assert_eq!(names(&dir), BTreeSet::from([name(50), "best".into(), "last".into()]));
    assert!(store.mark_best(&store.path(7)).unwrap_err().to_string().contains("ckpt/best: cannot mark the best"));
}

#[test]
fn strange_names_are_passed_over_and_directories_and_renamed_files_are_named() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path();
    let store = open(dir);
    let path = save(&store, 5).unwrap().path;
    for name in ["step-7.safetensors", "step-0000000x.safetensors", "step-00000099.safetensors.bak", "notes.txt"] {
        std::fs::write(dir.join(name), "x").unwrap();
    }
    std::fs::create_dir(dir.join("step-00000008.safetensors")).unwrap();
    std::fs::copy(&path, dir.join("step-00000009.safetensors")).unwrap();
    std::fs::write(dir.join("step-99999999999999999999999.safetensors"), "x").unwrap();
    std::os::unix::fs::symlink("/dev/zero", dir.join("step-00000010.safetensors")).unwrap();
    std::fs::write(dir.join(".step-00000006.safetensors.1-2.tmp"), "x").unwrap();
    let newest = newest_valid(&RealDisk, dir).unwrap();
    assert!(is_step(&newest.loaded.unwrap(), 5));
    let parts = ["no ordinary file", "named after step 9 and holds step 5", "is a directory"];
    assert_eq!(newest.refused.len(), parts.len());
    for (refused, part) in newest.refused.iter().zip(parts) {
        let text = refused.why.to_string();
        assert!(text.contains(part) && text.starts_with(refused.path.to_str().unwrap()), "{text}");
        assert_eq!((refused.why.exit_code(), text.lines().count()), (4, 1));
    }
    open(dir);
    assert!(!names(dir).iter().any(|name| name.ends_with(".tmp")), "what a crash left is gone");
}

#[test]
fn another_network_and_values_that_are_not_finite_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let loaded = load(&RealDisk, &save(&store, 1).unwrap().path).unwrap();
    let wide = Network::build(mlp(3, &[], 3, &MlpOptions::default())).unwrap();
    let deep = Network::build(mlp(2, &[3], 3, &MlpOptions::default())).unwrap();
    for (other, part) in [(wide, "shape [3, 2], here [3, 3]"), (deep, "no tensor fc2.weight")] {
        let error = loaded.snapshot(&other).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("of another network"), "{error}");
    }
    for (slice, at, value, part) in [(0, 3, f32::NAN, "is NaN"), (0, 0, f32::INFINITY, "is inf")] {
        let mut bad = snapshot(2);
        bad.slices[slice].1[at] = value;
        let error = store.save(&Checkpoint::of_snapshot(&tiny(), &bad, meta(), about())).unwrap_err();
        assert!(error.to_string().contains(part) && error.exit_code() == 4, "{error}");
    }
    let mut short = snapshot(2);
    short.slices[0].1.pop();
    let error = store.save(&Checkpoint::of_snapshot(&tiny(), &short, meta(), about())).unwrap_err();
    assert!(error.to_string().contains("theta has 8 elements, its network 9"), "{error}");
    assert_eq!(names(dir.path()).len(), 2, "the old one and last");
}
