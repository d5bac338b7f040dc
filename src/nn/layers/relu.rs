//! The rectifier.

use crate::nn::layer::one_input;
use crate::nn::{At, Context, Cost, Inputs, Layer, NetError, Shape};
use ndarray::{ArrayView2, ArrayViewMut2, Zip};
use serde::{Deserialize, Serialize};

/// `y = max(0, x)`, `y' = 1 where y > 0, else 0`, element by element.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relu {}

impl Layer for Relu {
    fn kind(&self) -> &'static str {
        "relu"
    }

    fn output(&self, node: &str, inputs: &[Shape]) -> Result<Shape, NetError> {
        one_input(node, self.kind(), inputs).cloned()
    }

    fn cost(&self, _inputs: &[Shape], output: &Shape) -> Cost {
        Cost::elementwise(output.elements(), 1)
    }

    fn forward(&self, _: &Context, x: Inputs, _: &[f32], y: ArrayViewMut2<f32>) {
        Zip::from(y).and(x.get(0)).for_each(|y, &x| *y = if x < 0.0 { 0.0 } else { x });
    }

    fn grad_input(&self, _: &Context, at: At, dy: ArrayView2<f32>, _: usize, dx: ArrayViewMut2<f32>) {
        Zip::from(dx).and(dy).and(at.y).for_each(|dx, &dy, &y| *dx = if y > 0.0 { dy } else { 0.0 });
    }
}
