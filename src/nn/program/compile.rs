//! From the graph to the steps of a program.

use super::conv::ConvStep;
use super::norm::NormStep;
use super::slot::{LANE, LINE, Life, Slot, SlotId, picture};
use super::{Flavor, Memory, Op, Options, Program, Step};
use crate::nn::kernels::conv::{ConvKernel, ConvShape, Post};
use crate::nn::kernels::grid::{DEPTH, Grid};
use crate::nn::kernels::norm::NormKernel;
use crate::nn::kernels::{Activation, DenseKernel, Isa};
use crate::nn::layers::{BatchNorm, Conv2d, LayerKind};
use crate::nn::{Network, Span, ValueId};
use std::ops::RangeInclusive;

pub(super) fn compile(network: &Network, options: Options) -> Program {
    let mut compiler = Compiler::new(network, options);
    compiler.inputs();
    let mut next = 0;
    while next < network.nodes().len() {
        next = match options.flavor {
            Flavor::Naive => compiler.layer(next),
            Flavor::Fused => compiler.fused(next),
        };
    }
    compiler.finish()
}

struct Compiler<'a> {
    network: &'a Network,
    isa: Isa,
    options: Options,
    /// The nodes that read each value.
    readers: Vec<Vec<usize>>,
    /// The margin that the convolutions that read a value need.
    halos: Vec<usize>,
    /// The slot that holds a value as a grid, where one does.
    grids: Vec<Option<SlotId>>,
    steps: Vec<Step>,
    memory: Memory,
}

impl<'a> Compiler<'a> {
    fn new(network: &'a Network, options: Options) -> Self {
        let mut readers = vec![Vec::new(); network.shapes().len()];
        let mut halos = vec![0; readers.len()];
        let grids = vec![None; readers.len()];
        for (n, node) in network.nodes().iter().enumerate() {
            node.inputs.iter().for_each(|value| readers[*value].push(n));
            if let LayerKind::Conv2d(conv) = &network.spec().nodes[n].layer {
                let halo = &mut halos[node.inputs[0]];
                *halo = (*halo).max(conv.padding[0]).max(conv.padding[1]);
            }
        }
        let memory = Memory { rows: vec![None; network.shapes().len()], ..Memory::default() };
        Self { network, isa: Isa::detect(), options, readers, halos, grids, steps: Vec::new(), memory }
    }

    /// The value that a node writes.
    fn value(&self, node: usize) -> ValueId {
        self.network.num_inputs() + node
    }

    fn kind(&self, node: usize) -> &'a LayerKind {
        &self.network.spec().nodes[node].layer
    }

    /// The node that alone reads a value, where nothing else needs to see it.
    fn only_reader(&self, value: ValueId) -> Option<usize> {
        match self.readers[value].as_slice() {
            [reader] if !self.network.is_seen_outside(value) => Some(*reader),
            _ => None,
        }
    }

    fn slot(&mut self, slot: Slot, value: ValueId) -> SlotId {
        self.memory.slots.push(slot);
        self.memory.shapes.push(self.network.shapes()[value].clone());
        self.memory.slots.len() - 1
    }

    fn rows_slot(&mut self, value: ValueId) -> SlotId {
        let slot = self.slot(Slot::rows(&self.network.shapes()[value]), value);
        self.memory.rows[value] = Some(slot);
        slot
    }

    /// The inputs: as the kernels want them where only convolutions read them, otherwise, and where other ranks are
    /// to see their gradients, as rows.
    fn inputs(&mut self) {
        let Options { flavor, input_gradients, .. } = self.options;
        for value in 0..self.network.num_inputs() {
            let readers = &self.readers[value];
            let only_convolutions = readers.iter().all(|n| matches!(self.kind(*n), LayerKind::Conv2d(_)));
            let as_grid = flavor == Flavor::Fused && !input_gradients && !readers.is_empty() && only_convolutions;
            let slot = match picture(&self.network.shapes()[value]).filter(|_| as_grid) {
                Some(shape) => self.grid_slot(value, read_grid(shape, self.halos[value])),
                None => self.rows_slot(value),
            };
            self.memory.inputs.push(slot);
        }
    }

    /// The slot that holds a value as rows; the value is brought into this form where nobody did so before.
    fn rows(&mut self, value: ValueId) -> SlotId {
        if let Some(slot) = self.memory.rows[value] {
            return slot;
        }
        let from = self.grids[value].expect("a value is made before it is read");
        let output = self.rows_slot(value);
        self.relayout(from, output);
        output
    }

    /// The slot that holds a value as a grid.
    fn grid(&mut self, value: ValueId) -> SlotId {
        if let Some(slot) = self.grids[value] {
            return slot;
        }
        let from = self.memory.rows[value].expect("a value is made before it is read");
        let shape = picture(&self.network.shapes()[value]).expect("a convolution reads a picture");
        // Kernels write gradients as whole registers.
        let written = value >= self.network.num_inputs() || self.options.input_gradients;
        let halo = self.halos[value];
        let grid = if written { Grid::new(shape, halo) } else { read_grid(shape, halo) };
        let output = self.grid_slot(value, grid);
        self.relayout(from, output);
        output
    }

    fn relayout(&mut self, from: SlotId, output: SlotId) {
        let none = Span::default();
        self.steps.push(Step { op: Op::Relayout, nodes: 0..0, inputs: vec![from], output, theta: none, sigma: none });
    }

    fn grid_slot(&mut self, value: ValueId, grid: Grid) -> SlotId {
        let slot = self.slot(Slot::grid(grid), value);
        self.grids[value] = Some(slot);
        slot
    }

    fn push(&mut self, op: Op, nodes: RangeInclusive<usize>, inputs: Vec<SlotId>, output: SlotId) {
        let node = &self.network.nodes()[*nodes.start()];
        let nodes = *nodes.start()..nodes.end() + 1;
        self.steps.push(Step { op, nodes, inputs, output, theta: node.theta, sigma: node.sigma });
    }

    /// A node as its own step, on rows. Gives the node to go on with.
    fn layer(&mut self, node: usize) -> usize {
        let inputs = self.network.nodes()[node].inputs.iter().map(|value| self.rows(*value)).collect();
        let output = self.rows_slot(self.value(node));
        self.push(Op::Layer { node }, node..=node, inputs, output);
        node + 1
    }

    fn fused(&mut self, node: usize) -> usize {
        match self.kind(node) {
            LayerKind::Dense(dense) => {
                let kernel = DenseKernel::new(self.isa, dense.inputs, dense.outputs, self.memory.packed);
                self.memory.packed += kernel.packed_len();
                self.dense(node, kernel)
            }
            LayerKind::Conv2d(conv) => self.conv(node, conv),
            LayerKind::BatchNorm(norm) if self.grids[self.network.nodes()[node].inputs[0]].is_some() => {
                self.norm(node, norm)
            }
            LayerKind::Flatten(_) if !self.meet_outside(node) => {
                let (slot, value) = (self.rows(self.network.nodes()[node].inputs[0]), self.value(node));
                self.memory.rows[value] = Some(slot);
                node + 1
            }
            _ => self.layer(node),
        }
    }

    /// Whether what a flattening reads and what it writes must not be one memory under two names: each gets a gradient
    /// from outside, or an input none.
    fn meet_outside(&self, node: usize) -> bool {
        let input = self.network.nodes()[node].inputs[0];
        let slot = self.memory.rows[input];
        let seen = |value: ValueId| value == input || slot.is_some() && self.memory.rows[value] == slot;
        let one_is_seen = (0..self.value(node)).any(|v| seen(v) && self.network.is_seen_outside(v));
        let is_input = slot.is_some_and(|slot| self.memory.inputs.contains(&slot)) || input < self.network.num_inputs();
        self.network.is_seen_outside(self.value(node)) && (one_is_seen || is_input)
    }

    /// The node that comes next and alone reads what `node` writes.
    fn follower(&self, node: usize) -> Option<usize> {
        self.only_reader(self.value(node)).filter(|reader| *reader == node + 1)
    }

    /// What of ReLU and pooling follows `node` and runs with it, and the last node of it.
    fn post(&self, node: usize) -> (Post, usize) {
        let Some(relu) = self.follower(node).filter(|next| matches!(self.kind(*next), LayerKind::Relu(_))) else {
            return (Post::None, node);
        };
        let pools = |next: &usize| match self.kind(*next) {
            LayerKind::MaxPool(pool) => (pool.kernel, pool.stride, pool.padding) == ([2, 2], [2, 2], [0, 0]),
            _ => false,
        };
        match self.follower(relu).filter(pools) {
            Some(pool) => (Post::ReluPool, pool),
            None => (Post::Relu, relu),
        }
    }

    /// A convolution, with ReLU and pooling behind it.
    fn conv(&mut self, node: usize, conv: &Conv2d) -> usize {
        let input = self.network.nodes()[node].inputs[0];
        let from = self.grid(input);
        let (post, last) = self.post(node);
        let picture_of =
            |value: ValueId| picture(&self.network.shapes()[value]).expect("a convolution writes a picture");
        let (z_shape, y_shape) = (picture_of(self.value(node)), picture_of(self.value(last)));
        let back = (0..2).map(|i| (conv.kernel[i] - 1).saturating_sub(conv.padding[i])).max().unwrap_or(0);
        let value = self.value(last);
        // Without pooling the sums and the output are one picture.
        let y = match post {
            Post::ReluPool => Grid::new(y_shape, self.halos[value]),
            _ => Grid::new(y_shape, self.halos[value].max(back)),
        };
        let z = if post == Post::ReluPool { Grid::new(z_shape, back) } else { y };
        let shape = ConvShape {
            inputs: conv.inputs,
            outputs: conv.outputs,
            kernel: conv.kernel,
            stride: conv.stride,
            padding: conv.padding,
        };
        let x = self.memory.slots[from].as_grid().expect("a grid");
        let kernel = ConvKernel { isa: self.isa, shape, x, z, y, post };
        let input_gradient = input >= self.network.num_inputs() || self.options.input_gradients;
        let step = ConvStep { kernel, packed: self.memory.packed, marks: self.memory.marks, input_gradient };
        self.memory.packed += step.packed_len().next_multiple_of(LINE);
        self.memory.marks += step.marks_len();
        self.memory.groups.push((step.group_len(), step.most_groups()));
        let output = self.grid_slot(value, y);
        self.push(Op::Conv(step), node..=last, vec![from], output);
        self.kept_as_rows(value);
        last + 1
    }

    /// A batch normalization of a picture, with ReLU and pooling behind it.
    fn norm(&mut self, node: usize, norm: &BatchNorm) -> usize {
        let from = self.grid(self.network.nodes()[node].inputs[0]);
        let z = self.memory.slots[from].as_grid().expect("a grid");
        if !z.depth.is_multiple_of(DEPTH) {
            return self.layer(node);
        }
        let (post, last) = self.post(node);
        let value = self.value(last);
        let shape = picture(&self.network.shapes()[value]).expect("a picture stays one");
        let y = Grid::new(shape, self.halos[value]);
        let kernel = NormKernel { isa: self.isa, z, y, post };
        let (marks, kept) = (self.memory.marks, self.memory.packed);
        let step = NormStep { kernel, channels: norm.channels, eps: norm.eps, marks, kept };
        self.memory.packed += step.packed_len().next_multiple_of(LINE);
        self.memory.marks += step.marks_len();
        self.memory.groups.push((step.group_len(), usize::MAX));
        let output = self.grid_slot(value, y);
        self.push(Op::Norm(step), node..=last, vec![from], output);
        self.kept_as_rows(value);
        last + 1
    }

    /// What leaves the network leaves it as rows.
    fn kept_as_rows(&mut self, value: ValueId) {
        if self.network.is_seen_outside(value) || self.readers[value].is_empty() {
            self.rows(value);
        }
    }

    /// A dense layer, with the activation behind it where one follows at once.
    fn dense(&mut self, node: usize, kernel: DenseKernel) -> usize {
        let activation = self.follower(node).and_then(|reader| fusible(self.kind(reader)));
        let last = node + usize::from(activation.is_some());
        let inputs = vec![self.rows(self.network.nodes()[node].inputs[0])];
        let output = self.rows_slot(self.value(last));
        let activation = activation.unwrap_or(Activation::Identity);
        self.push(Op::Dense { kernel, activation }, node..=last, inputs, output);
        last + 1
    }

    fn finish(mut self) -> Program {
        self.memory.lives = self.lives();
        let steps_reading = |slot: SlotId| self.steps.iter().filter(|step| step.inputs.contains(&slot)).count();
        let outputs = self.seen_outside();
        let several = |slot: &SlotId| steps_reading(*slot) + usize::from(outputs.contains(slot)) > 1;
        let shared = (0..self.memory.slots.len()).filter(several).map(|slot| self.memory.slots[slot].stride());
        self.memory.shared = shared.max().unwrap_or(0).next_multiple_of(LANE);
        Program { network: self.network.clone(), options: self.options, steps: self.steps, memory: self.memory }
    }

    /// The slots that somebody outside reads, and writes gradients of.
    fn seen_outside(&self) -> Vec<SlotId> {
        let values = (0..self.memory.rows.len()).filter(|value| self.network.is_seen_outside(*value));
        values.filter_map(|value| self.memory.rows[value]).collect()
    }

    /// The lives of the gradients: from the last step that reads the value (or its loss) to the step that made it.
    fn lives(&self) -> Vec<Life> {
        let (last, outside) = (self.steps.len(), self.seen_outside());
        let backward = |step: usize| last - step; // the loss is at 0
        let life = |slot: SlotId| {
            let made = self.steps.iter().position(|step| step.output == slot);
            // An input in its other form is an input.
            let from = made.map(|step| &self.steps[step]).filter(|step| matches!(step.op, Op::Relayout));
            let is_input = self.memory.inputs.contains(from.map_or(&slot, |step| &step.inputs[0]));
            if is_input && !self.options.input_gradients {
                return None;
            }
            let read = self.steps.iter().rposition(|step| step.inputs.contains(&slot));
            // Its gradient comes from a loss or from outside, or also from there.
            let birth = if outside.contains(&slot) { 0 } else { read.map_or(0, backward) };
            let death = made.map_or(last + 1, backward);
            Some(if self.options.kept_gradients {
                Life { slot, birth: 0, death: last + 1 }
            } else {
                Life { slot, birth, death }
            })
        };
        (0..self.memory.slots.len()).filter_map(life).collect()
    }
}

/// The grid of a picture that no kernel writes: without gaps where it has few channels.
fn read_grid(shape: [usize; 3], halo: usize) -> Grid {
    if shape[0] < DEPTH { Grid::dense(shape, halo) } else { Grid::new(shape, halo) }
}

/// The activation that a dense step can absorb.
fn fusible(layer: &LayerKind) -> Option<Activation> {
    match layer {
        LayerKind::Sigmoid(_) => Some(Activation::Sigmoid),
        LayerKind::Tanh(_) => Some(Activation::Tanh),
        LayerKind::Relu(_) => Some(Activation::Relu),
        _ => None,
    }
}
