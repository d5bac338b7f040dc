//! The maximum of each window of a picture.

use crate::nn::layer::one_input;
use crate::nn::window::{Window, WrittenPool, picture, sizes};
use crate::nn::{At, Context, Cost, Inputs, Layer, NetError, Shape};
use crate::units::{Bytes, Flops};
use ndarray::{ArrayView2, ArrayViewMut2};
use serde::{Deserialize, Serialize};

/// The maximum of each window, channel by channel; the first of equal ones, in rows, gets the gradient.
///
/// Padding never wins, and rows and columns that fill no window are dropped. A NaN in a window is its maximum.
///
/// # Shapes
/// `x`: `[B, C, H, W]`, `y`: `[B, C, H', W']` with `H' = ⌊(H + 2 ph - kh) / sh⌋ + 1`, `W'` likewise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "WrittenPool")]
pub struct MaxPool {
    /// Height and width of the window; one number means both.
    pub kernel: [usize; 2],
    /// Vertical and horizontal step; the kernel unless given.
    pub stride: [usize; 2],
    /// Vertical and horizontal padding, at most half the kernel.
    pub padding: [usize; 2],
}

impl From<WrittenPool> for MaxPool {
    fn from(written: WrittenPool) -> Self {
        let Window { kernel, stride, padding } = written.into();
        Self { kernel, stride, padding }
    }
}

impl MaxPool {
    fn window(&self) -> Window {
        Window { kernel: self.kernel, stride: self.stride, padding: self.padding }
    }

    /// Visits every window: `visit(x, y)` where output `y` is the element `x` of the input.
    fn winners(&self, shape: &Shape, image: &[f32], mut visit: impl FnMut(usize, usize)) {
        let (window, [channels, h, w]) = (self.window(), sizes(shape));
        let [rows, columns] = window.places([h, w]).expect("the input was checked");
        for c in 0..channels {
            for v in 0..rows {
                for u in 0..columns {
                    let (down, across) = (window.covered(0, v, h), window.covered(1, u, w));
                    let mut best = (c * h + down.start) * w + across.start;
                    for x in down.flat_map(|i| across.clone().map(move |j| (c * h + i) * w + j)) {
                        if image[x] > image[best] || (image[x].is_nan() && !image[best].is_nan()) {
                            best = x;
                        }
                    }
                    visit(best, (c * rows + v) * columns + u);
                }
            }
        }
    }
}

impl Layer for MaxPool {
    fn kind(&self) -> &'static str {
        "max_pool"
    }

    fn output(&self, node: &str, inputs: &[Shape]) -> Result<Shape, NetError> {
        let [channels, h, w] = picture(node, self.kind(), one_input(node, self.kind(), inputs)?)?;
        let [rows, columns] = self.window().check_pool(node, self.kind(), [h, w])?;
        Ok(Shape::image(channels, rows, columns))
    }

    fn begins_block(&self) -> bool {
        true
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        let elements = output.elements() as u64;
        let compared = elements.saturating_mul(self.kernel[0] as u64).saturating_mul(self.kernel[1] as u64);
        Cost {
            forward: Flops(compared),
            grad_input: Flops(inputs[0].elements() as u64),
            activations: Bytes(elements.saturating_mul(4)),
            ..Cost::default()
        }
    }

    fn forward(&self, _: &Context, x: Inputs, _: &[f32], mut y: ArrayViewMut2<f32>) {
        for (image, mut y) in x.get(0).rows().into_iter().zip(y.rows_mut()) {
            let image = image.to_slice().expect("rows are contiguous");
            self.winners(x.shape(0), image, |from, to| y[to] = image[from]);
        }
    }

    fn grad_input(&self, _: &Context, at: At, dy: ArrayView2<f32>, _: usize, mut dx: ArrayViewMut2<f32>) {
        dx.fill(0.0);
        for ((image, dy), mut dx) in at.x.get(0).rows().into_iter().zip(dy.rows()).zip(dx.rows_mut()) {
            let image = image.to_slice().expect("rows are contiguous");
            // Added, not written: windows that overlap may share their winner.
            self.winners(at.x.shape(0), image, |from, to| dx[from] += dy[to]);
        }
    }
}
