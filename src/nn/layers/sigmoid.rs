//! The logistic function.

use crate::nn::layer::one_input;
use crate::nn::{At, Context, Cost, Inputs, Layer, NetError, Shape};
use ndarray::{ArrayView2, ArrayViewMut2, Zip};
use serde::{Deserialize, Serialize};

/// `y = 1 / (1 + e⁻ˣ)`, `y' = y (1 - y)`, element by element.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sigmoid {}

impl Layer for Sigmoid {
    fn kind(&self) -> &'static str {
        "sigmoid"
    }

    fn output(&self, node: &str, inputs: &[Shape]) -> Result<Shape, NetError> {
        one_input(node, self.kind(), inputs).cloned()
    }

    fn cost(&self, _inputs: &[Shape], output: &Shape) -> Cost {
        Cost::elementwise(output.elements(), 4)
    }

    fn forward(&self, _: &Context, x: Inputs, _: &[f32], y: ArrayViewMut2<f32>) {
        Zip::from(y).and(x.get(0)).for_each(|y, &x| *y = 1.0 / (1.0 + (-x).exp()));
    }

    fn grad_input(&self, _: &Context, at: At, dy: ArrayView2<f32>, _: usize, dx: ArrayViewMut2<f32>) {
        Zip::from(dx).and(dy).and(at.y).for_each(|dx, &dy, &y| *dx = dy * y * (1.0 - y));
    }
}
