//! The gradient with respect to a convolution's input: again a convolution, of the sums' gradient with the kernel
//! turned around.
//!
//! With a stride, pixel (y, x) of the input meets only the taps with `ky = (y + padding) mod stride`, likewise
//! `kx`. So the pixels fall into `stride · stride` classes, each of which is a convolution of stride 1 with the
//! class's taps; without a stride there is one class.

use super::ConvKernel;
use super::Post;
use super::forward::taps;
use super::plan::{Operands, block, run};
use super::tile::{Reach, Sums, Walk};

/// One axis of a class: what of the kernel meets which pixels.
#[derive(Debug, Clone, Copy)]
struct Axis {
    /// The first tap; the others follow at multiples of the stride.
    first: usize,
    /// How many taps.
    taps: usize,
    /// The first pixel of the input; the others follow at multiples of the stride.
    pixel: usize,
    /// How many pixels.
    pixels: usize,
    /// The sum that the first pixel meets with the last tap; negative within the margin.
    sum: isize,
}

impl Axis {
    fn new(class: usize, kernel: usize, stride: usize, padding: usize, length: usize) -> Self {
        let taps = kernel.saturating_sub(class).div_ceil(stride);
        let pixel = (class as isize - padding as isize).rem_euclid(stride as isize) as usize;
        let sum = ((pixel + padding - class) / stride) as isize - taps.max(1) as isize + 1;
        Self { first: class, taps, pixel, pixels: length.saturating_sub(pixel).div_ceil(stride), sum }
    }
}

impl ConvKernel {
    /// Channels of dx that are computed, whole blocks.
    fn backward_depth(&self) -> usize {
        self.x.depth.next_multiple_of(block(self.isa, self.x.depth))
    }

    /// The classes of pixels, vertically and horizontally.
    fn classes(&self) -> impl Iterator<Item = [Axis; 2]> {
        let (shape, x) = (self.shape, self.x);
        let axis =
            move |i: usize, class, length| Axis::new(class, shape.kernel[i], shape.stride[i], shape.padding[i], length);
        (0..shape.stride[0])
            .flat_map(move |y| (0..shape.stride[1]).map(move |x| (y, x)))
            .map(move |class| [axis(0, class.0, x.height), axis(1, class.1, x.width)])
    }

    /// Floats of the weights as [`ConvKernel::grad_input`] reads them.
    pub fn packed_backward_len(&self) -> usize {
        let [kh, kw] = self.shape.kernel;
        self.backward_depth() * (self.shape.outputs * kh * kw + 1)
    }

    /// Lays the weights out as [`ConvKernel::grad_input`] reads them.
    ///
    /// # Shapes
    /// `theta`: `W [outputs, inputs, kh, kw]` and more; `packed`: for each class of pixels `[block][taps, last
    /// first][outputs][channels of a block]`, then as many zeros as channels.
    pub fn pack_backward(&self, theta: &[f32], packed: &mut [f32]) {
        let (shape, block) = (self.shape, block(self.isa, self.x.depth));
        let [kh, kw] = shape.kernel;
        let mut lanes = packed[..self.packed_backward_len()].chunks_exact_mut(block);
        for [down, right] in self.classes() {
            for first in (0..self.backward_depth()).step_by(block) {
                for ky in (0..down.taps).rev().map(|i| down.first + i * shape.stride[0]) {
                    for kx in (0..right.taps).rev().map(|i| right.first + i * shape.stride[1]) {
                        for output in 0..shape.outputs {
                            let to = lanes.next().expect("the classes share the kernel out");
                            for (lane, to) in to.iter_mut().enumerate() {
                                let at = ((output * shape.inputs + first + lane) * kh + ky) * kw + kx;
                                *to = if first + lane < shape.inputs { theta[at] } else { 0.0 };
                            }
                        }
                    }
                }
            }
        }
        lanes.for_each(|zeros| zeros.fill(0.0));
    }

    /// Writes `dx = Wᵀ * dz`.
    ///
    /// # Shapes
    /// `packed`: of [`ConvKernel::pack_backward`]; `dz`: grid z, its margin zero; `dx`: grid x, of which only
    /// pixels are written, the margin never.
    pub fn grad_input(&self, packed: &[f32], dz: &[f32], dx: &mut [f32]) {
        let (shape, z, x) = (self.shape, &self.z, &self.x);
        let (mut weights, bias) =
            packed[..self.packed_backward_len()].split_at(self.packed_backward_len() - self.backward_depth());
        for [down, right] in self.classes() {
            let (taps_x, run_len, step) = taps(z, right.taps);
            let origin =
                (down.sum + z.halo as isize) * z.row() as isize + (right.sum + z.halo as isize) * z.depth as isize;
            let any = down.taps * right.taps > 0;
            let sums = Sums {
                input: Walk {
                    origin: if any { origin.try_into().expect("the margin is as wide as the kernel") } else { 0 },
                    row: z.row(),
                    pixel: z.depth,
                },
                reach: Reach { first: down.sum, step: 1, height: z.height },
                taps: if any { [down.taps, taps_x] } else { [0, 0] },
                steps: [z.row(), step],
                run: run_len,
                output: Walk {
                    origin: x.at(down.pixel, right.pixel),
                    row: shape.stride[0] * x.row(),
                    pixel: shape.stride[1] * x.depth,
                },
                size: [down.pixels, right.pixels],
                depth: x.depth,
                post: Post::None,
            };
            let (class, rest) = weights.split_at(self.backward_depth() * sums.weights());
            weights = rest;
            run(self.isa, &sums, Operands { weights: class, bias, x: dz, y: dx, argmax: &mut [] });
        }
    }
}
