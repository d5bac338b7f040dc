//! From a picture to a vector.

use crate::nn::layer::one_input;
use crate::nn::{At, Context, Cost, Inputs, Layer, NetError, Shape};
use crate::units::Bytes;
use ndarray::{ArrayView2, ArrayViewMut2};
use serde::{Deserialize, Serialize};

/// The elements of a picture as one vector, in the order channels, rows, columns.
///
/// # Shapes
/// `x`: `[B, C, H, W]`, `y`: `[B, C H W]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flatten {}

impl Layer for Flatten {
    fn kind(&self) -> &'static str {
        "flatten"
    }

    fn output(&self, node: &str, inputs: &[Shape]) -> Result<Shape, NetError> {
        Ok(Shape::vector(one_input(node, self.kind(), inputs)?.elements()))
    }

    fn cost(&self, _inputs: &[Shape], output: &Shape) -> Cost {
        Cost { activations: Bytes(4 * output.elements() as u64), ..Cost::default() }
    }

    fn forward(&self, _: &Context, x: Inputs, _: &[f32], mut y: ArrayViewMut2<f32>) {
        y.assign(&x.get(0));
    }

    fn grad_input(&self, _: &Context, _: At, dy: ArrayView2<f32>, _: usize, mut dx: ArrayViewMut2<f32>) {
        dx.assign(&dy);
    }
}
