//! A network compiled for execution.
//!
//! Compilation decides once what a pass does: which nodes run together (a convolution with its ReLU and pooling, a
//! dense layer and its activation), in which form each value lies, where packed weights are, how large the workspace is.
//! [`Flavor::Naive`] compiles every node to its own layer; it is the oracle of [`Flavor::Fused`].

mod backward;
mod compile;
mod conv;
mod flops;
mod norm;
mod outputs;
mod profile;
mod relayout;
mod seams;
mod slot;
mod workspace;

pub use flops::PassFlops;
pub use profile::{Around, Pass, StepInfo};
pub(super) use relayout::copy as relayout;
pub(super) use slot::{LANE, LINE, Life, Slot, SlotId, picture, share_memory};
pub use workspace::Workspace;
#[cfg(test)]
pub(super) use workspace::lay_out;
pub(super) use workspace::{Arena, Place};

use super::kernels::{Activation, DenseKernel};
use super::{Context, Inputs, Network, Phase, Shape, Span, Tally};
use conv::ConvStep;
use norm::NormStep;

use std::ops::Range;

/// How a network is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// Fused steps on SIMD kernels: what training runs.
    Fused,
    /// One step a layer, written to be read: the oracle.
    Naive,
}

/// What a program is compiled for.
#[derive(Debug, Clone, Copy)]
struct Options {
    flavor: Flavor,
    /// Whether the gradients of the inputs are asked for.
    input_gradients: bool,
    /// Whether gradients outlive the pass that computes them.
    kept_gradients: bool,
}

/// One step of a program.
#[derive(Debug, Clone)]
enum Op {
    /// A layer as it is written down, on rows.
    Layer { node: usize },
    /// A dense layer and the activation behind it, on the fast kernel.
    Dense { kernel: DenseKernel, activation: Activation },
    /// A convolution and what follows it.
    Conv(ConvStep),
    /// A batch normalization of pictures and what follows it.
    Norm(NormStep),
    /// The same value in the other form.
    Relayout,
}

#[derive(Debug, Clone)]
struct Step {
    op: Op,
    /// The nodes that run together; none where a value only changes its form.
    nodes: Range<usize>,
    inputs: Vec<SlotId>,
    output: SlotId,
    theta: Span,
    sigma: Span,
}

/// What a workspace is made of.
#[derive(Debug, Clone, Default)]
struct Memory {
    slots: Vec<Slot>,
    /// The shape of each slot's value.
    shapes: Vec<Shape>,
    /// The slot that holds a value as rows, where one does.
    rows: Vec<Option<SlotId>>,
    /// The slots of the inputs.
    inputs: Vec<SlotId>,
    lives: Vec<Life>,
    packed: usize,
    /// Floats a sample of a second gradient of a value that several steps read.
    shared: usize,
    /// What the steps need for each group of samples: floats, and the most groups.
    groups: Vec<(usize, usize)>,
    /// Bytes a sample that say which element of a pooling window was the largest.
    marks: usize,
}

/// A network ready to run: immutable, shared by threads, each with its own [`Workspace`].
#[derive(Debug, Clone)]
pub struct Program {
    network: Network,
    options: Options,
    steps: Vec<Step>,
    memory: Memory,
}

impl Program {
    /// Compiles a network.
    pub fn compile(network: &Network, flavor: Flavor) -> Self {
        compile::compile(network, Options { flavor, input_gradients: false, kept_gradients: false })
    }

    /// Also computes the gradients of the inputs: what a stage sends upstream.
    pub fn with_input_gradients(self) -> Self {
        compile::compile(&self.network, Options { input_gradients: true, ..self.options })
    }

    /// Keeps every gradient until the next pass, as [`Program::backward_input`] and [`Program::backward_params`] need;
    /// the workspace grows, as gradients no longer share memory.
    pub fn with_kept_gradients(self) -> Self {
        compile::compile(&self.network, Options { kept_gradients: true, ..self.options })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// P, the number of parameters.
    pub fn theta_len(&self) -> usize {
        self.network.theta_len()
    }

    /// Memory to train on batches of up to `capacity` rows.
    pub fn workspace(&self, capacity: usize) -> Workspace {
        Workspace::new(self, capacity, true)
    }

    /// Memory for forward passes alone.
    pub fn forward_workspace(&self, capacity: usize) -> Workspace {
        Workspace::new(self, capacity, false)
    }

    /// Bytes of a workspace, with or without what the backward pass needs.
    pub fn workspace_bytes(&self, capacity: usize, backward: bool) -> u64 {
        self.memory.bytes(capacity, backward)
    }

    /// Runs forward; the inputs must have been filled.
    pub fn forward(&self, context: &Context, theta: &[f32], ws: &mut Workspace) {
        for step in &self.steps {
            self.step_forward(step, &step.context(context), &theta[step.theta.range()], ws);
        }
    }

    fn step_forward(&self, step: &Step, context: &Context, theta: &[f32], ws: &mut Workspace) {
        let batch = ws.batch;
        let place = ws.places[step.output];
        let (before, rest) = ws.values.as_mut_slice().split_at_mut(place.offset);
        let y = &mut rest[..batch * place.stride];
        let from = ws.places[step.inputs[0]];
        match &step.op {
            Op::Layer { node } => {
                let x = self.inputs(step, before, &ws.places, batch);
                self.network.layer(*node).forward(context, x, theta, place.at_start().view_mut(y, batch));
                if context.phase == Phase::Train && step.sigma.len > 0 {
                    self.network.layer(*node).moments(context, x, &mut ws.moments[step.sigma.range()]);
                }
            }
            Op::Dense { kernel, activation } => {
                kernel.forward(
                    context.team,
                    *activation,
                    theta,
                    ws.packed.as_mut_slice(),
                    from.rows(before, batch),
                    y,
                    batch,
                );
            }
            Op::Conv(conv) => {
                let marks = &mut ws.marks[conv.marks * ws.capacity..][..batch * conv.marks_len()];
                conv.forward(context.team, theta, ws.packed.as_mut_slice(), from.rows(before, batch), y, marks);
            }
            Op::Norm(norm) => {
                let marks = &mut ws.marks[norm.marks * ws.capacity..][..batch * norm.marks_len()];
                let (packed, scratch) = (ws.packed.as_mut_slice(), ws.scratch.as_mut_slice());
                let moments = &mut ws.moments[step.sigma.range()];
                norm.forward(context, theta, packed, scratch, from.rows(before, batch), y, marks, moments);
            }
            Op::Relayout => {
                let slots = [&ws.slots[step.inputs[0]], &ws.slots[step.output]];
                relayout::copy(context.team, slots, from.rows(before, batch), y, batch);
            }
        }
    }

    fn inputs<'a>(&'a self, step: &'a Step, values: &'a [f32], places: &'a [Place], batch: usize) -> Inputs<'a> {
        Inputs { values, places, shapes: &self.memory.shapes, ids: &step.inputs, batch }
    }

    /// Runs forward and backward: sums the losses and writes the gradient of that sum.
    ///
    /// # Shapes
    /// `theta`, `grad`: `[P]`; `labels`: `[B]`.
    pub fn loss_and_grad(
        &self,
        context: &Context,
        theta: &[f32],
        ws: &mut Workspace,
        labels: &[u32],
        grad: &mut [f32],
    ) -> Tally {
        self.loss_and_grad_telling(context, theta, ws, labels, grad, &mut |_, _| {})
    }

    /// As [`Program::loss_and_grad`]; `ready` is told of each span of the gradient as soon as it is final.
    pub fn loss_and_grad_telling(
        &self,
        context: &Context,
        theta: &[f32],
        ws: &mut Workspace,
        labels: &[u32],
        grad: &mut [f32],
        ready: &mut dyn FnMut(&mut [f32], Span),
    ) -> Tally {
        self.forward(context, theta, ws);
        let total = self.losses(ws, labels);
        self.backward(context, theta, ws, grad, ready);
        total
    }
}
