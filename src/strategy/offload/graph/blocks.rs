//! Which nodes of a network run together.
//!
//! A block begins with a convolution, a dense layer or a join, and takes what follows it: normalization, activation,
//! flattening, dropout, pooling. What others read too is handed out as it is: a pool in an inception block, and what an
//! exit head begins with, run with the convolution or dense layer behind them, so that one tensor crosses and not two.
//! An addition belongs to the branch that comes last, where waiting for the others costs nothing.

use crate::nn::layers::LayerKind;
use crate::nn::{Network, ValueId};

/// The nodes of each block; every block comes behind those that it reads from.
pub(super) fn blocks(network: &Network) -> Vec<Vec<usize>> {
    let mut readers = vec![Vec::new(); network.shapes().len()];
    for (n, node) in network.nodes().iter().enumerate() {
        node.inputs.iter().for_each(|value| readers[*value].push(n));
    }
    let mut blocks = Blocks { network, readers, of: Vec::new(), nodes: Vec::new(), path: Vec::new() };
    for node in 0..network.nodes().len() {
        let block = blocks.joins(node).unwrap_or(blocks.nodes.len());
        blocks.put(node, block);
    }
    blocks.sorted()
}

struct Blocks<'a> {
    network: &'a Network,
    /// By value: the nodes that read it.
    readers: Vec<Vec<usize>>,
    /// By node: its block.
    of: Vec<usize>,
    /// By block: its nodes.
    nodes: Vec<Vec<usize>>,
    /// By block: the most arithmetic on a way from the input to its end.
    path: Vec<u64>,
}

impl Blocks<'_> {
    fn kind(&self, node: usize) -> &LayerKind {
        &self.network.spec().nodes[node].layer
    }

    /// The block that makes a value; none of an input.
    fn maker(&self, value: ValueId) -> Option<usize> {
        value.checked_sub(self.network.num_inputs()).map(|node| self.of[node])
    }

    fn reads(&self, node: usize) -> impl Iterator<Item = usize> {
        self.network.nodes()[node].inputs.iter().filter_map(|value| self.maker(*value))
    }

    /// The block that a node belongs to; none where a new one begins.
    ///
    /// A node with one input may join its maker's block: whatever else leads from there to the node would lead through
    /// that input, so no cycle comes of it.
    fn joins(&self, node: usize) -> Option<usize> {
        let input = *self.network.nodes()[node].inputs.first()?;
        let alone = self.readers[input].len() == 1;
        match self.kind(node) {
            LayerKind::Concat(_) => None,
            LayerKind::Add(_) => self.last_branch(node),
            _ if self.works(node) => self.maker(input).filter(|block| alone && self.waits_for_its_work(*block)),
            LayerKind::MaxPool(_)
            | LayerKind::AvgPool(_)
            | LayerKind::GlobalAvgPool(_)
            | LayerKind::GlobalMaxPool(_) => self.maker(input).filter(|_| alone),
            _ => self.maker(input).filter(|_| alone || !self.leads_to_work(node)),
        }
    }

    /// Whether a node is what a block is there for.
    fn works(&self, node: usize) -> bool {
        matches!(self.kind(node), LayerKind::Conv2d(_) | LayerKind::Dense(_))
    }

    fn joins_several(&self, node: usize) -> bool {
        matches!(self.kind(node), LayerKind::Concat(_) | LayerKind::Add(_))
    }

    /// Whether a block has nothing yet that a block begins with.
    fn waits_for_its_work(&self, block: usize) -> bool {
        !self.nodes[block].iter().any(|node| self.works(*node) || self.joins_several(*node))
    }

    /// Whether what a node makes goes to one convolution or dense layer, and nowhere else.
    fn leads_to_work(&self, mut node: usize) -> bool {
        while let &[reader] = self.readers[self.network.num_inputs() + node].as_slice() {
            if self.works(reader) || self.joins_several(reader) {
                return self.works(reader);
            }
            node = reader;
        }
        false
    }

    /// Of the branches that an addition reads the one with the longest way behind it, unless another one hangs on it:
    /// that would be a cycle.
    fn last_branch(&self, node: usize) -> Option<usize> {
        let ends_at = |block: &usize| self.reads(node).all(|other| other == *block || !self.depends(other, *block));
        self.reads(node).filter(ends_at).max_by_key(|block| (self.path[*block], *block))
    }

    /// Whether `block` needs what `on` makes, also by way of others.
    fn depends(&self, block: usize, on: usize) -> bool {
        let (mut seen, mut next) = (vec![false; self.nodes.len()], vec![block]);
        while let Some(block) = next.pop() {
            if !std::mem::replace(&mut seen[block], true) {
                next.extend(self.nodes[block].iter().flat_map(|node| self.reads(*node)));
            }
        }
        seen[on]
    }

    fn put(&mut self, node: usize, block: usize) {
        if block == self.nodes.len() {
            self.nodes.push(Vec::new());
            self.path.push(0);
        }
        let before = self.reads(node).map(|other| self.path[other]).max().unwrap_or(0);
        self.path[block] = self.path[block].max(before) + self.network.nodes()[node].cost.forward.0;
        self.nodes[block].push(node);
        self.of.push(block);
    }

    /// The blocks, each behind those that it reads from; of several that may be next the one that begins first.
    fn sorted(self) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = Vec::with_capacity(self.nodes.len());
        while order.len() < self.nodes.len() {
            let read = |block: usize| self.nodes[block].iter().flat_map(|node| self.reads(*node));
            let ready = |block: &usize| {
                !order.contains(block) && read(*block).all(|other| other == *block || order.contains(&other))
            };
            order.push((0..self.nodes.len()).find(ready).expect("blocks do not wait for each other"));
        }
        let mut nodes = self.nodes;
        order.into_iter().map(|block| std::mem::take(&mut nodes[block])).collect()
    }
}
