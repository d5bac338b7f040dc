//! A network as it is written down: in the zoo, in a model file.

use super::layers::LayerKind;
use super::{Loss, Shape};
use serde::{Deserialize, Serialize};

/// A network's description. The input tensor is named `input`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// The network's name.
    pub name: String,
    /// The shape of one sample.
    pub input: Shape,
    /// The nodes, in topological order.
    pub nodes: Vec<NodeSpec>,
    /// The outputs with their losses; several when there are exit heads.
    pub outputs: Vec<OutputSpec>,
}

/// A node of the graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeSpec {
    /// Its name; the first part of its tensors' names.
    pub name: String,
    /// What it computes.
    pub layer: LayerKind,
    /// The names of the nodes it reads, `input` for the network's input.
    pub inputs: Vec<String>,
}

/// An output and the loss that is taken there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputSpec {
    /// The node whose value is the output.
    pub node: String,
    /// The loss.
    pub loss: Loss,
}

/// The name of the network's input tensor.
pub const INPUT: &str = "input";

impl Spec {
    /// A network of layers one after the other, with one loss at the end.
    pub fn chain(name: &str, input: Shape, layers: Vec<(String, LayerKind)>, loss: Loss) -> Self {
        let mut previous = INPUT.to_string();
        let nodes: Vec<NodeSpec> = layers
            .into_iter()
            .map(|(name, layer)| NodeSpec { inputs: vec![std::mem::replace(&mut previous, name.clone())], name, layer })
            .collect();
        Self { name: name.into(), input, nodes, outputs: vec![OutputSpec { node: previous, loss }] }
    }
}
