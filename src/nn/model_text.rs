//! A network written as TOML: what `--model FILE.toml` names.
//!
//! The format is described in `docs/models.md`. Widths follow from the data and from the layers before, names from the
//! kinds, so that a file says only what the author decided. Only text is read here; whoever has the file adds its name
//! to the error.

use super::layers::LayerKind;
use super::nearest::{did_you_mean, shown};
use super::network::check_size;
use super::spec::INPUT;
use super::{Loss, NodeSpec, OutputSpec, Shape, Spec};
use serde::Deserialize;
use std::collections::HashMap;
use toml::de::{DeTable, DeValue};

/// What is wrong with a model file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("line {line}: {what}; {cure}")]
pub struct ModelTextError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
    /// What to do.
    pub cure: String,
}

/// A kind of layer in a file: its name, what its layers are called, its settings.
type Kind = (&'static str, &'static str, &'static [&'static str]);
const KINDS: &[Kind] = &[
    ("add", "add", &[]),
    ("avg_pool", "pool", &["kernel", "stride", "padding"]),
    ("batch_norm", "bn", &["channels", "eps"]),
    ("concat", "concat", &[]),
    ("conv2d", "conv", &["inputs", "outputs", "kernel", "stride", "padding", "bias"]),
    ("dense", "fc", &["inputs", "outputs"]),
    ("dropout", "dropout", &["rate"]),
    ("flatten", "flatten", &[]),
    ("global_avg_pool", "pool", &[]),
    ("global_max_pool", "pool", &[]),
    ("max_pool", "pool", &["kernel", "stride", "padding"]),
    ("relu", "relu", &[]),
    ("sigmoid", "act", &[]),
    ("softmax", "softmax", &[]),
    ("standardize", "norm", &[]),
    ("tanh", "act", &[]),
];

/// What every layer may say besides its settings.
const COMMON: &[&str] = &["kind", "name", "from", "exit"];

/// What stands at the top of a file.
const TOP: &[&str] = &["name", "input", "loss", "layer"];

/// Reads a network for samples of shape `input` and `classes` classes.
///
/// # Errors
/// The first line that is not TOML, names something unknown, or asks for a layer that does not fit.
pub fn parse(text: &str, input: &Shape, classes: usize) -> Result<Spec, ModelTextError> {
    let file = Lines { text };
    let places = DeTable::parse(text).map_err(|error| file.syntax(&error))?;
    let values: toml::Table = toml::from_str(text).map_err(|error| file.syntax(&error))?;
    let top = places.get_ref();
    file.check_names(top, TOP, "a model file")?;
    let mut reader = Reader::new(file, file.input(top, &values, input)?, classes);
    let (Some(layers), Some(rows)) = (array(&values, "layer"), top.get("layer").and_then(|l| l.get_ref().as_array()))
    else {
        let line = top.get("layer").map_or(1, |layer| file.line(layer.span().start));
        return Err(file.error(line, "there is no layer", "write a [[layer]] table for each layer"));
    };
    let last_dense = layers.iter().rposition(|layer| layer.get("kind").and_then(|k| k.as_str()) == Some("dense"));
    for (i, (layer, place)) in layers.iter().zip(rows.iter()).enumerate() {
        let line = file.line(place.span().start);
        let (Some(layer), DeValue::Table(place)) = (layer.as_table(), place.get_ref()) else {
            return Err(file.error(line, "a layer is not a table", "write [[layer]] above its settings"));
        };
        // A table's place may be that of its first key: what the author looks for is the kind.
        let line = place.iter().map(|(key, _)| file.line(key.span().start)).min().unwrap_or(line);
        reader.layer(layer.clone(), place, line, last_dense == Some(i))?;
    }
    let loss = file.loss(top, &values)?;
    let name = file.name(top, &values)?;
    reader.finish(name, loss)
}

fn array<'a>(table: &'a toml::Table, key: &str) -> Option<&'a Vec<toml::Value>> {
    table.get(key)?.as_array().filter(|rows| !rows.is_empty())
}

/// The text, to say where something is.
#[derive(Clone, Copy)]
struct Lines<'a> {
    text: &'a str,
}

impl Lines<'_> {
    fn line(&self, offset: usize) -> usize {
        1 + self.text.as_bytes()[..offset.min(self.text.len())].iter().filter(|byte| **byte == b'\n').count()
    }

    fn error(&self, line: usize, what: impl Into<String>, cure: impl Into<String>) -> ModelTextError {
        ModelTextError { line, what: what.into(), cure: cure.into() }
    }

    fn syntax(&self, error: &toml::de::Error) -> ModelTextError {
        let line = self.line(error.span().map_or(0, |span| span.start));
        let what = format!("this is not TOML: {}", error.message().replace('\n', " "));
        self.error(line, what, "write [[layer]], and below it KEY = value with text in double quotes")
    }

    /// Where a key stands.
    fn key(&self, table: &DeTable, key: &str) -> usize {
        table.get_key_value(key).map_or(1, |(key, _)| self.line(key.span().start))
    }

    /// The first key in the file that is not known.
    fn check_names(&self, table: &DeTable, known: &[&str], whose: &str) -> Result<(), ModelTextError> {
        let mut keys: Vec<_> = table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())).collect();
        keys.sort_by_key(|key| key.span().start);
        let Some(key) = keys.first() else {
            return Ok(());
        };
        let question = did_you_mean(key.get_ref(), known.iter().copied());
        let what = format!("{whose} has no setting {}{question}", shown(key.get_ref()));
        Err(self.error(self.line(key.span().start), what, format!("its settings are {}", known.join(", "))))
    }

    /// The shape of a sample: the file's, if it has as many numbers as the data's.
    fn input(&self, places: &DeTable, values: &toml::Table, data: &Shape) -> Result<Shape, ModelTextError> {
        let Some(value) = values.get("input") else {
            return Ok(data.clone());
        };
        let line = self.key(places, "input");
        let shape: Result<Shape, _> = value.clone().try_into();
        match shape {
            Ok(shape) if check_size(INPUT, &shape.0).is_err() => {
                Err(self.error(line, format!("the input {shape} has no size"), "give sizes of at least 1"))
            }
            Ok(shape) if shape.elements() == data.elements() => Ok(shape),
            Ok(shape) => Err(self.error(
                line,
                format!("the input is {shape}, and a sample of the data is {data}"),
                "leave input out, or choose data of this size",
            )),
            Err(_) => Err(self.error(line, "the input is no shape", "write it as [channels, height, width]")),
        }
    }

    fn loss(&self, places: &DeTable, values: &toml::Table) -> Result<Loss, ModelTextError> {
        let loss = values.get("loss").map_or(Ok(Loss::CrossEntropy), |loss| loss.clone().try_into());
        let wrong = "the loss is none that is known";
        loss.map_err(|_| self.error(self.key(places, "loss"), wrong, "write \"cross-entropy\" or \"l2\""))
    }

    fn name(&self, places: &DeTable, values: &toml::Table) -> Result<String, ModelTextError> {
        match values.get("name") {
            None => Ok("model".into()),
            Some(toml::Value::String(name)) if !name.is_empty() => Ok(shown(name)),
            Some(_) => Err(self.error(self.key(places, "name"), "the name is no text", "write it in double quotes")),
        }
    }
}

/// The network so far.
struct Reader<'a> {
    file: Lines<'a>,
    classes: usize,
    input: Shape,
    /// Shape and line of each value, by name.
    values: HashMap<String, (Shape, usize)>,
    nodes: Vec<NodeSpec>,
    /// The layers that are exits.
    exits: Vec<String>,
    /// How many layers have taken their name from their kind.
    counts: HashMap<&'static str, usize>,
    dropouts: u32,
}

impl<'a> Reader<'a> {
    fn new(file: Lines<'a>, input: Shape, classes: usize) -> Self {
        let values = HashMap::from([(INPUT.to_string(), (input.clone(), 1))]);
        Self { file, classes, input, values, nodes: vec![], exits: vec![], counts: HashMap::new(), dropouts: 0 }
    }

    fn layer(&mut self, mut layer: toml::Table, at: &DeTable, line: usize, last: bool) -> Result<(), ModelTextError> {
        let file = self.file;
        let (kind, prefix, settings) = kind(file, &layer, at, line)?;
        file.check_names(at, &[COMMON, settings].concat(), &format!("a {kind} layer"))?;
        let count = self.counts.entry(prefix).or_default();
        *count += 1;
        let name = match layer.remove("name") {
            None => format!("{prefix}{count}"),
            Some(toml::Value::String(name)) if is_name(&name) => name,
            Some(_) => {
                let cure = "write letters, digits, _ and - in double quotes";
                return Err(file.error(file.key(at, "name"), "the name cannot name tensors", cure));
            }
        };
        if let Some((_, other)) = self.values.get(&name) {
            let what = format!(
                "a layer is named {name}, as is {}",
                if name == INPUT { "the input".into() } else { format!("the one of line {other}") }
            );
            return Err(file.error(line, what, "give it a name of its own: name = \"...\""));
        }
        let inputs = self.inputs(layer.remove("from"), file.key(at, "from"))?;
        let shapes: Vec<Shape> = inputs.iter().map(|input| self.values[input].0.clone()).collect();
        let exit = match layer.remove("exit") {
            None => false,
            Some(toml::Value::Boolean(exit)) => exit,
            Some(_) => {
                return Err(file.error(file.key(at, "exit"), "exit is neither true nor false", "write exit = true"));
            }
        };
        self.infer(kind, &mut layer, &shapes[0], last || exit);
        if kind == "dense" && !layer.contains_key("outputs") {
            let cure = "give outputs; only exits and the last dense layer take the number of classes";
            return Err(file.error(line, "a dense layer does not say how wide it is", cure));
        }
        let layer: LayerKind = toml::Value::Table(layer).try_into().map_err(|error: toml::de::Error| {
            let cure = format!("its settings are {}", settings.join(", "));
            file.error(line, format!("layer {name}: {}", error.message().replace('\n', " ")), cure)
        })?;
        let shape = layer.as_layer().output(&name, &shapes);
        let shape = shape.and_then(|shape| check_size(&name, &shape.0).map(|_| shape)).map_err(|error| {
            let message = error.to_string();
            let (what, cure) = message.split_once("; ").unwrap_or((&message, "change the layer, or those before it"));
            file.error(line, what, cure)
        })?;
        if exit {
            if shape.elements() != self.classes {
                let what = format!("exit {name} gives {shape}, and the data have {} classes", self.classes);
                return Err(file.error(line, what, "make it a dense layer without outputs"));
            }
            self.exits.push(name.clone());
        }
        self.values.insert(name.clone(), (shape, line));
        self.nodes.push(NodeSpec { name, layer, inputs });
        Ok(())
    }

    /// The names of the values that a layer reads: the layer before, unless it says otherwise.
    fn inputs(&self, from: Option<toml::Value>, line: usize) -> Result<Vec<String>, ModelTextError> {
        /// One name, or several.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum From {
            One(String),
            Several(Vec<String>),
        }
        let names = match from.map(toml::Value::try_into) {
            None => vec![self.nodes.last().map_or(INPUT.to_string(), |node| node.name.clone())],
            Some(Ok(From::One(name))) => vec![name],
            Some(Ok(From::Several(names))) if !names.is_empty() => names,
            Some(_) => {
                return Err(self.file.error(
                    line,
                    "from names no layer",
                    "write from = \"a\" or from = [\"a\", \"b\"]",
                ));
            }
        };
        match names.iter().find(|name| !self.values.contains_key(*name)) {
            None => Ok(names),
            Some(name) => {
                let question = did_you_mean(name, self.values.keys().map(String::as_str));
                let what = format!("there is no layer {} above this one{question}", shown(name));
                Err(self.file.error(line, what, "name an earlier layer, or input"))
            }
        }
    }

    /// Fills in what follows from the tensor that comes in.
    fn infer(&mut self, kind: &str, layer: &mut toml::Table, x: &Shape, last_dense: bool) {
        let number = |n: usize| toml::Value::Integer(i64::try_from(n).unwrap_or(i64::MAX));
        let mut default = |key: &str, n: usize| {
            layer.entry(key).or_insert(number(n));
        };
        match kind {
            "conv2d" => default("inputs", x.0.first().copied().unwrap_or(0)),
            "batch_norm" => default("channels", x.0.first().copied().unwrap_or(0)),
            "dense" => {
                default("inputs", x.elements());
                if last_dense {
                    default("outputs", self.classes);
                }
            }
            "dropout" => {
                default("stream", self.dropouts as usize);
                self.dropouts += 1;
            }
            _ => {}
        }
    }

    fn finish(self, name: String, loss: Loss) -> Result<Spec, ModelTextError> {
        let file = self.file;
        let Some(last) = self.nodes.last().map(|node| node.name.clone()) else {
            return Err(file.error(1, "there is no layer", "write a [[layer]] table for each layer"));
        };
        let (shape, line) = &self.values[&last];
        if shape.elements() != self.classes {
            let what = format!("layer {last} gives {shape}, and the data have {} classes", self.classes);
            return Err(file.error(*line, what, "end with a dense layer without outputs"));
        }
        let exits: Vec<&String> = self.exits.iter().filter(|exit| **exit != last).chain([&last]).collect();
        let read = |name: &String| self.nodes.iter().any(|node| node.inputs.contains(name));
        let unread = |node: &&NodeSpec| !exits.contains(&&node.name) && !read(&node.name);
        if let Some(node) = self.nodes.iter().find(unread) {
            let cure = "name it in a later from, make it an exit, or remove it";
            return Err(file.error(self.values[&node.name].1, format!("nothing reads layer {}", node.name), cure));
        }
        let outputs = exits.into_iter().map(|node| OutputSpec { node: node.clone(), loss }).collect();
        Ok(Spec { name, input: self.input, nodes: self.nodes, outputs })
    }
}

/// What the layer says it is.
fn kind(file: Lines, layer: &toml::Table, at: &DeTable, line: usize) -> Result<Kind, ModelTextError> {
    let known = || KINDS.iter().map(|(kind, ..)| *kind);
    let list = || format!("kinds are {}", known().collect::<Vec<_>>().join(", "));
    let Some(kind) = layer.get("kind") else {
        return Err(file.error(line, "a layer does not say its kind", format!("write kind = \"...\"; {}", list())));
    };
    let text = kind.as_str().map_or_else(|| kind.to_string(), str::to_owned);
    KINDS.iter().find(|(known, ..)| *known == text).copied().ok_or_else(|| {
        let what = format!("there is no kind of layer {}{}", shown(&text), did_you_mean(&text, known()));
        file.error(file.key(at, "kind"), what, list())
    })
}

/// Whether a name can stand before `.weight` in a model file.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

#[cfg(test)]
mod tests;
