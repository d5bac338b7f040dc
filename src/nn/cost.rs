//! What a layer costs, for planners: pure counts, no time.

use crate::units::{Bytes, Flops};
use std::iter::Sum;

/// Arithmetic and memory traffic of one sample.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    /// Forward arithmetic.
    pub forward: Flops,
    /// Arithmetic of the gradient with respect to the input.
    pub grad_input: Flops,
    /// Arithmetic of the gradient with respect to the parameters.
    pub grad_params: Flops,
    /// Output activations, f32.
    pub activations: Bytes,
    /// Parameters, f32; once a network, not once a sample.
    pub parameters: Bytes,
}

impl Cost {
    /// An element-wise layer that does `per_element` operations in each direction.
    pub fn elementwise(elements: usize, per_element: u64) -> Self {
        let flops = Flops(elements as u64 * per_element);
        Self { forward: flops, grad_input: flops, activations: Bytes(4 * elements as u64), ..Self::default() }
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), |mut total, cost| {
            total.forward += cost.forward;
            total.grad_input += cost.grad_input;
            total.grad_params += cost.grad_params;
            total.activations += cost.activations;
            total.parameters += cost.parameters;
            total
        })
    }
}
