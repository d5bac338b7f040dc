//! Softmax over a sample's vector.

use crate::nn::layer::one_input;
use crate::nn::{At, Context, Cost, Inputs, Layer, NetError, Shape};
use ndarray::{ArrayView2, ArrayViewMut2, Zip};
use serde::{Deserialize, Serialize};

/// `yᵢ = e^xᵢ / Σⱼ e^xⱼ` over each row; `dx = y ⊙ (dy - ⟨dy, y⟩)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Softmax {}

impl Layer for Softmax {
    fn kind(&self) -> &'static str {
        "softmax"
    }

    fn output(&self, node: &str, inputs: &[Shape]) -> Result<Shape, NetError> {
        one_input(node, self.kind(), inputs).cloned()
    }

    fn cost(&self, _inputs: &[Shape], output: &Shape) -> Cost {
        Cost::elementwise(output.elements(), 5)
    }

    fn forward(&self, _: &Context, x: Inputs, _: &[f32], mut y: ArrayViewMut2<f32>) {
        for (x, mut y) in x.get(0).rows().into_iter().zip(y.rows_mut()) {
            let max = x.fold(f32::NEG_INFINITY, |max, x| max.max(*x));
            Zip::from(&mut y).and(x).for_each(|y, x| *y = (x - max).exp());
            let sum = y.sum();
            y /= sum;
        }
    }

    fn grad_input(&self, _: &Context, at: At, dy: ArrayView2<f32>, _: usize, mut dx: ArrayViewMut2<f32>) {
        for (b, mut dx) in dx.rows_mut().into_iter().enumerate() {
            let (y, dy) = (at.y.row(b), dy.row(b));
            let inner = y.dot(&dy);
            Zip::from(&mut dx).and(y).and(dy).for_each(|dx, y, dy| *dx = y * (dy - inner));
        }
    }
}
