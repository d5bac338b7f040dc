//! The sum of several tensors.

use crate::nn::layer::several_inputs;
use crate::nn::{At, Context, Cost, Inputs, Layer, NetError, Shape};
use crate::units::{Bytes, Flops};
use ndarray::{ArrayView2, ArrayViewMut2};
use serde::{Deserialize, Serialize};

/// The sum of two or more tensors of one shape, element by element: where a shortcut joins its block again.
///
/// # Shapes
/// `xᵢ`, `y`: `[B, D]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Add {}

impl Layer for Add {
    fn kind(&self) -> &'static str {
        "add"
    }

    fn output(&self, node: &str, inputs: &[Shape]) -> Result<Shape, NetError> {
        let first = several_inputs(node, self.kind(), inputs)?;
        match inputs.iter().find(|x| *x != first) {
            None => Ok(first.clone()),
            Some(other) => Err(NetError::Unfit {
                node: node.into(),
                layer: self.kind(),
                why: format!("got tensors of {first} and {other}"),
                cure: "give it tensors of one shape",
            }),
        }
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        let elements = output.elements() as u64;
        Cost {
            forward: Flops(elements.saturating_mul(inputs.len() as u64 - 1)),
            activations: Bytes(elements.saturating_mul(4)),
            ..Cost::default()
        }
    }

    fn forward(&self, _: &Context, x: Inputs, _: &[f32], mut y: ArrayViewMut2<f32>) {
        y.assign(&x.get(0));
        for i in 1..x.count() {
            y += &x.get(i);
        }
    }

    fn grad_input(&self, _: &Context, _: At, dy: ArrayView2<f32>, _: usize, mut dx: ArrayViewMut2<f32>) {
        dx.assign(&dy);
    }
}
