//! What the passes of a program cost: for whoever keeps account of a machine's time.

use super::{Program, Step};
use crate::units::Flops;

/// Arithmetic of one sample in each pass of a program.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PassFlops {
    /// [`Program::forward`].
    pub forward: Flops,
    /// [`Program::backward_input`]: nothing for layers whose input nobody wants the gradient of, as a whole network's first.
    pub backward_input: Flops,
    /// [`Program::backward_params`].
    pub backward_params: Flops,
}

impl PassFlops {
    /// [`Program::backward`].
    pub fn backward(&self) -> Flops {
        Flops(self.backward_input.0 + self.backward_params.0)
    }
}

impl Program {
    /// The arithmetic of one sample: direct counts of the layers, without losses, as [`Cost`](crate::nn::Cost) has them.
    pub fn flops(&self) -> PassFlops {
        let mut total = PassFlops::default();
        for step in &self.steps {
            for (i, cost) in self.network.nodes()[step.nodes.clone()].iter().map(|node| node.cost).enumerate() {
                total.forward += cost.forward;
                total.backward_params += cost.grad_params;
                // What is fused behind a layer wants the gradient between the two in any case.
                if i > 0 || self.wants_input_gradient(step) {
                    total.backward_input += cost.grad_input;
                }
            }
        }
        total
    }

    /// Whether anybody wants the gradient of what a step reads.
    fn wants_input_gradient(&self, step: &Step) -> bool {
        self.memory.lives.iter().any(|life| step.inputs.contains(&life.slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Flavor, Network, Shape, zoo};

    #[test]
    fn only_the_first_layers_input_gradient_is_left_out() {
        let picture = Shape::image(3, 12, 12);
        for name in ["iris_mlp", "img_cnn", "vgg5"] {
            let network = Network::build(zoo::by_name(name, &picture, 3).unwrap()).unwrap();
            let cost = network.cost();
            for flavor in [Flavor::Fused, Flavor::Naive] {
                let program = Program::compile(&network, flavor);
                let flops = program.flops();
                assert_eq!((flops.forward, flops.backward_params), (cost.forward, cost.grad_params), "{name}");
                let first = network.nodes()[0].cost.grad_input.0;
                assert_eq!(flops.backward_input.0, cost.grad_input.0 - first, "{name} {flavor:?}");
                let flops = program.with_input_gradients().with_kept_gradients().flops();
                assert_eq!(flops.backward(), Flops(cost.grad_input.0 + cost.grad_params.0), "{name}");
            }
        }
    }
}
