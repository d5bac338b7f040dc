//! Per-sample standardization between layers.
//!
//! The original divided by σ/√n in one layer and by a power of two in the next, and its backward
//! pass left the Jacobian out; this is the layer it meant.

use crate::nn::layer::one_input;
use crate::nn::{At, Context, Cost, Inputs, Layer, NetError, Shape};
use ndarray::{ArrayView1, ArrayView2, ArrayViewMut2, Zip};
use serde::{Deserialize, Serialize};

/// Added to the variance, so that a constant vector maps to zero and not to NaN.
const EPSILON: f32 = 1e-5;

/// Mean 0 and variance 1 within each sample.
///
/// # Math
/// ```text
/// y  = (x - μ) / s,   s = √(σ² + ε),   μ, σ² over the sample's n elements
/// dx = (dy - mean(dy) - y · mean(dy ⊙ y)) / s
/// ```
/// # References
/// Ba, Kiros, Hinton, *Layer normalization*, arXiv:1607.06450, without the affine map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standardize {}

fn moments(x: ArrayView1<f32>) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = x.sum() / n;
    let variance = x.fold(0.0, |sum, x| sum + (x - mean) * (x - mean)) / n;
    (mean, (variance + EPSILON).sqrt())
}

impl Layer for Standardize {
    fn kind(&self) -> &'static str {
        "standardize"
    }

    fn output(&self, node: &str, inputs: &[Shape]) -> Result<Shape, NetError> {
        one_input(node, self.kind(), inputs).cloned()
    }

    fn cost(&self, _inputs: &[Shape], output: &Shape) -> Cost {
        Cost::elementwise(output.elements(), 7)
    }

    fn forward(&self, _: &Context, x: Inputs, _: &[f32], mut y: ArrayViewMut2<f32>) {
        for (x, mut y) in x.get(0).rows().into_iter().zip(y.rows_mut()) {
            let (mean, s) = moments(x);
            Zip::from(&mut y).and(x).for_each(|y, x| *y = (x - mean) / s);
        }
    }

    fn grad_input(&self, _: &Context, at: At, dy: ArrayView2<f32>, _: usize, mut dx: ArrayViewMut2<f32>) {
        let x = at.x.get(0);
        for (b, mut dx) in dx.rows_mut().into_iter().enumerate() {
            let (y, dy) = (at.y.row(b), dy.row(b));
            let (_, s) = moments(x.row(b));
            let n = y.len() as f32;
            let (mean, slope) = (dy.sum() / n, dy.dot(&y) / n);
            Zip::from(&mut dx).and(y).and(dy).for_each(|dx, y, dy| *dx = (dy - mean - y * slope) / s);
        }
    }
}
