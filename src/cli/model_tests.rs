//! Models made by hand, and files that are none.

use super::model::LoadedModel;
use super::task::Scale;
use crate::nn::zoo::{MlpOptions, mlp};
use crate::nn::{Init, Loss, Network};
use crate::run::RunDir;
use crate::run::checkpoint::{Checkpoint, CheckpointMeta, Store};
use crate::run::disk::RealDisk;
use crate::run::model_file::{ModelMeta, save};
use crate::run::state::{Cv, RunJson, hex_hash};
use crate::strategy::{Cursor, Snapshot};
use ndarray::{Array2, array};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// A model as training would save it: network, weights and what it says of iris.
pub(super) struct Handmade {
    pub network: Network,
    pub theta: Vec<f32>,
    pub meta: ModelMeta,
}

impl Handmade {
    /// An untrained 4-5-3 network on iris.
    pub fn new(loss: Loss) -> Self {
        let network = Network::build(mlp(4, &[5], 3, &MlpOptions { loss, ..MlpOptions::default() })).unwrap();
        let theta = Init::Glorot.draw(&network, 1);
        Self { meta: meta(&network), network, theta }
    }

    /// Linear in standardised petal width: its three classes are nearly right on iris.
    pub fn by_petal_width() -> Self {
        let network = Network::build(mlp(4, &[], 3, &MlpOptions::default())).unwrap();
        let mut theta = vec![0.0; network.theta_len()];
        // fc1.weight is [3, 4]; the last column is the petal's width, 0.2, 1.3 and 2.0 cm in the mean.
        (theta[3], theta[11]) = (-8.0, 8.0);
        theta[12..].copy_from_slice(&[-4.0, 0.0, -6.0]);
        let meta =
            ModelMeta { means: vec![0.0, 0.0, 0.0, 1.2], deviations: vec![1.0, 1.0, 1.0, 0.76], ..meta(&network) };
        Self { network, theta, meta }
    }

    /// Writes it as the model.safetensors of `dir`.
    pub fn save(&self, dir: &Path) -> PathBuf {
        let file = dir.join("model.safetensors");
        let tensor = |t: &crate::nn::Tensor| (t.name.clone(), t.shape.clone(), &self.theta[t.span.range()]);
        let tensors: Vec<_> = self.network.tensors().map(tensor).collect();
        let hash = hex_hash(xxh3_64(bytemuck::cast_slice(&self.theta)));
        save(&file, &tensors, &ModelMeta { weights_hash: hash, ..self.meta.clone() }).unwrap();
        file
    }
}

fn meta(network: &Network) -> ModelMeta {
    ModelMeta {
        network: serde_json::to_value(network.spec()).unwrap(),
        dataset: "iris".into(),
        columns: ["sepal.length", "sepal.width", "petal.length", "petal.width"].map(str::to_owned).to_vec(),
        label_column: "variety".into(),
        classes: ["Setosa", "Versicolor", "Virginica"].map(str::to_owned).to_vec(),
        means: vec![5.8, 3.0, 3.7, 1.2],
        deviations: vec![0.8, 0.4, 1.7, 0.7],
        data_dir: "no/such/place".into(),
        data_split: "0.8/0.1/0.1".into(),
        seed: 1,
        ..ModelMeta::default()
    }
}

#[test]
fn a_model_comes_back_from_its_directory_a_link_and_its_file() {
    let root = tempfile::tempdir().unwrap();
    let run = root.path().join("run");
    std::fs::create_dir(&run).unwrap();
    let model = Handmade::new(Loss::CrossEntropy);
    let file = model.save(&run);
    let link = root.path().join("latest");
    #[cfg(unix)]
    std::os::unix::fs::symlink("run", &link).unwrap();
    for path in [&run, &link, &file] {
        let loaded = LoadedModel::load(path).unwrap();
        assert_eq!((&loaded.network, &loaded.theta), (&model.network, &model.theta));
        let Scale::Columns(scale) = &loaded.scale else { panic!("a table's") };
        assert_eq!(scale.means, model.meta.means);
    }
}

#[test]
fn a_checkpoint_is_a_model() {
    let root = tempfile::tempdir().unwrap();
    let model = Handmade::by_petal_width();
    let slices = vec![("theta", model.theta.clone()), ("sigma", vec![]), ("first_moment", model.theta.clone())];
    let slices = slices.into_iter().map(|(name, slice)| (name.to_owned(), slice)).collect();
    let snapshot = Snapshot { cursor: Cursor { step: 7, ..Cursor::default() }, slices };
    let checkpoint = Checkpoint::of_snapshot(&model.network, &snapshot, model.meta.clone(), CheckpointMeta::default());
    let store = Store::open(&root.path().join("ckpt"), Arc::new(RealDisk)).unwrap();
    let file = store.save(&checkpoint).unwrap().path;
    let loaded = LoadedModel::load(&file).unwrap();
    assert_eq!((&loaded.network, &loaded.theta), (&model.network, &model.theta));
    let last = LoadedModel::load(&root.path().join("ckpt/last")).unwrap();
    assert_eq!(last.theta, model.theta);
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let failure = LoadedModel::load(&file).unwrap_err();
    assert!(failure.code == 4 && failure.message.contains("have the checksum"), "{}", failure.message);
}

#[test]
fn outputs_are_the_layers_by_hand_in_every_block() {
    let root = tempfile::tempdir().unwrap();
    let model = LoadedModel::load(&Handmade::by_petal_width().save(root.path())).unwrap();
    let features = Array2::from_shape_fn((600, 4), |(row, _)| row as f32 / 200.0);
    let (mut seen, mut total) = (0, crate::nn::Tally::default());
    let labels = vec![1; 600];
    model
        .forward(&model.rows(&features), Some(&labels), |start, outputs, tally| {
            assert_eq!(start, seen);
            for (at, row) in outputs.rows().into_iter().enumerate() {
                let z = (features[[start + at, 3]] - 1.2) / 0.76;
                for (value, expected) in row.iter().zip([-8.0 * z - 4.0, 0.0, 8.0 * z - 6.0]) {
                    assert!((value - expected).abs() < 1e-4, "row {}: {row} for {z}", start + at);
                }
            }
            seen += outputs.nrows();
            total += tally;
        })
        .unwrap();
    assert_eq!((seen, total.samples), (600, 600));
    assert!(total.loss > 0.0 && total.correct > 0 && total.correct < 600);
}

#[test]
fn rows_that_overflow_are_named() {
    let root = tempfile::tempdir().unwrap();
    let mut model = Handmade::by_petal_width();
    model.theta[3] = 1e30;
    let model = LoadedModel::load(&model.save(root.path())).unwrap();
    let features = array![[0., 0., 0., 1.], [0., 0., 0., 1e30]];
    assert_eq!(model.forward(&model.rows(&features), None, |_, _, _| {}), Err(1));
}

#[test]
fn probabilities_add_up_to_one() {
    let root = tempfile::tempdir().unwrap();
    let of = |loss, outputs: &[f32]| {
        let model = LoadedModel::load(&Handmade::new(loss).save(root.path())).unwrap();
        model.probabilities(outputs)
    };
    let e = 1f32.exp();
    for (loss, outputs, best, expected) in [
        (Loss::CrossEntropy, [0.0, 1.0, 0.0], 1, [1.0 / (2.0 + e), e / (2.0 + e), 1.0 / (2.0 + e)]),
        (Loss::CrossEntropy, [3e38, -3e38, 3e38], 0, [0.5, 0.0, 0.5]),
        (Loss::L2, [0.2, 0.5, 0.3], 1, [0.2, 0.5, 0.3]),
        (Loss::L2, [0.1, 0.1, 0.2], 2, [0.25, 0.25, 0.5]),
        (Loss::L2, [0.0, 0.0, 0.0], 0, [1.0 / 3.0; 3]),
        (Loss::L2, [-1.0, -0.5, 0.5], 2, [0.0, 0.0, 1.0]),
    ] {
        let (label, shares) = of(loss, &outputs);
        assert_eq!(label, best, "{outputs:?}");
        let near = shares.iter().zip(expected).all(|(share, expected)| (share - expected).abs() < 1e-6);
        assert!(near, "{outputs:?}: {shares:?}");
    }
}

#[test]
fn a_run_without_a_model_says_why() {
    for (code, cv, part) in [
        (None, None, "the run is running and has no model"),
        (Some(6), None, "the run is diverged and has no model"),
        (Some(0), None, "is gone"),
        (Some(0), Some(Cv::default()), "without --folds"),
    ] {
        let root = tempfile::tempdir().unwrap();
        let dir = RunDir::create(Some(&root.path().join("run")), "").unwrap();
        let mut json = RunJson { cv, ..RunJson::default() };
        code.into_iter().for_each(|code| json.finish(code, None));
        json.write(&dir).unwrap();
        let failure = LoadedModel::load(dir.path()).unwrap_err();
        assert_eq!(failure.code, 4);
        assert!(failure.message.contains(part), "{failure}");
    }
}

/// A change to the metadata.
type Change = fn(&mut ModelMeta);

/// A network of its own description, for files whose tensors do not matter.
fn network(input: usize, nodes: Value, outputs: Value) -> Value {
    json!({"name": "n", "input": [input], "nodes": nodes, "outputs": outputs})
}

fn dense(inputs: u64, outputs: u64) -> Value {
    json!([{"name": "fc1", "layer": {"kind": "dense", "inputs": inputs, "outputs": outputs}, "inputs": ["input"]}])
}

fn one_output(node: &str) -> Value {
    json!([{"node": node, "loss": "cross-entropy"}])
}

#[test]
fn bad_descriptions_are_refused_in_one_line() {
    let table: [(Change, &str); 22] = [
        (|meta| meta.network = Value::Null, "its network: "),
        (|meta| meta.network = json!("mlp"), "its network: "),
        (|meta| meta.network = json!({"layers": [4, 3]}), "missing field"),
        (|meta| meta.network["nodes"][0]["layer"]["kind"] = json!("conv\n9"), "unknown variant"),
        (|meta| meta.network["nodes"][0]["layer"]["inputs"] = json!(-4), "its network: "),
        (|meta| meta.network["nodes"][0]["layer"]["inputs"] = json!(5), "cannot read a tensor of 4"),
        (|meta| meta.network["nodes"][0]["inputs"] = json!(["fc2"]), "no earlier node"),
        (|meta| meta.network["nodes"][0]["inputs"] = json!([]), "its network: "),
        (|meta| meta.network["outputs"] = json!([]), "has no output"),
        (|meta| meta.network = network(4, dense(4, u64::MAX), one_output("fc1")), "its network: "),
        (|meta| meta.network = network(usize::MAX, json!([]), one_output("input")), "its network: "),
        (|meta| meta.network = network(0, json!([]), one_output("input")), "its network: "),
        (|meta| meta.network = network(1 << 40, json!([]), one_output("input")), "too many for 43 weights"),
        (|meta| meta.network = network(4, dense(4, 1 << 40), one_output("fc1")), "too many for 43 weights"),
        (|meta| meta.network = network(4, dense(4, 4), one_output("fc1")), "4 outputs for 3 classes"),
        (|meta| meta.network = network(4, dense(4, 3), one_output("fc1")), "tensor fc1.weight has shape [5, 4]"),
        (|meta| meta.columns.truncate(3), "reads 4 values, and it has 3 columns"),
        (|meta| meta.means.clear(), "0 means"),
        (|meta| meta.deviations[2] = 0.0, "the deviation of column \"petal.length\" is 0"),
        (|meta| meta.deviations[2] = -1.0, "is -1"),
        (|meta| meta.columns[1] = "sepal.length".into(), "the column \"sepal.length\" is there twice"),
        (|meta| meta.classes[1] = "Setosa".into(), "the class \"Setosa\" is there twice"),
    ];
    for (change, part) in table {
        let root = tempfile::tempdir().unwrap();
        let mut model = Handmade::new(Loss::CrossEntropy);
        change(&mut model.meta);
        refused(&model.save(root.path()), part);
    }
}

#[test]
fn weights_that_are_not_the_networks_are_refused() {
    let good = Handmade::new(Loss::CrossEntropy);
    let all: Vec<(String, Vec<usize>, Vec<f32>)> = good
        .network
        .tensors()
        .map(|t| (t.name.clone(), t.shape.clone(), good.theta[t.span.range()].to_vec()))
        .collect();
    let mut missing = all.clone();
    missing.pop();
    let mut extra = all.clone();
    extra.push(("fc9.weight".into(), vec![1], vec![0.0]));
    let mut turned = all.clone();
    turned[0].1.reverse();
    let mut renamed = all.clone();
    renamed[1].0 = "fc1.\u{1b}[31mbias".into();
    let mut changed = all.clone();
    changed[0].2[0] += 1.0;
    for (tensors, part) in [
        (missing, "tensor fc2.bias of its network is missing"),
        (extra, "tensor fc9.weight belongs to no layer"),
        (turned, "tensor fc1.weight has shape [4, 5], its network says [5, 4]"),
        (renamed, "tensor fc1.bias of its network is missing"),
        (Vec::new(), "tensor fc1.weight of its network is missing"),
        (changed, "they were changed"),
    ] {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("model.safetensors");
        let borrowed: Vec<_> = tensors.iter().map(|(n, s, v)| (n.clone(), s.clone(), v.as_slice())).collect();
        let hash = hex_hash(xxh3_64(bytemuck::cast_slice(&good.theta)));
        save(&file, &borrowed, &ModelMeta { weights_hash: hash, ..good.meta.clone() }).unwrap();
        refused(&file, part);
    }
}

#[test]
fn what_is_no_model_file_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let whole = std::fs::read(Handmade::new(Loss::L2).save(root.path())).unwrap();
    for (bytes, part) in [
        (b"".as_slice(), "an empty file"),
        (b"a,b,c\n1,2,3\n", "a text file"),
        (b"PK\x03\x04 and more", "a zip archive"),
        (&whole[..whole.len() / 2], "not a whole safetensors file"),
        (&whole[..whole.len() - 1], "not a whole safetensors file"),
    ] {
        let file = root.path().join("bad");
        std::fs::write(&file, bytes).unwrap();
        refused(&file, part);
    }
    let failure = LoadedModel::load(&root.path().join("none")).unwrap_err();
    assert!(failure.code == 4 && failure.message.contains("none: cannot read the model"), "{failure}");
    let empty = root.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let failure = LoadedModel::load(&empty).unwrap_err();
    assert!(failure.message.contains("empty/model.safetensors: cannot read"), "{failure}");
}

#[test]
fn no_byte_of_a_file_can_make_it_panic() {
    let root = tempfile::tempdir().unwrap();
    let file = Handmade::new(Loss::CrossEntropy).save(root.path());
    let whole = std::fs::read(&file).unwrap();
    let weights = whole.len() - 4 * 43;
    let (mut loaded, mut refused) = (0, 0);
    for (at, other) in (0..weights).step_by(3).flat_map(|at| [b'9', b'-', b'e'].map(|other| (at, other))) {
        let mut bytes = whole.clone();
        bytes[at] = other;
        std::fs::write(&file, bytes).unwrap();
        match LoadedModel::load(&file) {
            Ok(model) => {
                let _ = model.forward(&model.rows(&array![[5.1, 3.5, 1.4, 0.2]]), Some(&[2]), |_, _, _| loaded += 1);
            }
            Err(failure) => {
                assert!(failure.code == 4 && !failure.message.contains('\n'), "byte {at}: {failure}");
                refused += 1;
            }
        }
    }
    // A changed name does no harm; a changed size, layer or tensor is found.
    assert!(loaded > 50 && refused > 500, "{loaded} {refused}");
}

/// Loading this file fails with exit code 4 and one line that names the file, the fault and a cure.
fn refused(file: &Path, part: &str) {
    let failure = LoadedModel::load(file).unwrap_err();
    assert_eq!(failure.code, 4);
    for part in [part, file.to_str().unwrap(), "; give a run directory or model file"] {
        assert!(failure.message.contains(part), "{part:?} is not in: {failure}");
    }
    assert!(!failure.message.chars().any(char::is_control), "{failure:?}");
}
