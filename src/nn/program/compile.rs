//! From the graph to the steps of a program.

use super::slot::{LANE, Life, Slot, SlotId};
use super::{Flavor, Memory, Op, Program, Step};
use crate::nn::kernels::{Activation, DenseKernel, Isa};
use crate::nn::layers::LayerKind;
use crate::nn::{Network, ValueId};

pub(super) fn compile(network: &Network, flavor: Flavor, input_gradients: bool) -> Program {
    let mut compiler = Compiler::new(network, input_gradients);
    compiler.inputs();
    let mut next = 0;
    while next < network.nodes().len() {
        next = match flavor {
            Flavor::Naive => compiler.layer(next),
            Flavor::Fused => compiler.fused(next),
        };
    }
    compiler.finish(flavor)
}

struct Compiler<'a> {
    network: &'a Network,
    isa: Isa,
    input_gradients: bool,
    /// The nodes that read each value.
    readers: Vec<Vec<usize>>,
    steps: Vec<Step>,
    memory: Memory,
}

impl<'a> Compiler<'a> {
    fn new(network: &'a Network, input_gradients: bool) -> Self {
        let mut readers = vec![Vec::new(); network.shapes().len()];
        for (n, node) in network.nodes().iter().enumerate() {
            node.inputs.iter().for_each(|value| readers[*value].push(n));
        }
        let memory = Memory { rows: vec![None; network.shapes().len()], ..Memory::default() };
        Self { network, isa: Isa::detect(), input_gradients, readers, steps: Vec::new(), memory }
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
        let is_output = self.network.outputs().iter().any(|output| output.value == value);
        match self.readers[value].as_slice() {
            [reader] if !is_output => Some(*reader),
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

    fn inputs(&mut self) {
        for value in 0..self.network.num_inputs() {
            let slot = self.rows_slot(value);
            self.memory.inputs.push(slot);
        }
    }

    /// The slot that holds a value as rows.
    fn rows(&mut self, value: ValueId) -> SlotId {
        self.memory.rows[value].expect("a value is made before it is read")
    }

    fn push(&mut self, op: Op, node: usize, inputs: Vec<SlotId>, output: SlotId) {
        let node = &self.network.nodes()[node];
        self.steps.push(Step { op, inputs, output, theta: node.theta, sigma: node.sigma });
    }

    /// A node as its own step, on rows. Gives the node to go on with.
    fn layer(&mut self, node: usize) -> usize {
        let inputs = self.network.nodes()[node].inputs.iter().map(|value| self.rows(*value)).collect();
        let output = self.rows_slot(self.value(node));
        self.push(Op::Layer { node }, node, inputs, output);
        node + 1
    }

    fn fused(&mut self, node: usize) -> usize {
        match self.kind(node) {
            LayerKind::Dense(dense) => {
                let kernel = DenseKernel::new(self.isa, dense.inputs, dense.outputs, self.memory.packed);
                self.memory.packed += kernel.packed_len();
                self.dense(node, kernel)
            }
            _ => self.layer(node),
        }
    }

    /// A dense layer, with the activation behind it where one follows at once.
    fn dense(&mut self, node: usize, kernel: DenseKernel) -> usize {
        let follower = self.only_reader(self.value(node)).filter(|reader| *reader == node + 1);
        let activation = follower.and_then(|reader| fusible(self.kind(reader)));
        let last = node + usize::from(activation.is_some());
        let inputs = vec![self.rows(self.network.nodes()[node].inputs[0])];
        let output = self.rows_slot(self.value(last));
        let activation = activation.unwrap_or(Activation::Identity);
        self.push(Op::Dense { kernel, activation }, node, inputs, output);
        last + 1
    }

    fn finish(mut self, flavor: Flavor) -> Program {
        self.memory.lives = self.lives();
        let steps_reading = |slot: SlotId| self.steps.iter().filter(|step| step.inputs.contains(&slot)).count();
        let outputs: Vec<SlotId> = self.network.outputs().iter().filter_map(|o| self.memory.rows[o.value]).collect();
        let several = |slot: &SlotId| steps_reading(*slot) + usize::from(outputs.contains(slot)) > 1;
        let shared = (0..self.memory.slots.len()).filter(several).map(|slot| self.memory.slots[slot].stride());
        self.memory.shared = shared.max().unwrap_or(0).next_multiple_of(LANE);
        Program {
            network: self.network.clone(),
            flavor,
            steps: self.steps,
            memory: self.memory,
            input_gradients: self.input_gradients,
        }
    }

    /// The lives of the gradients: from the last step that reads the value (or its loss) to the step that made it.
    fn lives(&self) -> Vec<Life> {
        let last = self.steps.len();
        let backward = |step: usize| last - step; // the loss is at 0
        let life = |slot: SlotId| {
            let made = self.steps.iter().position(|step| step.output == slot);
            if made.is_none() && !self.input_gradients {
                return None;
            }
            let read = self.steps.iter().rposition(|step| step.inputs.contains(&slot));
            // Nobody reads it: its gradient comes from a loss or from outside.
            let is_output = self.network.outputs().iter().any(|o| self.memory.rows[o.value] == Some(slot));
            let birth = if is_output { 0 } else { read.map_or(0, backward) };
            Some(Life { slot, birth, death: made.map_or(last + 1, backward) })
        };
        (0..self.memory.slots.len()).filter_map(life).collect()
    }
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
