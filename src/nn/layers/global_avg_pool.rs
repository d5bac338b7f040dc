//! The mean of each channel of a picture.

use super::AvgPool;
use crate::nn::layer::one_input;
use crate::nn::window::{ones, picture, sizes};
use crate::nn::{At, Context, Cost, Inputs, Layer, NetError, Shape};
use ndarray::{ArrayView2, ArrayViewMut2};
use serde::{Deserialize, Serialize};

/// The mean of each channel, whatever the picture's size: a pool whose window is the whole picture.
///
/// # Shapes
/// `x`: `[B, C, H, W]`, `y`: `[B, C, 1, 1]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlobalAvgPool {}

/// The pool over the whole picture.
fn whole(x: &Shape) -> AvgPool {
    let [_, h, w] = sizes(x);
    AvgPool { kernel: [h, w], stride: ones(), padding: [0, 0] }
}

impl Layer for GlobalAvgPool {
    fn kind(&self) -> &'static str {
        "global_avg_pool"
    }

    fn output(&self, node: &str, inputs: &[Shape]) -> Result<Shape, NetError> {
        let [channels, ..] = picture(node, self.kind(), one_input(node, self.kind(), inputs)?)?;
        Ok(Shape::image(channels, 1, 1))
    }

    fn begins_block(&self) -> bool {
        true
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        whole(&inputs[0]).cost(inputs, output)
    }

    fn forward(&self, context: &Context, x: Inputs, theta: &[f32], y: ArrayViewMut2<f32>) {
        whole(x.shape(0)).forward(context, x, theta, y);
    }

    fn grad_input(&self, context: &Context, at: At, dy: ArrayView2<f32>, input: usize, dx: ArrayViewMut2<f32>) {
        whole(at.x.shape(0)).grad_input(context, at, dy, input, dx);
    }
}
