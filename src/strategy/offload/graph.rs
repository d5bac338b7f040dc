//! The task graph of a network: what can run where, what flows between, what it costs.

mod blocks;
#[cfg(test)]
mod tests;

use crate::nn::{Network, ValueId};
use crate::plan::placement::{GraphError, Task, TaskGraph, TaskId, Tensor};
use crate::units::{Bytes, Flops};

/// What one task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granularity {
    /// One node of the network.
    Layer,
    /// A convolution, a dense layer or a join, with the normalization, activation, addition and pooling behind it.
    Block,
}

/// A network as tasks, between the arrival of a request's sample and its answer.
///
/// Task 0 is `input`: no work, it hands out the sample. The last task is `answer`: no work, it reads the network's last
/// output. Both are the source's. The tasks between them are the network's, each node in exactly one, and each task
/// behind all that it reads from. Exit heads stay tasks, and nobody reads what they say.
#[derive(Debug, Clone, PartialEq)]
pub struct OffloadGraph {
    /// The tasks, and the tensors between them: one a value that crosses, four bytes an element.
    pub graph: TaskGraph,
    /// By task: its nodes, ascending; none of `input` and `answer`.
    pub nodes: Vec<Vec<usize>>,
    /// By tensor of the graph: the network's value that it carries.
    pub values: Vec<ValueId>,
}

impl OffloadGraph {
    /// The name of the first task.
    pub const INPUT: &'static str = "input";
    /// The name of the last task.
    pub const ANSWER: &'static str = "answer";

    /// The tasks of a whole network.
    ///
    /// # Units
    /// The work of one sample, forward. A task's memory is its parameters, its running statistics and the largest value
    /// that it reads or makes.
    ///
    /// # Errors
    /// When the network is no graph that can be planned: it is in pieces, or a node has the name of the last task.
    pub fn of(network: &Network, granularity: Granularity) -> Result<Self, GraphError> {
        let inner = match granularity {
            Granularity::Layer => (0..network.nodes().len()).map(|node| vec![node]).collect(),
            Granularity::Block => blocks::blocks(network),
        };
        let ends = || std::iter::once(Vec::new());
        let nodes: Vec<Vec<usize>> = ends().chain(inner).chain(ends()).collect();
        let tasks = (0..nodes.len()).map(|task| describe(network, &nodes, task)).collect();
        let (tensors, values) = tensors(network, &nodes).into_iter().unzip();
        Ok(Self { graph: TaskGraph::new(&network.spec().name, tasks, tensors)?, nodes, values })
    }

    /// The first task, which hands out the sample.
    pub fn input(&self) -> TaskId {
        0
    }

    /// The last task, which reads the answer.
    pub fn answer(&self) -> TaskId {
        self.nodes.len() - 1
    }
}

fn bytes(network: &Network, value: ValueId) -> Bytes {
    Bytes(4 * network.shapes()[value].elements() as u64)
}

/// A task's name, work and memory.
fn describe(network: &Network, nodes: &[Vec<usize>], task: TaskId) -> Task {
    let (first, idle) = (network.num_inputs(), Flops(0));
    let largest = |values: &mut dyn Iterator<Item = ValueId>| values.map(|value| bytes(network, value).0).max();
    if task == 0 {
        let memory = Bytes(largest(&mut (0..first)).unwrap_or(0));
        return Task { name: OffloadGraph::INPUT.into(), flops: idle, memory };
    }
    if task == nodes.len() - 1 {
        let memory = Bytes(largest(&mut answered(network).into_iter()).unwrap_or(0));
        return Task { name: OffloadGraph::ANSWER.into(), flops: idle, memory };
    }
    let nodes = &nodes[task];
    let weighs = |node: &&usize| network.nodes()[**node].cost.parameters.0 > 0;
    let head = nodes.iter().find(weighs).unwrap_or(&nodes[0]);
    let touched = nodes.iter().flat_map(|n| network.nodes()[*n].inputs.iter().copied().chain([first + n]));
    let held: usize = nodes.iter().map(|n| network.nodes()[*n].theta.len + network.nodes()[*n].sigma.len).sum();
    Task {
        name: network.spec().nodes[*head].name.clone(),
        flops: nodes.iter().map(|n| network.nodes()[*n].cost.forward).sum(),
        memory: Bytes(4 * held as u64 + largest(&mut { touched }).unwrap_or(0)),
    }
}

/// The value that is the answer: the last output.
fn answered(network: &Network) -> Option<ValueId> {
    network.outputs().last().map(|output| output.value)
}

/// One tensor for each value that a task other than its maker reads, in the order of the values.
fn tensors(network: &Network, nodes: &[Vec<usize>]) -> Vec<(Tensor, ValueId)> {
    let first = network.num_inputs();
    let (mut makers, mut readers) = (vec![0; network.shapes().len()], vec![Vec::new(); network.shapes().len()]);
    for (task, nodes) in nodes.iter().enumerate() {
        for n in nodes {
            makers[first + n] = task;
            network.nodes()[*n].inputs.iter().for_each(|value| readers[*value].push(task));
        }
    }
    if let Some(value) = answered(network) {
        readers[value].push(nodes.len() - 1);
    }
    let crossing = readers.into_iter().enumerate().filter_map(|(value, mut to)| {
        to.dedup();
        to.retain(|task| *task != makers[value]);
        let tensor = |to| Tensor { from: makers[value], to, bytes: bytes(network, value) };
        (!to.is_empty()).then(|| (tensor(to), value))
    });
    crossing.collect()
}
