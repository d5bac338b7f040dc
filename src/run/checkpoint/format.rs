//! One checkpoint, one file, which is a model file too.
//!
//! θ and σ stand in it as the tensors of `model.safetensors`, so `eval` and `predict` take it; the other slices of the
//! state are flat tensors named `state.<slice>`. Each tensor has its checksum in the description, and the last eight
//! bytes, the tensor `seal`, are the checksum of all bytes before them. The same state gives the same bytes.

use crate::nn::{Network, Tensor};
use crate::run::RunError;
use crate::run::model_bytes::{Contents, STATE, bytes_of, contents, pieces};
use crate::run::model_file::{Model, ModelMeta, refuse};
use crate::run::state::hex_hash;
use crate::strategy::{Cursor, Snapshot, State};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// The version of [`CheckpointMeta`] that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// The cure for a file that is no checkpoint.
const GIVE: &str = "give a checkpoint of goai-rs that is whole, or --resume auto";

/// The cure for a checkpoint of another training.
const SAME: &str = "resume with the network that it was written with";

/// What stands in a checkpoint beside its tensors. Nothing of one rank, and no time: the same state gives the same bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CheckpointMeta {
    /// Version of this description: [`FORMAT`].
    pub format: u32,
    /// Where training stood.
    #[serde(with = "Position")]
    pub cursor: Cursor,
    /// The resolved config.toml.
    pub config: String,
    /// The seed of every draw.
    pub seed: u64,
    /// Samples whose gradients make one step.
    pub global_batch: u64,
    /// Samples in the training part.
    pub train_samples: u64,
    /// Fingerprint of the data, in hexadecimal digits.
    pub data_fingerprint: String,
    /// The training mode.
    pub mode: String,
    /// Ranks that wrote it; any number may go on.
    pub ranks: usize,
    /// Seconds on emulated machines so far, modelled.
    pub modelled_s: Option<f64>,
    /// Names of the slices of the state beside θ and σ, in their order.
    pub slices: Vec<String>,
    /// Checksum of each tensor, 16 hexadecimal digits.
    pub sums: BTreeMap<String, String>,
}

/// [`Cursor`] as it stands in a file.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Cursor")]
struct Position {
    epoch: u64,
    step_in_epoch: u64,
    step: u64,
    samples: u64,
}

/// A checkpoint to be written. It borrows the state until [`Checkpoint::into_owned`] copies it.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint<'a> {
    theta: Cow<'a, [f32]>,
    sigma: Cow<'a, [f32]>,
    rest: Vec<(String, Cow<'a, [f32]>)>,
    tensors: Vec<Tensor>,
    statistics: Vec<Tensor>,
    model: ModelMeta,
    about: CheckpointMeta,
}

impl<'a> Checkpoint<'a> {
    /// The checkpoint of a state. Overruled are, in `model`, format, hash of the weights and checkpoint, and in `about`
    /// format, cursor, slices and sums.
    pub fn of(network: &Network, state: &'a State, model: ModelMeta, about: CheckpointMeta) -> Self {
        let slices = state.slices().into_iter().map(|(name, values)| (name.to_owned(), Cow::Borrowed(values)));
        Self::new(network, state.cursor, slices.collect(), model, about)
    }

    /// The same of a copied state.
    pub fn of_snapshot(network: &Network, snapshot: &'a Snapshot, model: ModelMeta, about: CheckpointMeta) -> Self {
        let slices = snapshot.slices.iter().map(|(name, values)| (name.clone(), Cow::Borrowed(values.as_slice())));
        Self::new(network, snapshot.cursor, slices.collect(), model, about)
    }

    fn new(
        network: &Network,
        cursor: Cursor,
        slices: Vec<(String, Cow<'a, [f32]>)>,
        model: ModelMeta,
        about: CheckpointMeta,
    ) -> Self {
        let (mut theta, mut sigma, mut rest) = (Cow::default(), Cow::default(), Vec::new());
        for (name, values) in slices {
            match name.as_str() {
                "theta" => theta = values,
                "sigma" => sigma = values,
                _ => rest.push((name, values)),
            }
        }
        let slices = rest.iter().map(|(name, _)| name.clone()).collect();
        Self {
            theta,
            sigma,
            tensors: network.tensors().cloned().collect(),
            statistics: network.statistics().cloned().collect(),
            model,
            about: CheckpointMeta { format: FORMAT, cursor, slices, sums: BTreeMap::new(), ..about },
            rest,
        }
    }

    /// A copy that outlives the step.
    pub fn into_owned(self) -> Checkpoint<'static> {
        let own = |values: Cow<'a, [f32]>| Cow::Owned(values.into_owned());
        Checkpoint {
            theta: own(self.theta),
            sigma: own(self.sigma),
            rest: self.rest.into_iter().map(|(name, values)| (name, own(values))).collect(),
            tensors: self.tensors,
            statistics: self.statistics,
            model: self.model,
            about: self.about,
        }
    }

    /// Steps finished since the beginning, by which its file is named.
    pub fn step(&self) -> u64 {
        self.about.cursor.step
    }

    /// Bytes of its vectors.
    pub fn bytes(&self) -> u64 {
        let rest: usize = self.rest.iter().map(|(_, values)| values.len()).sum();
        (self.theta.len() + self.sigma.len() + rest) as u64 * 4
    }

    /// Its file, in pieces that stand one behind the other; what is wrong with it otherwise.
    pub(super) fn pieces(&self) -> Result<Vec<Cow<'_, [u8]>>, String> {
        let mut tensors = Vec::new();
        for (what, all, vector) in [("theta", &self.tensors, &self.theta), ("sigma", &self.statistics, &self.sigma)] {
            let len: usize = all.iter().map(|tensor| tensor.span.len).sum();
            if len != vector.len() {
                return Err(format!("its {what} has {} elements, its network {len}", vector.len()));
            }
            for tensor in all {
                let values = vector.get(tensor.span.range()).ok_or("its network's spans do not cover it")?;
                tensors.push((tensor.name.clone(), tensor.shape.clone(), values));
            }
        }
        tensors
            .extend(self.rest.iter().map(|(name, values)| (format!("{STATE}{name}"), vec![values.len()], &**values)));
        let (checkpoint, weights_hash) = (Some(self.about.clone()), hex_hash(xxh3_64(&bytes_of(&self.theta))));
        pieces(tensors, &ModelMeta { checkpoint, weights_hash, ..self.model.clone() })
    }
}

/// A checkpoint, read and found whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// Its file.
    pub path: PathBuf,
    /// Where training stood and what it was.
    pub about: CheckpointMeta,
    /// θ and σ as tensors, and what a model file says beside them.
    pub model: Model,
    /// The other slices of the state.
    pub state: Vec<(String, Vec<f32>)>,
}

impl Loaded {
    /// The checkpoint in these bytes of the file `path`.
    pub(in crate::run) fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, RunError> {
        let Contents { model, state } = contents(bytes).map_err(|(why, cure)| match cure {
            crate::run::model_file::RETRAIN => refuse(path, why, GIVE),
            cure => refuse(path, why, cure),
        })?;
        let Some(about) = model.meta.checkpoint.clone() else {
            return Err(refuse(path, "this is a model without the state of a training".into(), GIVE));
        };
        let mut names: Vec<&str> = state.iter().map(|(name, _)| name.as_str()).collect();
        names.dedup();
        if names != about.slices {
            let why = format!("its state should hold {:?} and holds {names:?}", about.slices);
            return Err(refuse(path, why, GIVE));
        }
        Ok(Self { path: path.to_owned(), about, model, state })
    }

    /// The state to go on from: what was saved, bit for bit, as one vector θ and one σ.
    ///
    /// # Errors
    /// [`RunError::Model`] when it was written with another network.
    pub fn snapshot(&self, network: &Network) -> Result<Snapshot, RunError> {
        let wrong = |why: String| refuse(&self.path, why, SAME);
        let by_name: BTreeMap<&str, (&[usize], &[f32])> =
            self.model.tensors.iter().map(|(name, shape, values)| (name.as_str(), (&shape[..], &values[..]))).collect();
        let mut theta = vec![0.0; network.theta_len()];
        let mut sigma = vec![0.0; network.sigma_len()];
        let places = network.tensors().map(|tensor| (tensor, true));
        for (tensor, trained) in places.chain(network.statistics().map(|tensor| (tensor, false))) {
            let (shape, values) = by_name
                .get(tensor.name.as_str())
                .ok_or_else(|| wrong(format!("it is of another network: it has no tensor {}", tensor.name)))?;
            if *shape != tensor.shape {
                let (name, here) = (&tensor.name, &tensor.shape);
                return Err(wrong(format!("it is of another network: its {name} has shape {shape:?}, here {here:?}")));
            }
            let vector = if trained { &mut theta } else { &mut sigma };
            vector[tensor.span.range()].copy_from_slice(values);
        }
        let known = network.tensors().count() + network.statistics().count();
        if by_name.len() != known {
            return Err(wrong(format!("it is of another network: it has {} tensors, here {known}", by_name.len())));
        }
        let mut slices = vec![("theta".to_owned(), theta), ("sigma".to_owned(), sigma)];
        slices.extend(self.state.iter().cloned());
        Ok(Snapshot { cursor: self.about.cursor, slices })
    }
}
