//! The mean of each window of a picture.

use crate::nn::layer::one_input;
use crate::nn::window::{Window, WrittenPool, picture, sizes};
use crate::nn::{At, Context, Cost, Inputs, Layer, NetError, Shape};
use crate::units::{Bytes, Flops};
use ndarray::{ArrayView2, ArrayViewMut2};
use serde::{Deserialize, Serialize};

/// The mean of each window, channel by channel; padding counts as zeros, as PyTorch's default has it.
///
/// # Shapes
/// `x`: `[B, C, H, W]`, `y`: `[B, C, H', W']` with `H' = ⌊(H + 2 ph - kh) / sh⌋ + 1`, `W'` likewise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "WrittenPool")]
pub struct AvgPool {
    /// Height and width of the window; one number means both.
    pub kernel: [usize; 2],
    /// Vertical and horizontal step; the kernel unless given.
    pub stride: [usize; 2],
    /// Vertical and horizontal padding, at most half the kernel.
    pub padding: [usize; 2],
}

impl From<WrittenPool> for AvgPool {
    fn from(written: WrittenPool) -> Self {
        let Window { kernel, stride, padding } = written.into();
        Self { kernel, stride, padding }
    }
}

impl AvgPool {
    fn window(&self) -> Window {
        Window { kernel: self.kernel, stride: self.stride, padding: self.padding }
    }

    /// One over the number of elements of a window.
    fn share(&self) -> f64 {
        1.0 / (self.kernel[0] as f64 * self.kernel[1] as f64)
    }

    /// Visits every element of every window: `visit(x, y)` where input `x` is part of output `y`.
    fn members(&self, shape: &Shape, mut visit: impl FnMut(usize, usize)) {
        let (window, [channels, h, w]) = (self.window(), sizes(shape));
        let [rows, columns] = window.places([h, w]).expect("the input was checked");
        for c in 0..channels {
            for v in 0..rows {
                for u in 0..columns {
                    for i in window.covered(0, v, h) {
                        for j in window.covered(1, u, w) {
                            visit((c * h + i) * w + j, (c * rows + v) * columns + u);
                        }
                    }
                }
            }
        }
    }
}

impl Layer for AvgPool {
    fn kind(&self) -> &'static str {
        "avg_pool"
    }

    fn output(&self, node: &str, inputs: &[Shape]) -> Result<Shape, NetError> {
        let [channels, h, w] = picture(node, self.kind(), one_input(node, self.kind(), inputs)?)?;
        let [rows, columns] = self.window().check_pool(node, self.kind(), [h, w])?;
        Ok(Shape::image(channels, rows, columns))
    }

    fn begins_block(&self) -> bool {
        true
    }

    fn cost(&self, _inputs: &[Shape], output: &Shape) -> Cost {
        let elements = output.elements() as u64;
        let added = Flops(elements.saturating_mul(self.kernel[0] as u64).saturating_mul(self.kernel[1] as u64));
        let activations = Bytes(elements.saturating_mul(4));
        Cost { forward: added, grad_input: added, activations, ..Cost::default() }
    }

    fn forward(&self, _: &Context, x: Inputs, _: &[f32], mut y: ArrayViewMut2<f32>) {
        let mut sums = vec![0.0f64; y.ncols()];
        for (image, mut y) in x.get(0).rows().into_iter().zip(y.rows_mut()) {
            sums.fill(0.0);
            self.members(x.shape(0), |from, to| sums[to] += f64::from(image[from]));
            y.iter_mut().zip(&sums).for_each(|(y, sum)| *y = (sum * self.share()) as f32);
        }
    }

    fn grad_input(&self, _: &Context, at: At, dy: ArrayView2<f32>, _: usize, mut dx: ArrayViewMut2<f32>) {
        let mut sums = vec![0.0f64; dx.ncols()];
        for (dy, mut dx) in dy.rows().into_iter().zip(dx.rows_mut()) {
            sums.fill(0.0);
            self.members(at.x.shape(0), |from, to| sums[from] += f64::from(dy[to]));
            dx.iter_mut().zip(&sums).for_each(|(dx, sum)| *dx = (sum * self.share()) as f32);
        }
    }
}
