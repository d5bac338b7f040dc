//! A network compiled for execution.
//!
//! Compilation decides once what a pass does: which nodes run together (a dense layer and the
//! activation behind it are one step), where packed weights lie, how large the workspace is.
//! [`Flavor::Naive`] compiles every node to its own layer; it is the oracle of [`Flavor::Fused`].

use super::kernels::{Activation, DenseKernel, Isa};
use super::layers::LayerKind;
use super::workspace::{LANE, Workspace};
use super::{At, Context, Inputs, Network, Phase, Span, Tally, ValueId};

/// How a network is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// Fused steps on SIMD kernels: what training runs.
    Fused,
    /// One step a layer, written to be read: the oracle.
    Naive,
}

/// One step of a program.
#[derive(Debug, Clone)]
enum Op {
    /// A layer as it is written down.
    Layer { node: usize },
    /// A dense layer and the activation behind it, on the fast kernel.
    Dense { kernel: DenseKernel, activation: Activation },
}

#[derive(Debug, Clone)]
struct Step {
    op: Op,
    inputs: Vec<ValueId>,
    output: ValueId,
    theta: Span,
}

/// A network ready to run: immutable, shared by threads, each with its own [`Workspace`].
#[derive(Debug, Clone)]
pub struct Program {
    network: Network,
    steps: Vec<Step>,
    packed: usize,
    scratch: usize,
    input_gradients: bool,
}

impl Program {
    /// Compiles a network.
    pub fn compile(network: &Network, flavor: Flavor) -> Self {
        let consumers = count_consumers(network);
        let mut packed = 0;
        let mut steps: Vec<Step> = Vec::with_capacity(network.nodes().len());
        for (n, node) in network.nodes().iter().enumerate() {
            let output = network.num_inputs() + n;
            let layer = &network.spec().nodes[n].layer;
            if flavor == Flavor::Fused {
                if let Some(activation) = fusible(layer)
                    && let Some(Step { op: Op::Dense { activation: slot, .. }, output: to, .. }) = steps.last_mut()
                    && *slot == Activation::Identity
                    && node.inputs == [*to]
                    && consumers[*to] == 1
                {
                    (*slot, *to) = (activation, output);
                    continue;
                }
                if let LayerKind::Dense(dense) = layer {
                    let kernel = DenseKernel::new(Isa::detect(), dense.inputs, dense.outputs, packed);
                    packed += kernel.packed_len();
                    let op = Op::Dense { kernel, activation: Activation::Identity };
                    steps.push(Step { op, inputs: node.inputs.clone(), output, theta: node.theta });
                    continue;
                }
            }
            steps.push(Step { op: Op::Layer { node: n }, inputs: node.inputs.clone(), output, theta: node.theta });
        }
        let shared = network.shapes().iter().zip(&consumers).filter(|(_, c)| **c > 1);
        let scratch = shared.map(|(s, _)| s.elements().next_multiple_of(LANE)).max().unwrap_or(0);
        Self { network: network.clone(), steps, packed, scratch, input_gradients: false }
    }

    /// Also computes the gradients of the inputs: what a stage sends upstream.
    pub fn with_input_gradients(mut self) -> Self {
        self.input_gradients = true;
        self
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// P, the number of parameters.
    pub fn theta_len(&self) -> usize {
        self.network.theta_len()
    }

    /// Memory for batches of up to `capacity` rows.
    pub fn workspace(&self, capacity: usize) -> Workspace {
        Workspace::new(self.network.shapes(), self.network.sigma_len(), self.packed, self.scratch, capacity)
    }

    /// Runs forward; the inputs must have been filled.
    pub fn forward(&self, context: &Context, theta: &[f32], ws: &mut Workspace) {
        let batch = ws.batch;
        for step in &self.steps {
            let place = ws.places[step.output];
            let (before, rest) = ws.values.as_mut_slice().split_at_mut(place.offset);
            let theta = &theta[step.theta.range()];
            match &step.op {
                Op::Layer { node } => {
                    let x = Inputs {
                        values: before,
                        places: &ws.places,
                        shapes: self.network.shapes(),
                        ids: &step.inputs,
                        batch,
                    };
                    let y = super::workspace::Place { offset: 0, ..place }.view_mut(rest, batch);
                    let span = self.network.nodes()[*node].sigma.range();
                    let context = &Context { sigma: context.sigma.get(span.clone()).unwrap_or(&[]), ..*context };
                    self.network.layer(*node).forward(context, x, theta, y);
                    if context.phase == Phase::Train && !span.is_empty() {
                        self.network.layer(*node).moments(context, x, &mut ws.moments[span]);
                    }
                }
                Op::Dense { kernel, activation } => {
                    let x = ws.places[step.inputs[0]].rows(before, batch);
                    let y = &mut rest[..batch * place.stride];
                    kernel.forward(context.team, *activation, theta, ws.packed.as_mut_slice(), x, y, batch);
                }
            }
        }
    }

    /// Runs backward from the gradients that the losses left at the outputs; writes every element of `grad`.
    pub fn backward(&self, context: &Context, theta: &[f32], ws: &mut Workspace, grad: &mut [f32]) {
        for step in self.steps.iter().rev() {
            let dtheta = &mut grad[step.theta.range()];
            if std::mem::take(&mut ws.written[step.output]) {
                self.step_backward(step, context, &theta[step.theta.range()], ws, dtheta);
            } else {
                dtheta.fill(0.0); // no loss depends on this step
            }
        }
        ws.written.fill(false);
    }

    fn step_backward(&self, step: &Step, context: &Context, theta: &[f32], ws: &mut Workspace, dtheta: &mut [f32]) {
        let batch = ws.batch;
        let place = ws.places[step.output];
        let values = ws.values.as_slice();
        let (before, rest) = ws.grads.as_mut_slice().split_at_mut(place.offset);
        let dy = &mut rest[..batch * place.stride];
        let x = Inputs { values, places: &ws.places, shapes: self.network.shapes(), ids: &step.inputs, batch };
        match &step.op {
            Op::Layer { node } => {
                let at = At { x, y: place.view(values, batch), shape: &self.network.shapes()[step.output], theta };
                let dy = super::workspace::Place { offset: 0, ..place }.view(dy, batch);
                self.network.layer(*node).grad_params(context, at, dy, dtheta);
            }
            Op::Dense { kernel, activation } => {
                activation.gradient(kernel.isa(), place.rows(values, batch), dy);
                kernel.grad_params(context.team, ws.places[step.inputs[0]].rows(values, batch), dy, dtheta, batch);
            }
        }
        for (i, id) in step.inputs.iter().enumerate() {
            if *id < self.network.num_inputs() && !self.input_gradients {
                continue;
            }
            let to = ws.places[*id];
            let shared = std::mem::replace(&mut ws.written[*id], true);
            let target = if shared {
                &mut ws.scratch.as_mut_slice()[..batch * to.stride]
            } else {
                &mut before[to.offset..to.offset + batch * to.stride]
            };
            match &step.op {
                Op::Layer { node } => {
                    let at = At { x, y: place.view(values, batch), shape: &self.network.shapes()[step.output], theta };
                    let local = super::workspace::Place { offset: 0, ..place }.view(dy, batch);
                    let dx = super::workspace::Place { offset: 0, ..to }.view_mut(target, batch);
                    self.network.layer(*node).grad_input(context, at, local, i, dx);
                }
                Op::Dense { kernel, .. } => kernel.grad_input(context.team, theta, dy, target, batch),
            }
            if shared {
                let sum = &mut before[to.offset..to.offset + batch * to.stride];
                sum.iter_mut().zip(ws.scratch.as_slice()).for_each(|(sum, part)| *sum += part);
            }
        }
    }

    /// Runs forward and sums the losses of all outputs; right answers are counted at the last output.
    pub fn loss(&self, context: &Context, theta: &[f32], ws: &mut Workspace, labels: &[u32]) -> Tally {
        self.forward(context, theta, ws);
        let mut total = Tally::default();
        for output in self.network.outputs() {
            let tally = output.loss.evaluate(ws.value(output.value), labels, None);
            total = Tally { loss: total.loss + tally.loss, ..tally };
        }
        total
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
        self.forward(context, theta, ws);
        let mut total = Tally::default();
        for output in self.network.outputs() {
            let (value, gradient) = ws.output(output.value);
            let tally = output.loss.evaluate(value, labels, Some(gradient));
            total = Tally { loss: total.loss + tally.loss, ..tally };
        }
        self.backward(context, theta, ws, grad);
        total
    }
}

/// How many steps and losses read each value.
fn count_consumers(network: &Network) -> Vec<usize> {
    let mut consumers = vec![0; network.shapes().len()];
    let read = network.nodes().iter().flat_map(|node| &node.inputs).copied();
    for value in read.chain(network.outputs().iter().map(|o| o.value)) {
        consumers[value] += 1;
    }
    consumers
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
