//! The checked graph: shapes, spans of θ, names.

use super::layers::{Dropout, LayerKind};
use super::spec::INPUT;
use super::{Cost, Layer, Loss, NetError, Shape, Span, Spec, TensorSpec};
use std::collections::HashMap;

/// A tensor that flows through the graph: the inputs come first, then one value a node.
pub type ValueId = usize;

/// A parameter tensor of the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// PyTorch's name: `layer.weight`.
    pub name: String,
    /// Its shape, as PyTorch has it.
    pub shape: Vec<usize>,
    /// Its place in θ.
    pub span: Span,
    /// Inputs that feed one output.
    pub fan_in: usize,
    /// Outputs that one input feeds.
    pub fan_out: usize,
    /// Whether it is a bias.
    pub is_bias: bool,
    /// The value it starts with, where it is not drawn.
    pub constant: Option<f32>,
}

/// A node with everything that follows from its place in the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The values it reads.
    pub inputs: Vec<ValueId>,
    /// Its parameter tensors.
    pub tensors: Vec<Tensor>,
    /// Its span of θ, all its tensors.
    pub theta: Span,
    /// Its running statistics; their spans are of σ.
    pub statistics: Vec<Tensor>,
    /// Its span of σ, all its statistics.
    pub sigma: Span,
    /// Arithmetic and memory for one sample.
    pub cost: Cost,
}

/// An output and its loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Output {
    /// The value it reads.
    pub value: ValueId,
    /// The loss taken there.
    pub loss: Loss,
}

/// A network whose shapes fit, with the span of every parameter tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    spec: Spec,
    inputs: usize,
    shapes: Vec<Shape>,
    nodes: Vec<Node>,
    outputs: Vec<Output>,
    exports: Vec<ValueId>,
    theta_len: usize,
    sigma_len: usize,
}

impl Network {
    /// Checks a description and computes shapes and spans.
    ///
    /// # Errors
    /// When names, shapes or sizes do not fit together, or nothing is to be learned.
    pub fn build(spec: Spec) -> Result<Self, NetError> {
        if spec.outputs.is_empty() {
            return Err(NetError::NoOutput);
        }
        check_streams(&spec)?;
        let input = (INPUT.to_string(), spec.input.clone());
        Self::build_with_inputs(spec, vec![input])
    }

    /// As [`Network::build`], for a part of a network that reads several named tensors.
    pub(super) fn build_with_inputs(spec: Spec, inputs: Vec<(String, Shape)>) -> Result<Self, NetError> {
        let mut names: HashMap<String, ValueId> = HashMap::new();
        let mut shapes = Vec::with_capacity(inputs.len() + spec.nodes.len());
        for (name, shape) in inputs {
            check_size(&name, &shape.0)?;
            names.insert(name, shapes.len());
            shapes.push(shape);
        }
        let num_inputs = shapes.len();
        let mut nodes = Vec::with_capacity(spec.nodes.len());
        let (mut theta_len, mut sigma_len) = (0, 0);
        for node in &spec.nodes {
            let ids = node
                .inputs
                .iter()
                .map(|input| {
                    names
                        .get(input)
                        .copied()
                        .ok_or_else(|| NetError::UnknownInput { node: node.name.clone(), input: input.clone() })
                })
                .collect::<Result<Vec<_>, _>>()?;
            let input_shapes: Vec<Shape> = ids.iter().map(|i| shapes[*i].clone()).collect();
            let layer = node.layer.as_layer();
            let shape = layer.output(&node.name, &input_shapes)?;
            check_size(&node.name, &shape.0)?;
            let (tensors, theta) = place_tensors(&node.name, layer.tensors(&input_shapes), theta_len)?;
            let (statistics, sigma) = place_tensors(&node.name, layer.statistics(&input_shapes), sigma_len)?;
            let cost = layer.cost(&input_shapes, &shape);
            nodes.push(Node { inputs: ids, tensors, theta, statistics, sigma, cost });
            (theta_len, sigma_len) = (theta.end(), sigma.end());
            if names.insert(node.name.clone(), shapes.len()).is_some() {
                return Err(NetError::DuplicateName(node.name.clone()));
            }
            shapes.push(shape);
        }
        let mut outputs: Vec<Output> = Vec::with_capacity(spec.outputs.len());
        for output in &spec.outputs {
            let value = *names.get(&output.node).ok_or_else(|| NetError::UnknownOutput(output.node.clone()))?;
            // A loss writes its gradient where the value's is: a second one would overwrite it.
            if outputs.iter().any(|other| other.value == value) {
                return Err(NetError::TwoLosses(output.node.clone()));
            }
            outputs.push(Output { value, loss: output.loss });
        }
        Ok(Self { spec, inputs: num_inputs, shapes, nodes, outputs, exports: Vec::new(), theta_len, sigma_len })
    }

    /// The description it was built from.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// P, the number of parameters.
    pub fn theta_len(&self) -> usize {
        self.theta_len
    }

    /// S, the number of running statistics.
    pub fn sigma_len(&self) -> usize {
        self.sigma_len
    }

    /// The running statistics a training begins with.
    pub fn initial_sigma(&self) -> Vec<f32> {
        self.statistics().flat_map(|s| vec![s.constant.unwrap_or(0.0); s.span.len]).collect()
    }

    /// All running statistics, in the order of σ.
    pub fn statistics(&self) -> impl Iterator<Item = &Tensor> {
        self.nodes.iter().flat_map(|node| &node.statistics)
    }

    /// The number of input tensors: 1 for a whole network.
    pub fn num_inputs(&self) -> usize {
        self.inputs
    }

    /// The shapes of all values: inputs, then nodes.
    pub fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// The nodes, in topological order. Node `n` writes value `num_inputs() + n`.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The layer of a node.
    pub fn layer(&self, node: usize) -> &dyn Layer {
        self.spec.nodes[node].layer.as_layer()
    }

    /// The outputs with their losses.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The values that other parts of a network read, ascending; none in a whole network. Programs keep them as rows,
    /// and what arrives from outside through [`Workspace::output`](crate::nn::Workspace::output) adds to their gradient.
    pub fn exports(&self) -> &[ValueId] {
        &self.exports
    }

    /// The same network as a part whose values `exports` others read.
    pub(super) fn exporting(self, exports: Vec<ValueId>) -> Self {
        Self { exports, ..self }
    }

    /// Whether somebody outside sees a value: a loss, or another part.
    pub fn is_seen_outside(&self, value: ValueId) -> bool {
        self.exports.contains(&value) || self.outputs.iter().any(|output| output.value == value)
    }

    /// All parameter tensors, in the order of θ.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.nodes.iter().flat_map(|node| &node.tensors)
    }

    /// K of the first output.
    pub fn num_classes(&self) -> usize {
        self.outputs.first().map_or(0, |o| self.shapes[o.value].elements())
    }

    /// What one sample costs.
    pub fn cost(&self) -> Cost {
        self.nodes.iter().map(|node| node.cost).sum()
    }
}

/// Lays tensors out one after the other from `first` on, and gives the span of all.
fn place_tensors(node: &str, specs: Vec<TensorSpec>, first: usize) -> Result<(Vec<Tensor>, Span), NetError> {
    let mut start = first;
    let mut tensors = Vec::new();
    for spec in specs {
        let name = format!("{node}.{}", spec.name);
        let len = check_size(&name, &spec.shape)?;
        let span = Span { start, len };
        start = start
            .checked_add(len)
            .ok_or_else(|| NetError::Size { node: name.clone(), what: "the parameters overflow".into() })?;
        tensors.push(Tensor {
            name,
            is_bias: spec.name == "bias",
            shape: spec.shape,
            span,
            fan_in: spec.fan_in,
            fan_out: spec.fan_out,
            constant: spec.constant,
        });
    }
    Ok((tensors, Span { start: first, len: start - first }))
}

/// Refuses dropout layers that would drop the same places.
fn check_streams(spec: &Spec) -> Result<(), NetError> {
    let mut seen: HashMap<u32, &str> = HashMap::new();
    for node in &spec.nodes {
        if let LayerKind::Dropout(Dropout { stream, .. }) = node.layer
            && let Some(first) = seen.insert(stream, &node.name)
        {
            return Err(NetError::SameStream { first: first.into(), second: node.name.clone(), stream });
        }
    }
    Ok(())
}

/// The number of elements, refused when it is zero or overflows.
pub(super) fn check_size(node: &str, shape: &[usize]) -> Result<usize, NetError> {
    let product = shape.iter().try_fold(1usize, |product, d| product.checked_mul(*d));
    match product {
        Some(n) if n > 0 && n <= isize::MAX as usize / 16 => Ok(n),
        _ => Err(NetError::Size { node: node.into(), what: format!("{shape:?}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::layers::{Dense, Sigmoid};
    use crate::nn::zoo;
    use crate::nn::{NodeSpec, OutputSpec};

    #[test]
    fn the_iris_network_has_833_parameters_in_pytorchs_order() {
        let network = Network::build(zoo::mlp(4, &[30, 20], 3, &zoo::MlpOptions::default())).unwrap();
        assert_eq!(network.theta_len(), 833);
        let names: Vec<_> = network.tensors().map(|t| (t.name.as_str(), t.shape.clone(), t.span.start)).collect();
        assert_eq!(
            names,
            [
                ("fc1.weight", vec![30, 4], 0),
                ("fc1.bias", vec![30], 120),
                ("fc2.weight", vec![20, 30], 150),
                ("fc2.bias", vec![20], 750),
                ("fc3.weight", vec![3, 20], 770),
                ("fc3.bias", vec![3], 830),
            ]
        );
        // 2 FLOP a weight and sample, forward.
        assert!(network.cost().forward.0 >= 2 * 780);
    }

    #[test]
    fn a_wrong_network_is_refused_with_the_nodes_name() {
        let dense = |inputs, outputs| LayerKind::Dense(Dense { inputs, outputs });
        let node = |name: &str, layer, input: &str| NodeSpec { name: name.into(), layer, inputs: vec![input.into()] };
        let cases: Vec<(Vec<NodeSpec>, &str, &str)> = vec![
            (vec![node("a", dense(4, 2), "input")], "", "no output"),
            (vec![node("a", dense(4, 2), "input")], "a a", "'a' has two losses"),
            (vec![node("a", dense(4, 2), "nowhere")], "a", "nowhere"),
            (vec![node("a", dense(5, 2), "input")], "a", "cannot read a tensor of 4"),
            (vec![node("a", dense(4, 0), "input")], "a", "at least 1"),
            (vec![node("a", dense(4, usize::MAX), "input")], "a", "'a"),
            (
                vec![node("a", dense(4, 4), "input"), node("a", LayerKind::Sigmoid(Sigmoid {}), "a")],
                "a",
                "two nodes are named 'a'",
            ),
            (vec![node("a", dense(4, 2), "input")], "b", "output 'b'"),
        ];
        for (nodes, output, expected) in cases {
            let spec = Spec {
                name: "wrong".into(),
                input: Shape::vector(4),
                nodes,
                outputs: output
                    .split_whitespace()
                    .map(|node| OutputSpec { node: node.into(), loss: Loss::CrossEntropy })
                    .collect(),
            };
            let message = Network::build(spec).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
