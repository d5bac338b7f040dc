//! Backward: in one pass, or in two for schedules that fill their bubbles with the gradients of the parameters.

use super::conv::Backward;
use super::{Op, Program, Step, Workspace};
use crate::nn::kernels::share::two;
use crate::nn::kernels::{Isa, vector};
use crate::nn::{At, Context, Span};

/// Which gradients of a step are computed.
pub(super) enum Gradients<'a> {
    /// Those of its parameters, into the span given, and those of its inputs.
    Both(Target<'a>),
    /// Those of its inputs.
    Inputs,
    /// Those of its parameters, after those of its inputs.
    Params(Target<'a>),
}

/// Where the gradient of a step's parameters goes.
pub(super) enum Target<'a> {
    /// It is written.
    Write(&'a mut [f32]),
    /// It is added, by a kernel that can.
    Add(&'a mut [f32]),
}

impl Target<'_> {
    /// Where to write.
    fn written(&mut self) -> &mut [f32] {
        match self {
            Self::Write(to) => to,
            Self::Add(_) => unreachable!("asked of steps that add"),
        }
    }
}

impl Step {
    /// Whether its kernel can add to a gradient.
    fn adds(&self) -> bool {
        matches!(&self.op, Op::Dense { kernel, .. } if kernel.adds())
    }
}

impl Program {
    /// Runs backward from the gradients that the losses left at the outputs; writes every element of `grad`.
    ///
    /// `ready` is told of each span of the gradient as soon as it is final; the spans come from the end of θ to its
    /// beginning.
    pub fn backward(
        &self,
        context: &Context,
        theta: &[f32],
        ws: &mut Workspace,
        grad: &mut [f32],
        ready: &mut dyn FnMut(&mut [f32], Span),
    ) {
        for step in self.steps.iter().rev() {
            let dtheta = &mut grad[step.theta.range()];
            if std::mem::take(&mut ws.written[step.output]) {
                let (context, theta) = (&step.context(context), &theta[step.theta.range()]);
                self.step_backward(step, context, theta, ws, Gradients::Both(Target::Write(dtheta)));
            } else {
                dtheta.fill(0.0); // no loss depends on this step
            }
            if step.theta.len > 0 {
                ready(grad, step.theta);
            }
        }
        ws.written.fill(false);
    }

    /// The first half of [`Program::backward`]: the gradients of all values, down to the inputs where they are asked for.
    ///
    /// [`Program::backward_params`] must follow on the same workspace, with nothing else there in between; other
    /// workspaces are free. The two together give `backward`'s gradients bit for bit.
    ///
    /// # Panics
    /// If the program was not compiled [`with_kept_gradients`](Program::with_kept_gradients).
    pub fn backward_input(&self, context: &Context, theta: &[f32], ws: &mut Workspace) {
        assert!(self.options.kept_gradients, "a program that keeps its gradients");
        for step in self.steps.iter().rev() {
            if ws.written[step.output] {
                self.step_backward(step, &step.context(context), &theta[step.theta.range()], ws, Gradients::Inputs);
            }
        }
    }

    /// The second half of [`Program::backward`]: the gradients of the parameters; writes every element of `grad`.
    /// `context` and `theta` are those of the first half.
    ///
    /// # Panics
    /// If the program was not compiled [`with_kept_gradients`](Program::with_kept_gradients).
    pub fn backward_params(&self, context: &Context, theta: &[f32], ws: &mut Workspace, grad: &mut [f32]) {
        assert!(self.options.kept_gradients, "a program that keeps its gradients");
        for step in self.steps.iter().rev().filter(|step| step.theta.len > 0) {
            let dtheta = &mut grad[step.theta.range()];
            if ws.written[step.output] {
                let (context, theta) = (&step.context(context), &theta[step.theta.range()]);
                self.step_backward(step, context, theta, ws, Gradients::Params(Target::Write(dtheta)));
            } else {
                dtheta.fill(0.0);
            }
        }
        ws.written.fill(false);
    }

    /// As [`Program::backward`], and adds to `grad`: the sum over several batches without a copy of the gradient for each.
    /// `spare` is as long as `grad`; what it holds afterwards means nothing.
    pub fn backward_adding(
        &self,
        context: &Context,
        theta: &[f32],
        ws: &mut Workspace,
        grad: &mut [f32],
        spare: &mut [f32],
    ) {
        for step in self.steps.iter().rev() {
            if std::mem::take(&mut ws.written[step.output]) {
                let spans = (&mut grad[step.theta.range()], &mut spare[step.theta.range()]);
                let (context, theta) = (&step.context(context), &theta[step.theta.range()]);
                self.step_adding(step, context, theta, ws, spans, true);
            }
        }
        ws.written.fill(false);
    }

    /// As [`Program::backward_params`], and adds to `grad`; see [`Program::backward_adding`].
    ///
    /// # Panics
    /// If the program was not compiled [`with_kept_gradients`](Program::with_kept_gradients).
    pub fn backward_params_adding(
        &self,
        context: &Context,
        theta: &[f32],
        ws: &mut Workspace,
        grad: &mut [f32],
        spare: &mut [f32],
    ) {
        assert!(self.options.kept_gradients, "a program that keeps its gradients");
        for step in self.steps.iter().rev().filter(|step| step.theta.len > 0) {
            if ws.written[step.output] {
                let spans = (&mut grad[step.theta.range()], &mut spare[step.theta.range()]);
                let (context, theta) = (&step.context(context), &theta[step.theta.range()]);
                self.step_adding(step, context, theta, ws, spans, false);
            }
        }
        ws.written.fill(false);
    }

    fn step_adding(
        &self,
        step: &Step,
        context: &Context,
        theta: &[f32],
        ws: &mut Workspace,
        (grad, spare): (&mut [f32], &mut [f32]),
        inputs: bool,
    ) {
        let adds = step.adds();
        let target = if adds { Target::Add(&mut *grad) } else { Target::Write(&mut *spare) };
        let wanted = if inputs { Gradients::Both(target) } else { Gradients::Params(target) };
        self.step_backward(step, context, theta, ws, wanted);
        if !adds {
            vector::axpy(Isa::detect(), 1.0, spare, grad);
        }
    }

    pub(super) fn step_backward(
        &self,
        step: &Step,
        context: &Context,
        theta: &[f32],
        ws: &mut Workspace,
        wanted: Gradients,
    ) {
        let (inputs, mut dtheta) = match wanted {
            Gradients::Both(dtheta) => (true, Some(dtheta)),
            Gradients::Inputs => (true, None),
            Gradients::Params(dtheta) => (false, Some(dtheta)),
        };
        let batch = ws.batch;
        let place = ws.places[step.output];
        let dy_place = ws.grad_places[step.output].expect("a workspace for training");
        let values = ws.values.as_slice();
        let x = self.inputs(step, values, &ws.places, batch);
        let at = || At { x, y: place.view(values, batch), shape: &self.memory.shapes[step.output], theta };
        let dy_range = dy_place.offset..dy_place.offset + batch * dy_place.stride;
        let dy = &mut ws.grads.as_mut_slice()[dy_range.clone()];
        match (&step.op, &mut dtheta) {
            (Op::Layer { node }, Some(dtheta)) => {
                let dy = dy_place.at_start().view(dy, batch);
                self.network.layer(*node).grad_params(context, at(), dy, dtheta.written());
            }
            (Op::Dense { kernel, activation }, dtheta) => {
                // In place, so once: the gradient of the parameters alone finds it done.
                if inputs {
                    activation.gradient(kernel.isa(), place.rows(values, batch), dy);
                }
                let x = ws.places[step.inputs[0]].rows(values, batch);
                match dtheta {
                    Some(Target::Write(dtheta)) => kernel.grad_params(context.team, x, dy, dtheta, batch),
                    Some(Target::Add(dtheta)) => kernel.add_params(context.team, x, dy, dtheta, batch),
                    None => {}
                }
            }
            // Convolutions and norms make both gradients together.
            (Op::Layer { .. } | Op::Conv(_) | Op::Norm(_) | Op::Relayout, _) => {}
        }
        for (i, id) in step.inputs.iter().enumerate() {
            let to = ws.grad_places[*id].filter(|_| inputs);
            let together = matches!(step.op, Op::Conv(_) | Op::Norm(_)) && dtheta.is_some();
            if to.is_none() && !together {
                continue;
            }
            let shared = to.is_some() && std::mem::replace(&mut ws.written[*id], true);
            let to_range = to.map_or(0..0, |to| to.offset..to.offset + batch * to.stride);
            let (dy, sum) = two(ws.grads.as_mut_slice(), dy_range.clone(), to_range);
            let dx = if shared { &mut ws.shared.as_mut_slice()[..sum.len()] } else { &mut *sum };
            match &step.op {
                Op::Layer { node } => {
                    let (dy, to) = (dy_place.at_start().view(dy, batch), to.expect("asked above").at_start());
                    self.network.layer(*node).grad_input(context, at(), dy, i, to.view_mut(dx, batch));
                }
                Op::Dense { kernel, .. } => kernel.grad_input(context.team, theta, dy, dx, batch),
                Op::Conv(conv) => {
                    let memory = Backward {
                        packed: ws.packed.as_mut_slice(),
                        x: ws.places[*id].rows(values, batch),
                        y: place.rows(values, batch),
                        dy,
                        marks: &ws.marks[conv.marks * ws.capacity..][..batch * conv.marks_len()],
                        scratch: ws.scratch.as_mut_slice(),
                        dx: to.map(|_| &mut *dx),
                    };
                    conv.backward(context.team, theta, memory, dtheta.as_mut().map(Target::written));
                }
                Op::Norm(norm) => {
                    let (packed, scratch) = (ws.packed.as_mut_slice(), ws.scratch.as_mut_slice());
                    let pictures = [ws.places[*id].rows(values, batch), place.rows(values, batch), &*dy];
                    let marks = &ws.marks[norm.marks * ws.capacity..][..batch * norm.marks_len()];
                    let dz = to.map(|_| &mut *dx);
                    norm.backward(context, packed, scratch, pictures, marks, dz, dtheta.as_mut().map(Target::written));
                }
                Op::Relayout => {
                    let slots = [&ws.slots[step.output], &ws.slots[*id]];
                    super::relayout::copy(context.team, slots, dy, dx, batch);
                }
            }
            if shared {
                sum.iter_mut().zip(ws.shared.as_slice()).for_each(|(sum, part)| *sum += part);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::nn::{Context, Flavor, Init, Network, Phase, Program, Shape, zoo};
    use ndarray::Array2;

    /// A network with a dense layer whose kernel adds, and others that write: the sum over two batches, in one half and in two.
    #[test]
    fn what_is_added_is_the_sum_of_what_is_written() {
        let network = Network::build(zoo::vgg5(&Shape::image(3, 16, 16), 10).unwrap()).unwrap();
        let program = Program::compile(&network, Flavor::Fused).with_kept_gradients();
        assert!(program.steps.iter().any(super::Step::adds) && !program.steps.iter().all(super::Step::adds));
        let (theta, sigma) = (Init::He.draw(&network, 5), network.initial_sigma());
        let (samples, labels) = ([0, 1, 2], [3, 1, 4]);
        let context = Context { phase: Phase::Train, ..Context::eval(&samples, &sigma) };
        let mut ws = program.workspace(3);
        let len = theta.len();
        let (mut written, mut added, mut halves) = (vec![0.0f32; len], vec![0.0f32; len], vec![0.0f32; len]);
        for batch in 0..2 {
            let rows = Array2::from_shape_fn((3, 768), |(b, i)| ((i * 7 + b * 31 + batch * 3) as f32 * 0.1).sin());
            let forward = |ws: &mut _| {
                crate::nn::Workspace::assign(ws, 0, rows.view());
                program.forward(&context, &theta, ws);
                program.losses(ws, &labels);
            };
            let mut spare = vec![f32::NAN; len];
            forward(&mut ws);
            program.backward(&context, &theta, &mut ws, &mut spare, &mut |_, _| {});
            written.iter_mut().zip(&spare).for_each(|(sum, part)| *sum += part);
            forward(&mut ws);
            program.backward_adding(&context, &theta, &mut ws, &mut added, &mut spare);
            forward(&mut ws);
            program.backward_input(&context, &theta, &mut ws);
            program.backward_params_adding(&context, &theta, &mut ws, &mut halves, &mut spare);
        }
        let norm = |v: &[f32]| v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        for (name, other) in [("in one", &added), ("in two halves", &halves)] {
            let away: Vec<f32> = other.iter().zip(&written).map(|(a, b)| a - b).collect();
            assert!(norm(&away) <= 1e-6 * norm(&written), "{name}: {:e}", norm(&away) / norm(&written));
        }
    }
}
