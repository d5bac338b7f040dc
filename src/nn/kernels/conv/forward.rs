//! Convolution forward, with what follows it done before the sums leave the registers.

use super::plan::{Operands, block, run};
use super::tile::{Reach, Sums, Walk};
use super::{ConvKernel, Post};
use crate::nn::kernels::grid::Grid;

/// Taps of a kernel row, floats of each, and floats from one to the next: one long tap where pixels touch.
pub(super) fn taps(grid: &Grid, taps: usize) -> (usize, usize, usize) {
    if grid.channels == grid.depth { (1, taps * grid.depth, 0) } else { (taps, grid.channels, grid.depth) }
}

impl ConvKernel {
    /// Floats of the packed weights and bias.
    pub fn packed_len(&self) -> usize {
        let [kh, kw] = self.shape.kernel;
        self.z.depth * (self.shape.inputs * kh * kw + 1)
    }

    /// Lays the parameters out as [`ConvKernel::forward`] reads them.
    ///
    /// # Shapes
    /// `theta`: `W [outputs, inputs, kh, kw]`, then `b [outputs]` or nothing; `packed`: `[block][kh][kw][inputs][channels of a
    /// block]`, then `b`, channels behind the last as zeros.
    pub fn pack(&self, theta: &[f32], packed: &mut [f32]) {
        let (shape, block) = (self.shape, block(self.isa, self.z.depth));
        let taps = shape.kernel[0] * shape.kernel[1];
        let (weights, bias) = packed[..self.packed_len()].split_at_mut(self.z.depth * shape.inputs * taps);
        for (i, to) in weights.chunks_exact_mut(block).enumerate() {
            let (tap, input) = (i / shape.inputs % taps, i % shape.inputs);
            let first = i / shape.inputs / taps * block;
            for (lane, to) in to.iter_mut().enumerate() {
                let output = first + lane;
                *to = if output < shape.outputs { theta[(output * shape.inputs + input) * taps + tap] } else { 0.0 };
            }
        }
        let b = &theta[shape.outputs * shape.inputs * taps..];
        bias[..b.len()].copy_from_slice(b);
        bias[b.len()..].fill(0.0);
    }

    /// Writes `y = post(W * x + b)`; with [`Post::ReluPool`] also which of its window each maximum is: `2·dy + dx`,
    /// the first of equals, or 4 where no sum is above zero.
    ///
    /// # Shapes
    /// `x`: grid x, `y`: grid y, of which only pixels are written, the margin never; `argmax`: `[y.height,
    /// y.width, y.depth]`, not looked at without maxima.
    pub fn forward(&self, packed: &[f32], x: &[f32], y: &mut [f32], argmax: &mut [u8]) {
        let (shape, grid) = (self.shape, &self.x);
        let (taps_x, run_len, step) = taps(grid, shape.kernel[1]);
        let [down, right] = shape.padding;
        assert!(grid.halo >= down.max(right), "the margin is narrower than the padding");
        let sums = Sums {
            input: Walk {
                origin: grid.at(0, 0) - down * grid.row() - right * grid.depth,
                row: shape.stride[0] * grid.row(),
                pixel: shape.stride[1] * grid.depth,
            },
            reach: Reach { first: -(down as isize), step: shape.stride[0], height: grid.height },
            taps: [shape.kernel[0], taps_x],
            steps: [grid.row(), step],
            run: run_len,
            output: Walk { origin: self.y.at(0, 0), row: self.y.row(), pixel: self.y.depth },
            size: match self.post {
                Post::ReluPool => [self.z.height / 2, self.z.width / 2],
                Post::None | Post::Relu => [self.z.height, self.z.width],
            },
            depth: self.y.depth,
            post: self.post,
        };
        let (weights, bias) = packed[..self.packed_len()].split_at(self.packed_len() - self.z.depth);
        run(self.isa, &sums, Operands { weights, bias, x, y, argmax });
    }
}
