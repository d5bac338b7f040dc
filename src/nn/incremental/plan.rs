//! Which networks can be computed incrementally, and their sizes.

use crate::nn::kernels::lanes::FilterShape;
use crate::nn::layers::{Conv2d, LayerKind};
use crate::nn::{Loss, Network, Parameters, ValueId};

/// Inputs of a dense head that are summed together where no convolution says.
const BLOCK: usize = 64;

/// A convolution, perhaps with a ReLU, and a dense head; or the head alone.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// The number of elements of a sample.
    pub input_len: usize,
    pub trunk: Option<Trunk>,
    /// The head's parameters.
    pub head: Parameters,
    /// D, what the head reads.
    pub inputs: usize,
    /// Inputs of the head in a block: a channel's, where there is a convolution; the last may have fewer.
    pub block: usize,
    pub loss: Loss,
}

/// The convolution.
#[derive(Debug, Clone)]
pub(super) struct Trunk {
    pub shape: FilterShape,
    /// Columns of zeros on each side.
    pub margin: usize,
    pub parameters: Parameters,
    /// What it hands on.
    pub value: ValueId,
}

impl Plan {
    /// The plan of a network of this shape.
    pub fn of(network: &Network) -> Option<Self> {
        let [output] = network.outputs() else { return None };
        let mut nodes = &network.spec().nodes[..];
        // What is handed on may be flattened behind the head, for a next stage that begins with a dense layer: the same
        // elements in the same order.
        if let [before @ .., last] = nodes
            && matches!(last.layer, LayerKind::Flatten(_))
            && network.nodes()[before.len()].inputs != [before.len()]
        {
            nodes = before;
        }
        let is_chain = network.nodes()[..nodes.len()].iter().enumerate().all(|(n, node)| node.inputs == [n]);
        if network.num_inputs() != 1 || !is_chain || output.value != nodes.len() {
            return None;
        }
        let kinds: Vec<&LayerKind> = nodes.iter().map(|node| &node.layer).collect();
        let (trunk, rest) = match kinds[..] {
            [LayerKind::Conv2d(conv), LayerKind::Relu(_), ref rest @ ..] => (Some((conv, true)), rest),
            [LayerKind::Conv2d(conv), ref rest @ ..] => (Some((conv, false)), rest),
            ref rest => (None, rest),
        };
        if !matches!(rest, [LayerKind::Dense(_)] | [LayerKind::Flatten(_), LayerKind::Dense(_)]) {
            return None;
        }
        let parameters = network.parameters();
        let head = *parameters.last()?;
        let inputs = head.weight.len / head.outputs;
        let trunk = match trunk {
            Some((conv, relu)) => Some(Trunk::of(network, conv, relu, parameters[0])?),
            None => None,
        };
        // What is handed on has to be what the head reads.
        let flat = nodes.len() + 1..=network.nodes().len();
        let read = |value: &ValueId| match &trunk {
            Some(trunk) => {
                *value == trunk.value || kinds.get(*value - 1).is_some_and(|kind| matches!(kind, LayerKind::Flatten(_)))
            }
            None => kinds.get(value.wrapping_sub(1)).is_some_and(|kind| matches!(kind, LayerKind::Flatten(_))),
        };
        if !network.exports().iter().all(|value| read(value) || flat.contains(value)) {
            return None;
        }
        let block = trunk.as_ref().map_or(BLOCK.min(inputs), |trunk| trunk.shape.y[0] * trunk.shape.y[1]);
        Some(Self { input_len: network.shapes()[0].elements(), trunk, head, inputs, block, loss: output.loss })
    }

    /// How many blocks there are.
    pub fn blocks(&self) -> usize {
        self.inputs.div_ceil(self.block)
    }
}

impl Trunk {
    fn of(network: &Network, conv: &Conv2d, relu: bool, parameters: Parameters) -> Option<Self> {
        let value = 1 + usize::from(relu);
        let [_, height, width] = network.shapes()[0].picture()?;
        let [_, rows, columns] = network.shapes()[value].picture()?;
        let [padding, margin] = conv.padding;
        let shape = FilterShape {
            inputs: conv.inputs,
            kernel: conv.kernel,
            stride: conv.stride,
            padding,
            x: [height, width + 2 * margin],
            y: [rows, columns],
            relu,
        };
        Some(Self { shape, margin, parameters, value })
    }

    /// Elements of a sample in memory.
    pub fn input_len(&self) -> usize {
        self.shape.inputs * self.shape.x[0] * self.shape.x[1]
    }

    /// Where element `i` of a sample in C, H, W order lies in memory.
    pub fn place(&self, i: usize) -> usize {
        let columns = self.shape.x[1] - 2 * self.margin;
        i / columns * self.shape.x[1] + self.margin + i % columns
    }
}
