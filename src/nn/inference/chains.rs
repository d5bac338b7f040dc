//! Who reads what, and which nodes can run together.

use crate::nn::layers::LayerKind;
use crate::nn::program::picture;
use crate::nn::{Network, ValueId};

/// The readers of each value.
#[derive(Debug)]
pub(super) struct Readers<'a> {
    network: &'a Network,
    readers: Vec<Vec<usize>>,
    halos: Vec<usize>,
    want_grid: Vec<bool>,
}

/// A convolution and the nodes that run with it.
#[derive(Debug, PartialEq)]
pub(super) struct Chain {
    /// The convolution, then what follows; a batch normalization is the second.
    pub nodes: Vec<usize>,
    /// What is added to its sums.
    pub add: Option<ValueId>,
    /// Whether negative sums become zero.
    pub relu: bool,
    /// A pool of 2 x 2 windows behind it all, not among the nodes yet.
    pub pool: Option<usize>,
}

impl<'a> Readers<'a> {
    pub fn new(network: &'a Network) -> Self {
        let values = network.shapes().len();
        let mut of =
            Self { network, readers: vec![Vec::new(); values], halos: vec![0; values], want_grid: vec![false; values] };
        for (n, node) in network.nodes().iter().enumerate().rev() {
            let value = network.num_inputs() + n;
            for input in &node.inputs {
                of.readers[*input].insert(0, n);
                let is_picture = picture(&network.shapes()[*input]).is_some();
                let (halo, grid) = match of.kind(n) {
                    LayerKind::Conv2d(conv) => (conv.padding[0].max(conv.padding[1]), true),
                    // The same memory under another name.
                    LayerKind::Dropout(_) => (of.halos[value], of.want_grid[value]),
                    LayerKind::BatchNorm(_)
                    | LayerKind::Relu(_)
                    | LayerKind::MaxPool(_)
                    | LayerKind::AvgPool(_)
                    | LayerKind::GlobalAvgPool(_)
                    | LayerKind::Add(_)
                    | LayerKind::Concat(_) => (0, is_picture),
                    _ => (0, false),
                };
                of.halos[*input] = of.halos[*input].max(halo);
                of.want_grid[*input] |= grid;
            }
        }
        of
    }

    fn kind(&self, node: usize) -> &'a LayerKind {
        &self.network.spec().nodes[node].layer
    }

    /// The margin that the convolutions that read a value need.
    pub fn halo(&self, value: ValueId) -> usize {
        self.halos[value]
    }

    /// Whether a kernel reads it as a grid.
    pub fn want_grid(&self, value: ValueId) -> bool {
        self.want_grid[value]
    }

    /// Whether convolutions alone read it.
    pub fn are_convolutions(&self, value: ValueId) -> bool {
        self.readers[value].iter().all(|n| matches!(self.kind(*n), LayerKind::Conv2d(_)))
    }

    /// The node that alone reads a value, where nothing else needs to see it.
    pub fn only(&self, value: ValueId) -> Option<usize> {
        match self.readers[value].as_slice() {
            [reader] if !self.network.is_seen_outside(value) => Some(*reader),
            _ => None,
        }
    }

    /// What runs with the convolution `node`: of a sum, the operand that is made last takes the others' place, so the
    /// other one must be there already.
    pub fn chain(&self, node: usize, made: impl Fn(ValueId) -> bool) -> Chain {
        let mut chain = Chain { nodes: vec![node], add: None, relu: false, pool: None };
        let value = |nodes: &[usize]| self.network.num_inputs() + nodes[nodes.len() - 1];
        let next = |nodes: &[usize]| self.only(value(nodes));
        let is_norm = |next: &usize| matches!(self.kind(*next), LayerKind::BatchNorm(_));
        chain.nodes.extend(next(&chain.nodes).filter(is_norm));
        let join = next(&chain.nodes).filter(|next| matches!(self.kind(*next), LayerKind::Add(_)));
        if let Some(join) = join
            && let [a, b] = self.network.nodes()[join].inputs[..]
        {
            let other = if a == value(&chain.nodes) { b } else { a };
            if made(other) {
                chain.nodes.push(join);
                chain.add = Some(other);
            }
        }
        let relu = next(&chain.nodes).filter(|next| matches!(self.kind(*next), LayerKind::Relu(_)));
        chain.relu = relu.is_some();
        chain.nodes.extend(relu);
        let pools = |next: &usize| match self.kind(*next) {
            LayerKind::MaxPool(pool) => (pool.kernel, pool.stride, pool.padding) == ([2, 2], [2, 2], [0, 0]),
            _ => false,
        };
        chain.pool = next(&chain.nodes).filter(|_| chain.add.is_none()).filter(pools);
        chain
    }
}
