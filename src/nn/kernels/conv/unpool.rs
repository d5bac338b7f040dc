//! Back through what follows a convolution: the gradient of its sums from that of its output.

use super::{ConvKernel, Post};
use crate::nn::kernels::simd::{Kernel, Simd};

/// What `argmax` holds where no sum of a window was above zero. (0 to 3 is `2·dy + dx`, the place in the window.)
pub const DEAD: u8 = 4;

impl ConvKernel {
    /// Elements of `argmax`: one for each pooled element, `[y.height, y.width, y.depth]` without a margin.
    pub fn argmax_len(&self) -> usize {
        self.y.height * self.y.width * self.y.depth
    }

    /// Writes the gradient of the sums through ReLU and 2 x 2 max-pooling.
    ///
    /// # Shapes
    /// `dy`: one picture on the grid `y`; `argmax`: [`ConvKernel::argmax_len`]; `dz`: one picture on the grid `z`,
    /// whose interior is written completely.
    pub fn unpool(&self, dy: &[f32], argmax: &[u8], dz: &mut [f32]) {
        self.check();
        assert_eq!(self.post, Post::ReluPool);
        assert!(dy.len() >= self.y.len() && argmax.len() >= self.argmax_len() && dz.len() >= self.z.len());
        self.isa.run(Unpool { k: self, dy, argmax, dz });
    }

    /// Writes the gradient of the sums through ReLU: `dy` where `y > 0`.
    ///
    /// # Shapes
    /// `y`, `dy`: one picture on the grid `y`; `dz`: one picture on the grid `z`, whose interior is written completely.
    pub fn relu_backward(&self, y: &[f32], dy: &[f32], dz: &mut [f32]) {
        self.check();
        assert_eq!(self.post, Post::Relu);
        self.isa.run(ReluBackward { k: self, y, dy, dz });
    }
}

struct Unpool<'a> {
    k: &'a ConvKernel,
    dy: &'a [f32],
    argmax: &'a [u8],
    dz: &'a mut [f32],
}

impl Kernel for Unpool<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let (y, z) = (&self.k.y, &self.k.z);
        let depth = z.depth;
        for row in 0..z.height {
            let (at, len) = (z.at(row, 0), z.width * depth);
            let dz = &mut self.dz[at..at + len];
            if row / 2 >= y.height {
                dz.fill(0.0);
                continue;
            }
            let dy = &self.dy[y.at(row / 2, 0)..][..y.width * depth];
            let argmax = &self.argmax[row / 2 * y.width * depth..][..y.width * depth];
            let (windows, rest) = dz.split_at_mut(2 * y.width * depth);
            let first = 2 * (row % 2) as u8;
            for ((dz, dy), kinds) in windows.chunks_exact_mut(2 * depth).zip(dy.chunks(depth)).zip(argmax.chunks(depth))
            {
                let (left, right) = dz.split_at_mut(depth);
                pick(left, dy, kinds, first);
                pick(right, dy, kinds, first + 1);
            }
            rest.fill(0.0);
        }
    }
}

/// `dy` where the maximum was at this place, 0 elsewhere.
#[inline(always)]
fn pick(dz: &mut [f32], dy: &[f32], kinds: &[u8], place: u8) {
    for ((dz, dy), kind) in dz.iter_mut().zip(dy).zip(kinds) {
        *dz = if *kind == place { *dy } else { 0.0 };
    }
}

struct ReluBackward<'a> {
    k: &'a ConvKernel,
    y: &'a [f32],
    dy: &'a [f32],
    dz: &'a mut [f32],
}

impl Kernel for ReluBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let (y, z) = (&self.k.y, &self.k.z);
        let len = z.width * z.depth;
        for row in 0..z.height {
            let from = y.at(row, 0);
            let to = z.at(row, 0);
            let (out, gradient) = (&self.y[from..from + len], &self.dy[from..from + len]);
            for ((dz, dy), y) in self.dz[to..to + len].iter_mut().zip(gradient).zip(out) {
                *dz = if *y > 0.0 { *dy } else { 0.0 };
            }
        }
    }
}
