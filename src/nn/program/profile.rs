//! A program under the clock, step by step; whoever holds the clock wraps it around the work.

use super::backward::{Gradients, Target};
use super::{Program, Step, Workspace};
use crate::nn::layers::LayerKind;
use crate::nn::{Context, Cost, Span, Tally};

/// One step of a program, as a measurement names it.
#[derive(Debug, Clone, PartialEq)]
pub struct StepInfo {
    /// The nodes that run together: `conv1 + relu1 + pool1`.
    pub name: String,
    /// Direct arithmetic of a sample, the sum over its nodes; zero where a value only changes its layout.
    pub cost: Cost,
}

/// What of a step is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pass {
    /// The forward pass.
    Forward,
    /// The gradient of the parameters alone.
    GradParams,
    /// All gradients that training needs of the step; where a step has parameters and its inputs want gradients, it
    /// comes after [`Pass::GradParams`] and repeats that work, because the kernels make both in one go.
    Backward,
}

/// Gets the number of a step, its pass, and the work, which it must call exactly once.
pub type Around<'a> = dyn FnMut(usize, Pass, &mut dyn FnMut()) + 'a;

impl Program {
    /// The steps in the order of the forward pass.
    pub fn steps(&self) -> Vec<StepInfo> {
        let firsts: Vec<Option<usize>> = self.steps.iter().map(|step| step.nodes.clone().next()).collect();
        let last = self.network.nodes().len();
        let info = |(i, first): (usize, &Option<usize>)| {
            let Some(first) = *first else {
                return StepInfo { name: "change of layout".into(), cost: Cost::default() };
            };
            // What lies between two steps runs with the first: activations, pools, and names of the same memory.
            let next = firsts[i + 1..].iter().flatten().next().copied().unwrap_or(last);
            // Of a flattening that follows nothing is left in the program.
            let nodes = self.network.spec().nodes[first..next].iter().enumerate();
            let kept = nodes.filter(|(i, node)| *i == 0 || !matches!(node.layer, LayerKind::Flatten(_)));
            let names: Vec<&str> = kept.map(|(_, node)| node.name.as_str()).collect();
            let cost = self.network.nodes()[first..next].iter().map(|node| node.cost).sum();
            StepInfo { name: names.join(" + "), cost }
        };
        firsts.iter().enumerate().map(info).collect()
    }

    /// As [`Program::loss_and_grad`], with `around` around each part of each step. Slower than it by what the parts
    /// repeat, and it allocates.
    pub fn profile(
        &self,
        context: &Context,
        theta: &[f32],
        ws: &mut Workspace,
        labels: &[u32],
        grad: &mut [f32],
        around: &mut Around,
    ) -> Tally {
        for (i, step) in self.steps.iter().enumerate() {
            let context = &step.context(context);
            around(i, Pass::Forward, &mut || self.step_forward(step, context, &theta[step.theta.range()], ws));
        }
        let total = self.losses(ws, labels);
        for (i, step) in self.steps.iter().enumerate().rev() {
            let dtheta = &mut grad[step.theta.range()];
            if !std::mem::take(&mut ws.written[step.output]) {
                dtheta.fill(0.0);
                continue;
            }
            let context = &step.context(context);
            self.profile_backward(step, context, &theta[step.theta.range()], ws, dtheta, &mut |pass, work| {
                around(i, pass, work);
            });
        }
        ws.written.fill(false);
        total
    }

    fn profile_backward(
        &self,
        step: &Step,
        context: &Context,
        theta: &[f32],
        ws: &mut Workspace,
        dtheta: &mut [f32],
        around: &mut dyn FnMut(Pass, &mut dyn FnMut()),
    ) {
        let input_gradients = step.inputs.iter().any(|id| ws.grad_places[*id].is_some());
        if step.theta.len > 0 {
            // Some steps work on the gradient of their output in place: it is put back for the second time.
            let place = ws.grad_places[step.output].expect("a workspace for training");
            let range = place.offset..place.offset + ws.batch * place.stride;
            let dy = ws.grads.as_slice()[range.clone()].to_vec();
            let places: Vec<_> = step.inputs.iter().map(|id| ws.grad_places[*id].take()).collect();
            around(Pass::GradParams, &mut || {
                self.step_backward(step, context, theta, ws, Gradients::Both(Target::Write(dtheta)))
            });
            for (id, place) in step.inputs.iter().zip(places) {
                ws.grad_places[*id] = ws.grad_places[*id].or(place);
            }
            if input_gradients {
                ws.grads.as_mut_slice()[range].copy_from_slice(&dy);
            }
        }
        if input_gradients {
            around(Pass::Backward, &mut || {
                self.step_backward(step, context, theta, ws, Gradients::Both(Target::Write(dtheta)))
            });
        }
    }
}

impl Step {
    /// The context with the step's own part of σ.
    pub(super) fn context<'a>(&self, context: &Context<'a>) -> Context<'a> {
        let sigma = |span: Span| context.sigma.get(span.range()).unwrap_or(&[]);
        Context { sigma: sigma(self.sigma), ..*context }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Alone, Flavor, Init, Network, Phase, Shape, zoo};
    use ndarray::Array2;

    fn network(name: &str, input: &Shape) -> Network {
        Network::build(zoo::by_name(name, input, 3).unwrap()).unwrap()
    }

    #[test]
    fn steps_are_named_by_the_nodes_that_run_together_and_hold_all_arithmetic() {
        let picture = Shape::image(3, 12, 12);
        for (name, expected) in [
            ("img_cnn", "conv1 + relu1 + pool1|conv2 + relu2 + pool2|conv3 + relu3 + pool3"),
            ("vgg5", "conv1|bn1 + relu1 + pool1|conv2|bn2 + relu2 + pool2|conv3|bn3 + relu3"),
            ("img_mlp", "fc1 + act1|fc2 + act2|fc3"),
        ] {
            let network = network(name, &picture);
            for flavor in [Flavor::Fused, Flavor::Naive] {
                let steps = Program::compile(&network, flavor).steps();
                let cost: Cost = steps.iter().map(|step| step.cost).sum();
                assert_eq!(cost, network.cost(), "{name} {flavor:?}");
                let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
                let names = names.join("|");
                assert!(flavor == Flavor::Naive || names.starts_with(expected), "{name}: {names}");
            }
        }
    }

    #[test]
    fn a_profiled_step_is_a_step() {
        let picture = Shape::image(3, 12, 12);
        for name in ["img_cnn", "vgg5", "img_mlp"] {
            let network = network(name, &picture);
            let program = Program::compile(&network, Flavor::Fused);
            let (theta, sigma) = (Init::He.draw(&network, 1), network.initial_sigma());
            let rows = Array2::from_shape_fn((5, 432), |(b, i)| ((b * 432 + i) * 7919 % 2003) as f32 / 1001.5 - 1.0);
            let context = &Context {
                phase: Phase::Train,
                seed: 1,
                epoch: 0,
                samples: &[0, 1, 2, 3, 4],
                sigma: &sigma,
                team: &Alone,
            };
            let labels = [0, 1, 2, 0, 1];
            let mut ws = program.workspace(5);
            let mut run = |profiled: bool, seen: &mut Vec<(usize, Pass)>| {
                let mut grad = vec![f32::NAN; network.theta_len()];
                ws.assign(0, rows.view());
                let tally = match profiled {
                    false => program.loss_and_grad(context, &theta, &mut ws, &labels, &mut grad),
                    true => program.profile(context, &theta, &mut ws, &labels, &mut grad, &mut |step, pass, work| {
                        work();
                        seen.push((step, pass));
                    }),
                };
                (tally, grad)
            };
            let mut seen = Vec::new();
            let plain = run(false, &mut seen);
            assert!(seen.is_empty());
            assert_eq!(run(true, &mut seen), plain, "{name}");
            assert_eq!(run(false, &mut Vec::new()), plain, "{name}");
            // The first step's inputs want no gradient; every other has one.
            assert!(seen.contains(&(0, Pass::GradParams)) && !seen.contains(&(0, Pass::Backward)));
            for step in 1..program.steps().len() {
                assert!(seen.contains(&(step, Pass::Forward)) && seen.contains(&(step, Pass::Backward)), "{step}");
            }
        }
    }
}
