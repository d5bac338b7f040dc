//! model.safetensors: the weights, and with them all that `eval` and `predict` need.
//!
//! The format is the common one, so other programs read the tensors; what is ours stands as one
//! JSON text under the metadata key `goai`. The same model gives the same bytes. A file that is
//! read may come from anywhere: `model_bytes` checks it before it is believed.
//!
//! # References
//! The safetensors format, <https://github.com/huggingface/safetensors>.

use super::checkpoint::CheckpointMeta;
use super::disk::{Disk, RealDisk};
use super::error::{RunError, one_line};
use super::file::write_atomic;
use super::model_bytes::{from_bytes, to_bytes};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The version of [`ModelMeta`] that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// The cure for most of what a file can be that is no model.
pub(super) const RETRAIN: &str = "give a run directory or model file of goai-rs that is whole";

/// All that stands in a model file beside the tensors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelMeta {
    /// Version of this description: [`FORMAT`].
    pub format: u32,
    /// The network, in the words of the configuration.
    pub network: serde_json::Value,
    /// Name of the data set that it was trained on.
    pub dataset: String,
    /// Names of the input columns, in the order of the network's inputs.
    pub columns: Vec<String>,
    /// Name of the label column.
    pub label_column: String,
    /// Names of the classes, in the order of the network's outputs.
    pub classes: Vec<String>,
    /// What is subtracted from each input.
    pub means: Vec<f32>,
    /// What each input is divided by then.
    pub deviations: Vec<f32>,
    /// Hash of the weights, 16 hexadecimal digits.
    pub weights_hash: String,
    /// Where the data was looked for.
    pub data_dir: String,
    /// The shares of training, validation and test part, as the user gave them.
    pub data_split: String,
    /// The seed, which makes the same split again.
    pub seed: u64,
    /// The label column as the user gave it, if he did.
    pub label: Option<String>,
    /// Of the pictures that it reads; none when it reads rows of a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pictures: Option<PicturesMeta>,
    /// Where training stood, in a checkpoint; none in a finished model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointMeta>,
}

/// What a model that reads pictures says about them; means and deviations are those of the channels then.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PicturesMeta {
    /// Channels, height and width that every picture is brought to.
    pub shape: [usize; 3],
    /// Whether pictures that could not be read were left out in training.
    pub skip_bad: bool,
    /// Where decoded pictures were kept, if the user said it.
    pub cache_dir: Option<String>,
}

/// A model file, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Name, shape and values of each tensor, in the file's order (by name, where we wrote it).
    pub tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
    /// What stands beside them.
    pub meta: ModelMeta,
}

/// Writes a model file, all or nothing. `meta.format` is overruled by [`FORMAT`].
///
/// # Shapes
/// Each tensor's slice holds the product of its shape.
///
/// # Errors
/// [`RunError::Model`] for what could not be read back (a wrong length, a name used twice, values
/// that are not finite), [`RunError::Io`].
pub fn save(path: &Path, tensors: &[(String, Vec<usize>, &[f32])], meta: &ModelMeta) -> Result<(), RunError> {
    write_atomic(
        path,
        &to_bytes(tensors, meta).map_err(|why| refuse(path, why, "this is a fault of goai-rs: report it"))?,
    )
}

/// Reads a model file, or the model.safetensors of the run directory `path`. A checkpoint is a model file, too.
///
/// # Errors
/// [`RunError::Io`], and [`RunError::Model`] for a file that is something else, damaged, or from a newer version.
pub fn load(path: &Path) -> Result<Model, RunError> {
    let path = if path.is_dir() { path.join("model.safetensors") } else { path.to_owned() };
    let bytes = RealDisk.read(&path).map_err(RunError::io(&path, "read the model"))?;
    from_bytes(&bytes).map_err(|(why, cure)| refuse(&path, why, cure))
}

pub(super) fn refuse(path: &Path, why: String, cure: &'static str) -> RunError {
    RunError::Model { path: path.to_owned(), why: one_line(&why), cure }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A description with something in every field.
    pub(in crate::run) fn meta() -> ModelMeta {
        ModelMeta {
            format: FORMAT,
            network: serde_json::json!({"layers": [4, 3], "activation": "tanh"}),
            dataset: "iris".into(),
            columns: vec!["a".into(), "b".into()],
            label_column: "variety".into(),
            classes: vec!["Setosa".into(), "Virginica".into()],
            means: vec![0.1, f32::MIN_POSITIVE],
            deviations: vec![1.0 / 3.0, f32::MAX],
            weights_hash: "00000000000000ab".into(),
            data_dir: "datasets".into(),
            data_split: "0.8/0.1/0.1".into(),
            seed: u64::MAX,
            label: None,
            pictures: Some(PicturesMeta { shape: [3, 2, 1], skip_bad: true, cache_dir: Some("c".into()) }),
            checkpoint: None,
        }
    }

    const WEIGHT: [f32; 6] = [1.0, -2.5, 0.0, f32::MIN_POSITIVE, f32::MAX, -0.0];

    #[test]
    fn the_round_trip_is_exact_and_sorted_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        let tensors = [("b.bias".into(), vec![], &[7.0][..]), ("a.weight".into(), vec![2, 3], &WEIGHT[..])];
        save(&path, &tensors, &ModelMeta { format: 0, ..meta() }).unwrap();
        let model = load(dir.path()).unwrap();
        assert_eq!(model.meta, meta());
        assert_eq!(model.tensors[0], ("a.weight".into(), vec![2, 3], WEIGHT.to_vec()));
        assert!(model.tensors[0].2[5].is_sign_negative());
        assert_eq!(model.tensors[1], ("b.bias".into(), vec![], vec![7.0]));
        assert_eq!(load(&path).unwrap(), model);
    }

    #[test]
    fn what_could_not_be_read_back_is_not_written() {
        let one = |name: &str, shape: &[usize], values: &'static [f32]| (name.to_owned(), shape.to_vec(), values);
        let nan = ModelMeta { means: vec![f32::NAN], ..meta() };
        for (tensors, meta, part) in [
            (vec![one("a", &[2], &[1.0])], meta(), "tensor a"),
            (vec![one("a", &[], &[1.0]), one("a", &[], &[1.0])], meta(), "taken"),
            (vec![one("__metadata__", &[], &[1.0])], meta(), "taken"),
            (vec![one("a", &[2], &[1.0, f32::NAN])], meta(), "a[1] is NaN"),
            (vec![one("a", &[usize::MAX, 3], &[1.0])], meta(), "tensor a"),
            (vec![], nan, "means[0] is NaN"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let error = save(&dir.path().join("m"), &tensors, &meta).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("model.safetensors: cannot read the model"), "{error}");
        if Path::new("/dev/zero").exists() {
            let error = load(Path::new("/dev/zero")).unwrap_err().to_string();
            assert!(error.contains("no ordinary file"), "{error}");
        }
    }
}
