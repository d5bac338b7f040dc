//! From the graph to the steps of a network that is ready.
//!
//! Pictures are grids with the channels innermost wherever a kernel reads them so; rows are made where a layer without
//! such a kernel, or somebody outside, wants them.

use super::chains::{Chain, Readers};
use super::{Op, Plan, Step};
use crate::nn::kernels::conv::{ConvShape, FrozenConv, FrozenShape, Post};
use crate::nn::kernels::grid::{DEPTH, Grid};
use crate::nn::kernels::norm::NormKernel;
use crate::nn::kernels::pool::PoolKernel;
use crate::nn::kernels::{Activation, DenseKernel, Isa};
use crate::nn::layers::{Conv2d, LayerKind};
use crate::nn::program::{LANE, LINE, Life, Slot, SlotId, picture};
use crate::nn::window::Window;
use crate::nn::{Network, ValueId};
use std::ops::Range;

pub(super) fn compile(network: &Network) -> Plan {
    let mut compiler = Compiler::new(network);
    compiler.inputs();
    for node in 0..network.nodes().len() {
        if !compiler.done[node] {
            compiler.node(node);
        }
    }
    compiler.lives();
    compiler.plan
}

struct Compiler<'a> {
    network: &'a Network,
    isa: Isa,
    readers: Readers<'a>,
    /// The nodes that run with one before them.
    done: Vec<bool>,
    /// The slot that holds a value as a grid, where one does.
    grids: Vec<Option<SlotId>>,
    plan: Plan,
}

impl<'a> Compiler<'a> {
    fn new(network: &'a Network) -> Self {
        let values = network.shapes().len();
        let plan = Plan { rows: vec![None; values], ..Plan::default() };
        let (done, grids) = (vec![false; network.nodes().len()], vec![None; values]);
        Self { network, isa: Isa::detect(), readers: Readers::new(network), done, grids, plan }
    }

    fn kind(&self, node: usize) -> &'a LayerKind {
        &self.network.spec().nodes[node].layer
    }

    fn value(&self, node: usize) -> ValueId {
        self.network.num_inputs() + node
    }

    fn picture(&self, value: ValueId) -> Option<[usize; 3]> {
        picture(&self.network.shapes()[value])
    }

    /// The picture that a value is, with the margin that its readers need.
    fn new_grid(&self, value: ValueId) -> Grid {
        let shape = self.picture(value).expect("a picture");
        Grid::new(shape, self.readers.halo(value))
    }

    fn slot(&mut self, slot: Slot, value: ValueId) -> SlotId {
        self.plan.slots.push(slot);
        self.plan.shapes.push(self.network.shapes()[value].clone());
        self.plan.slots.len() - 1
    }

    fn rows_slot(&mut self, value: ValueId) -> SlotId {
        let slot = self.slot(Slot::rows(&self.network.shapes()[value]), value);
        self.plan.rows[value] = Some(slot);
        slot
    }

    fn grid_slot(&mut self, value: ValueId, grid: Grid) -> SlotId {
        let slot = self.slot(Slot::grid(grid), value);
        self.grids[value] = Some(slot);
        slot
    }

    /// The inputs, in the form that their readers want; without gaps between the pixels where only convolutions read
    /// a picture of few channels.
    fn inputs(&mut self) {
        for value in 0..self.network.num_inputs() {
            let slot = if self.readers.want_grid(value) {
                let grid = self.new_grid(value);
                let dense = grid.channels < DEPTH && self.readers.are_convolutions(value);
                self.grid_slot(value, if dense { Grid { depth: grid.channels, ..grid } } else { grid })
            } else {
                self.rows_slot(value)
            };
            self.plan.inputs.push(slot);
            self.kept_as_rows(value);
        }
    }

    /// The slot that holds a value as rows; the value is brought into this form where nobody did so before.
    fn rows(&mut self, value: ValueId) -> SlotId {
        if let Some(slot) = self.plan.rows[value] {
            return slot;
        }
        let from = self.grids[value].expect("a value is made before it is read");
        let output = self.rows_slot(value);
        self.push(Op::Relayout, vec![], vec![from], output);
        output
    }

    /// The slot that holds a value as a grid.
    fn grid(&mut self, value: ValueId) -> SlotId {
        if let Some(slot) = self.grids[value] {
            return slot;
        }
        let from = self.plan.rows[value].expect("a value is made before it is read");
        let output = self.grid_slot(value, self.new_grid(value));
        self.push(Op::Relayout, vec![], vec![from], output);
        output
    }

    fn grid_of(&self, slot: SlotId) -> Grid {
        self.plan.slots[slot].as_grid().expect("a grid")
    }

    fn push(&mut self, op: Op, nodes: Vec<usize>, inputs: Vec<SlotId>, output: SlotId) {
        let (weights, sigma) = match nodes.first() {
            Some(node) => (self.network.nodes()[*node].theta.len, self.network.nodes()[*node].sigma),
            None => Default::default(),
        };
        let (len, scratch) = match &op {
            Op::Conv(conv) => (conv.packed_len(), conv.partial_len() * conv.tasks()),
            Op::Affine(norm) => (2 * norm.z.depth, 0),
            _ => (weights, 0),
        };
        let weights = self.plan.weights..self.plan.weights + len;
        self.plan.weights = weights.end.next_multiple_of(LINE);
        self.plan.scratch = self.plan.scratch.max(scratch);
        nodes.iter().for_each(|node| self.done[*node] = true);
        self.plan.steps.push(Step { op, nodes, inputs, output, weights, sigma });
    }

    /// What leaves the network leaves it as rows.
    fn kept_as_rows(&mut self, value: ValueId) {
        if self.network.is_seen_outside(value) {
            self.rows(value);
        }
    }

    fn node(&mut self, node: usize) {
        let inputs = self.network.nodes()[node].inputs.clone();
        let pictures = inputs.iter().all(|input| self.picture(*input).is_some());
        let value = self.value(node);
        match self.kind(node) {
            LayerKind::Conv2d(conv) => self.conv(node, conv),
            LayerKind::Dense(dense) => self.dense(node, [dense.inputs, dense.outputs]),
            LayerKind::Dropout(_) => {
                (self.plan.rows[value], self.grids[value]) = (self.plan.rows[inputs[0]], self.grids[inputs[0]]);
                self.kept_as_rows(value);
            }
            LayerKind::Flatten(_) => self.plan.rows[value] = Some(self.rows(inputs[0])),
            LayerKind::BatchNorm(_) if pictures => {
                let (last, nodes) = self.with_relu(node);
                self.on_grids(&inputs, last, nodes, |isa, x, y, relu| {
                    let post = if relu { Post::Relu } else { Post::None };
                    Op::Affine(NormKernel { isa, z: x[0], y, post })
                });
            }
            LayerKind::Relu(_) if pictures => {
                self.on_grids(&inputs, node, vec![node], |_, _, _, _| Op::Sum { relu: true });
            }
            LayerKind::Add(_) if pictures => {
                let (last, nodes) = self.with_relu(node);
                self.on_grids(&inputs, last, nodes, |_, _, _, relu| Op::Sum { relu });
            }
            LayerKind::Concat(_) if pictures => {
                let (last, nodes) = self.with_relu(node);
                self.on_grids(&inputs, last, nodes, |_, _, _, relu| Op::Concat { relu });
            }
            LayerKind::MaxPool(pool) => {
                let window = Window { kernel: pool.kernel, stride: pool.stride, padding: pool.padding };
                self.pool(node, window, false);
            }
            LayerKind::AvgPool(pool) => {
                let window = Window { kernel: pool.kernel, stride: pool.stride, padding: pool.padding };
                self.pool(node, window, true);
            }
            LayerKind::GlobalAvgPool(_) => {
                let inputs = vec![self.grid(inputs[0])];
                let output = self.rows_slot(value);
                self.push(Op::GlobalMean, vec![node], inputs, output);
            }
            _ => {
                let inputs = inputs.iter().map(|value| self.rows(*value)).collect();
                let output = self.rows_slot(value);
                self.push(Op::Layer { node }, vec![node], inputs, output);
            }
        }
    }

    /// The last of a node and the ReLU that alone reads it, and both.
    fn with_relu(&self, node: usize) -> (usize, Vec<usize>) {
        match self.readers.only(self.value(node)).filter(|next| matches!(self.kind(*next), LayerKind::Relu(_))) {
            Some(relu) => (relu, vec![node, relu]),
            None => (node, vec![node]),
        }
    }

    /// A step from grids to the grid of node `last`.
    fn on_grids(
        &mut self,
        inputs: &[ValueId],
        last: usize,
        nodes: Vec<usize>,
        op: impl FnOnce(Isa, &[Grid], Grid, bool) -> Op,
    ) {
        let slots: Vec<SlotId> = inputs.iter().map(|value| self.grid(*value)).collect();
        let grids: Vec<Grid> = slots.iter().map(|slot| self.grid_of(*slot)).collect();
        let value = self.value(last);
        let y = self.new_grid(value);
        let output = self.grid_slot(value, y);
        self.push(op(self.isa, &grids, y, nodes.len() > 1), nodes, slots, output);
        self.kept_as_rows(value);
    }

    fn pool(&mut self, node: usize, window: Window, mean: bool) {
        let input = self.network.nodes()[node].inputs[0];
        self.on_grids(&[input], node, vec![node], |isa, x, y, _| Op::Pool(PoolKernel::new(isa, window, x[0], y, mean)));
    }

    /// A convolution with all that can be done before its sums are written.
    fn conv(&mut self, node: usize, conv: &Conv2d) {
        let from = self.grid(self.network.nodes()[node].inputs[0]);
        let made = |value: ValueId| self.plan.rows[value].is_some() || self.grids[value].is_some();
        let Chain { mut nodes, add, relu, pool } = self.readers.chain(node, made);
        let add = add.map(|value| self.grid(value));
        let shape = ConvShape {
            inputs: conv.inputs,
            outputs: conv.outputs,
            kernel: conv.kernel,
            stride: conv.stride,
            padding: conv.padding,
        };
        let add_grid = add.map(|slot| self.grid_of(slot));
        let compile = |of: &Self, nodes: &[usize], pool: bool| {
            let y = of.new_grid(of.value(nodes[nodes.len() - 1]));
            let (isa, x) = (of.isa, of.grid_of(from));
            FrozenConv::new(isa, FrozenShape { conv: shape, x, add: add_grid, relu, pool, y })
        };
        let mut kernel = compile(self, &nodes, false);
        // Maxima of sums that are added up in pieces have a step of their own.
        if let Some(pool) = pool.filter(|_| kernel.is_in_one_piece()) {
            nodes.push(pool);
            kernel = compile(self, &nodes, true);
        }
        let value = self.value(nodes[nodes.len() - 1]);
        let output = self.grid_slot(value, kernel.shape().y);
        self.push(Op::Conv(kernel), nodes, [from].into_iter().chain(add).collect(), output);
        self.kept_as_rows(value);
    }

    /// A dense layer with the normalization and the activation behind it.
    fn dense(&mut self, node: usize, [inputs, outputs]: [usize; 2]) {
        let kernel = DenseKernel::new(self.isa, inputs, outputs, 0);
        let mut nodes = vec![node];
        let next = |of: &Self, nodes: &[usize]| of.readers.only(of.value(nodes[nodes.len() - 1]));
        nodes.extend(next(self, &nodes).filter(|next| matches!(self.kind(*next), LayerKind::BatchNorm(_))));
        let activation = next(self, &nodes).and_then(|next| Some((next, activation(self.kind(next))?)));
        nodes.extend(activation.map(|(node, _)| node));
        let activation = activation.map_or(Activation::Identity, |(_, activation)| activation);
        let inputs = vec![self.rows(self.network.nodes()[node].inputs[0])];
        let output = self.rows_slot(self.value(nodes[nodes.len() - 1]));
        self.plan.packed = self.plan.packed.max(kernel.packed_len());
        self.push(Op::Dense { kernel, activation }, nodes, inputs, output);
    }

    /// From when to when each value is needed: inputs and what leaves the network, all the time.
    fn lives(&mut self) {
        let steps = &self.plan.steps;
        let outside = (0..self.plan.rows.len()).filter(|value| self.network.is_seen_outside(*value));
        let outside: Vec<SlotId> = outside.filter_map(|value| self.plan.rows[value]).collect();
        let life = |slot: SlotId| {
            let birth = steps.iter().position(|step| step.output == slot);
            let read = steps.iter().rposition(|step| step.inputs.contains(&slot));
            let Some(birth) = birth else { return Life { slot, birth: 0, death: steps.len() } };
            let death = if outside.contains(&slot) { steps.len() } else { read.unwrap_or(birth).max(birth) };
            Life { slot, birth, death }
        };
        self.plan.lives = (0..self.plan.slots.len()).map(life).collect();
        let layers = steps.iter().filter(|step| matches!(step.op, Op::Layer { .. }));
        let rows = layers.map(|step| self.plan.slots[step.output].stride());
        self.plan.aside = rows.max().unwrap_or(0).next_multiple_of(LANE);
    }
}

impl Plan {
    /// The weights of a step.
    pub fn weights_of<'a>(&self, step: &Step, all: &'a [f32]) -> &'a [f32] {
        let Range { start, end } = step.weights;
        &all[start..end]
    }
}

/// The activation that a dense step can absorb.
fn activation(layer: &LayerKind) -> Option<Activation> {
    match layer {
        LayerKind::Sigmoid(_) => Some(Activation::Sigmoid),
        LayerKind::Tanh(_) => Some(Activation::Tanh),
        LayerKind::Relu(_) => Some(Activation::Relu),
        _ => None,
    }
}
