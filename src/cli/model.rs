//! A trained model, read back and checked until it can run.
//!
//! A model file may come from anywhere. That it is a whole file is checked by [`model_file`]; here
//! its parts are checked against each other, before memory is taken for the network, so that nothing
//! in a file can make this program panic or take more memory than the file's own size justifies.

use super::failure::{DATA, Failure};
use super::task::Scale;
use crate::config::ImageSize;
use crate::data::pictures::PixelScale;
use crate::data::standardize::Standardizer;
use crate::data::{Layout, Samples, Visit};
use crate::nn::{Context, Flavor, Network, Output, Program, Spec, Tally, argmax};
use crate::run::RunError;
use crate::run::checkpoint::newest_valid;
use crate::run::disk::RealDisk;
use crate::run::error::{one_line, show};
use crate::run::model_file::{self, Model, ModelMeta, PicturesMeta};
use crate::run::state::{State, hex_hash, read_state};
use crate::strategy::team;
use ndarray::{Array2, ArrayView2};
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

/// The cure for a file whose parts contradict each other.
const WHOLE: &str = "give a run directory or model file as goai-rs wrote it";

/// Activations of one sample that any file may ask for; more only in proportion to its weights.
const ACTIVATIONS: usize = 1 << 22;

/// Most rows that run through the network at once.
const BLOCK: usize = 256;

/// A model that fits together.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedModel {
    /// The network; its last output is its own, those before it are exit heads.
    pub network: Network,
    /// Its weights.
    pub theta: Vec<f32>,
    /// Its running statistics.
    pub sigma: Vec<f32>,
    /// What the file says of the data it was trained on.
    pub meta: ModelMeta,
    /// The scaling of its inputs.
    pub scale: Scale,
}

impl LoadedModel {
    /// Reads the model of a run directory (or of a link to one), a model file, or a checkpoint. A run that has no model
    /// yet gives the newest of its checkpoints that is whole, and says so.
    ///
    /// # Errors
    /// A run without a model, a file that is none, and a file that contradicts itself; exit code 4.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let mut file = if path.is_dir() { path.join("model.safetensors") } else { path.to_owned() };
        if file != path && !file.exists() {
            match newest_valid(&RealDisk, &path.join("ckpt"))?.loaded {
                Some(checkpoint) => {
                    let (name, step) = (show(&checkpoint.path), checkpoint.about.cursor.step);
                    let text =
                        format!("note: the run has no model yet; this is its checkpoint of step {step}, {name}\n");
                    // Without a reader nobody is told.
                    let _ = std::io::stderr().write_all(text.as_bytes());
                    file = checkpoint.path;
                }
                None => no_model_yet(path)?,
            }
        }
        let model = model_file::load(&file)?;
        let refuse = |why: String| RunError::Model { path: file.clone(), why: one_line(&why), cure: WHOLE };
        Ok(assemble(model).map_err(refuse)?)
    }

    /// Rows of a table with the model's columns, as the network reads them.
    ///
    /// # Shapes
    /// `features` is `[N, D]` as in the table, not standardised.
    pub fn rows<'a>(&'a self, features: &'a Array2<f32>) -> TableRows<'a> {
        TableRows { features, scale: &self.scale }
    }

    /// Runs samples through the network, in blocks, on the threads of the current pool: `each` gets the first sample of
    /// a block, its outputs and, where `labels` are given, the sums of its loss and right answers. Exit heads are not
    /// asked.
    ///
    /// # Shapes
    /// The outputs are `[B, K]`.
    ///
    /// # Errors
    /// The first sample for which an output is not a finite number: its values are too large.
    pub fn forward(
        &self,
        samples: &dyn Samples,
        labels: Option<&[u32]>,
        mut each: impl FnMut(usize, ArrayView2<f32>, Tally),
    ) -> Result<(), usize> {
        let last = [answer(&self.network)];
        self.run(&last, samples, labels, |start, outputs, tallies| each(start, outputs[0], tallies[0]))
    }

    /// As [`LoadedModel::forward`], with the outputs and sums of every head, the network's own being the last.
    ///
    /// # Errors
    /// The first sample for which an output of any head is not a finite number.
    pub fn forward_heads(
        &self,
        samples: &dyn Samples,
        labels: Option<&[u32]>,
        each: impl FnMut(usize, &[ArrayView2<f32>], &[Tally]),
    ) -> Result<(), usize> {
        self.run(self.network.outputs(), samples, labels, each)
    }

    fn run(
        &self,
        heads: &[Output],
        samples: &dyn Samples,
        labels: Option<&[u32]>,
        mut each: impl FnMut(usize, &[ArrayView2<f32>], &[Tally]),
    ) -> Result<(), usize> {
        let rows = samples.len();
        let program = Program::compile(&self.network, Flavor::Fused);
        let capacity = (ACTIVATIONS / activations(&self.network).max(1)).clamp(1, BLOCK).min(rows.max(1));
        let mut workspace = program.forward_workspace(capacity);
        for start in (0..rows).step_by(capacity) {
            let end = (start + capacity).min(rows);
            workspace.begin(end - start);
            workspace.fill(0, team(), &|b, layout, row| samples.load(start + b, Visit::MEASURE, layout, row));
            let ids: Vec<u32> = (start..end).map(|row| row as u32).collect();
            let context = Context { team: team(), ..Context::eval(&ids, &self.sigma) };
            program.forward(&context, &self.theta, &mut workspace);
            let outputs: Vec<ArrayView2<f32>> = heads.iter().map(|head| workspace.value(head.value)).collect();
            let finite = |row: usize| outputs.iter().all(|head| head.row(row).iter().all(|value| value.is_finite()));
            if let Some(row) = (0..end - start).find(|row| !finite(*row)) {
                return Err(start + row);
            }
            let tally = |(head, outputs): (&Output, &ArrayView2<f32>)| match labels {
                Some(labels) => head.loss.evaluate(*outputs, &labels[start..end], None),
                None => Tally::default(),
            };
            let tallies: Vec<Tally> = heads.iter().zip(&outputs).map(tally).collect();
            each(start, &outputs, &tallies);
        }
        Ok(())
    }

    /// The class with the largest output, the first of equal ones, and the probability of each class.
    ///
    /// # Math
    /// Cross-entropy: pₖ = exp oₖ / Σ exp oⱼ, what the network was trained to make true.
    /// L2: pₖ = max(oₖ, 0) / Σ max(oⱼ, 0), the outputs of the last sigmoids brought to sum 1: an order
    /// of the classes rather than a calibrated probability. If all are 0, each class has 1 / K.
    pub fn probabilities(&self, outputs: &[f32]) -> (usize, Vec<f32>) {
        self.probabilities_at(self.network.outputs().len() - 1, outputs)
    }

    /// As [`LoadedModel::probabilities`], from the outputs of a head.
    ///
    /// # Panics
    /// If there is no such head.
    pub fn probabilities_at(&self, head: usize, outputs: &[f32]) -> (usize, Vec<f32>) {
        let best = argmax(outputs);
        let loss = self.network.outputs()[head].loss;
        (best, loss.probabilities(outputs).into_iter().map(|p| p as f32).collect())
    }
}

/// Rows of a table, standardised as they are read.
pub struct TableRows<'a> {
    features: &'a Array2<f32>,
    scale: &'a Scale,
}

impl Samples for TableRows<'_> {
    fn len(&self) -> usize {
        self.features.nrows()
    }

    fn load(&self, i: usize, _: Visit, layout: Layout, row: &mut [f32]) {
        for (at, &value) in self.features.row(i).iter().enumerate() {
            row[layout.at(at)] = match self.scale {
                Scale::Columns(columns) => columns.value(at, value),
                Scale::Pixels(_) => value,
            };
        }
    }

    fn label(&self, _: usize) -> u32 {
        0
    }
}

/// Says of a run directory without a model why there is none, where its run.json tells.
fn no_model_yet(run: &Path) -> Result<(), Failure> {
    let Ok(json) = read_state(run) else {
        return Ok(());
    };
    let why = match json.state {
        State::Complete if json.cv.is_some() => {
            "a cross-validation trains many models and leaves none; train without --folds".to_owned()
        }
        State::Complete => "the run is complete and its model.safetensors is gone; train it again".to_owned(),
        state => format!("the run is {state} and has no model; give a run whose state is complete"),
    };
    Err(Failure::new(DATA, format!("{}: {why}", show(run))))
}

/// The network with its weights; or what contradicts what in the file.
fn assemble(model: Model) -> Result<LoadedModel, String> {
    let Model { tensors, meta } = model;
    let spec: Spec = serde_json::from_value(meta.network.clone()).map_err(|why| format!("its network: {why}"))?;
    let network = Network::build(spec).map_err(|why| format!("its network: {why}"))?;
    let weights: usize = tensors.iter().map(|(.., values)| values.len()).sum();
    check_network(&network, weights)?;
    check_meta(&network, &meta)?;
    let mut theta = gather(&network, tensors)?;
    let sigma = theta.split_off(network.theta_len());
    let bytes: Vec<u8> = theta.iter().flat_map(|weight| weight.to_le_bytes()).collect();
    let hash = hex_hash(xxh3_64(&bytes));
    if hash != meta.weights_hash {
        return Err(format!(
            "the weights have the hash {hash}, and {} was written: they were changed",
            meta.weights_hash
        ));
    }
    let (means, deviations) = (meta.means.clone(), meta.deviations.clone());
    let scale = match meta.pictures {
        Some(_) => Scale::Pixels(PixelScale { means, deviations }),
        None => Scale::Columns(Standardizer { means, deviations }),
    };
    Ok(LoadedModel { network, theta, sigma, meta, scale })
}

/// The output that answers: the last, behind all exits.
fn answer(network: &Network) -> Output {
    *network.outputs().last().expect("a network without outputs is not built")
}

/// Sizes before anything of these sizes is allocated.
fn check_network(network: &Network, weights: usize) -> Result<(), String> {
    let most = weights.saturating_mul(16).saturating_add(ACTIVATIONS);
    let needed = activations(network);
    if needed > most {
        return Err(format!("its network needs {needed} values a sample, too many for {weights} weights"));
    }
    Ok(())
}

/// Values that one sample needs, those of padding included.
fn activations(network: &Network) -> usize {
    const PADDING: usize = 16;
    let sizes = network.shapes().iter().map(|shape| shape.elements().saturating_add(PADDING));
    sizes.fold(0, usize::saturating_add)
}

fn check_meta(network: &Network, meta: &ModelMeta) -> Result<(), String> {
    let inputs = network.shapes()[0].elements();
    // One scale a column of a table, or a channel of pictures.
    let (scales, columns) = match &meta.pictures {
        Some(pictures) => (check_pictures(network, pictures)?, 0),
        None => (inputs, inputs),
    };
    for (what, length, wanted) in [
        ("columns", meta.columns.len(), columns),
        ("means", meta.means.len(), scales),
        ("deviations", meta.deviations.len(), scales),
    ] {
        if length != wanted {
            return Err(format!("its network reads {inputs} values, and it has {length} {what}"));
        }
    }
    let classes = meta.classes.len();
    let outputs = network.outputs().iter().map(|output| network.shapes()[output.value].elements());
    if let Some(outputs) = outputs.into_iter().find(|outputs| *outputs != classes) {
        return Err(format!("its network has {outputs} outputs for {classes} classes"));
    }
    for (what, names) in [("column", &meta.columns), ("class", &meta.classes)] {
        let mut sorted: Vec<_> = names.iter().collect();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("the {what} {:?} is there twice", pair[0]));
        }
    }
    let place = |at: usize| match meta.columns.get(at) {
        Some(column) => format!("column {column:?}"),
        None => format!("channel {at}"),
    };
    if let Some(at) = meta.means.iter().position(|mean| !mean.is_finite()) {
        return Err(format!("the mean of {} is {}", place(at), meta.means[at]));
    }
    let usable = |deviation: &f32| deviation.is_finite() && *deviation > 0.0;
    if let Some(at) = meta.deviations.iter().position(|deviation| !usable(deviation)) {
        return Err(format!("the deviation of {} is {}", place(at), meta.deviations[at]));
    }
    Ok(())
}

/// The channels of the pictures that a model reads.
fn check_pictures(network: &Network, pictures: &PicturesMeta) -> Result<usize, String> {
    let [channels, height, width] = pictures.shape;
    let inputs = network.shapes()[0].elements();
    if !matches!(channels, 1 | 3) || [height, width].iter().any(|side| !(1..=ImageSize::MOST).contains(side)) {
        return Err(format!("it reads pictures of {channels}x{height}x{width}, which are none"));
    }
    if channels * height * width != inputs {
        return Err(format!("its network reads {inputs} values, and its pictures have {channels}x{height}x{width}"));
    }
    Ok(channels)
}

/// θ and behind it σ in the network's order, from tensors in any order.
fn gather(network: &Network, tensors: Vec<(String, Vec<usize>, Vec<f32>)>) -> Result<Vec<f32>, String> {
    let mut by_name: HashMap<String, (Vec<usize>, Vec<f32>)> =
        tensors.into_iter().map(|(name, shape, values)| (name, (shape, values))).collect();
    let mut theta = Vec::new();
    for tensor in network.tensors().chain(network.statistics()) {
        let (shape, values) =
            by_name.remove(&tensor.name).ok_or_else(|| format!("tensor {} of its network is missing", tensor.name))?;
        // The shape bounds the number of values: the file's reader has compared the two.
        if shape != tensor.shape || values.len() != tensor.span.len {
            return Err(format!("tensor {} has shape {shape:?}, its network says {:?}", tensor.name, tensor.shape));
        }
        theta.extend(values);
    }
    match by_name.keys().min() {
        Some(name) => Err(format!("tensor {name} belongs to no layer of its network")),
        None => Ok(theta),
    }
}
