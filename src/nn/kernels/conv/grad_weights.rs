//! The gradient with respect to the weights and the bias, for every output pixel.
//!
//! A pixel's contribution is the outer product of its gradient (z.depth floats) and, for each kernel row, the run of
//! `kernel width · depth` floats of the input below it. One microkernel keeps a tile of that product in registers
//! while it walks over the pixels: one factor is broadcast, the other fills registers. Which is which is decided by
//! the depth of the input: a run of 9 floats (3 x 3 on RGB) would leave half of a register empty.

use super::{ConvKernel, Post};
use crate::nn::kernels::grid::DEPTH;
use crate::nn::kernels::simd::{Kernel, Simd};
use std::ops::Range;

/// Bytes of input and gradient rows that are worked on before the next ones: they stay in the first-level cache.
const BLOCK_BYTES: usize = 30 << 10;

impl ConvKernel {
    /// Whether the gradient of one output channel lies together, so that the sparse form can add to it.
    pub(super) fn taps_inner(&self) -> bool {
        self.x.depth.is_multiple_of(DEPTH) || self.prefers_sparse()
    }

    /// Floats of the input below one kernel row.
    pub(super) fn run_len(&self) -> usize {
        self.shape.kernel[1] * self.x.depth
    }

    /// Floats of the accumulator from a kernel row to the next, when the taps are inside.
    pub(super) fn run_stride(&self) -> usize {
        self.run_len().next_multiple_of(DEPTH)
    }

    /// Where the gradient of the bias begins in the accumulator.
    pub(super) fn bias_at(&self) -> usize {
        let run = if self.taps_inner() { self.run_stride() } else { self.run_len() };
        self.shape.kernel[0] * run * self.z.depth
    }

    /// Floats of the accumulator of weight and bias gradients.
    pub fn grad_len(&self) -> usize {
        self.bias_at() + self.z.depth
    }

    /// Adds one picture's gradient of the weights and the bias to `acc`.
    ///
    /// # Shapes
    /// `x`, `dz`: one picture on the grids `x`, `z`; `acc`: [`ConvKernel::grad_len`] floats, zero before the first.
    pub fn grad_weights(&self, x: &[f32], dz: &[f32], acc: &mut [f32]) {
        self.check();
        assert!(x.len() >= self.x.len() && dz.len() >= self.z.len() && acc.len() >= self.grad_len());
        self.isa.run(GradWeights { k: self, x, dz, acc: acc.as_mut_ptr() });
    }

    /// Writes the sum of gradients in `acc` as PyTorch orders the parameters: `W [O, I, kh, kw]`, then `b [O]` or nothing.
    pub fn unpack_grad(&self, acc: &[f32], dtheta: &mut [f32]) {
        let [kh, kw] = self.shape.kernel;
        let (inputs, outputs) = (self.shape.inputs, self.shape.outputs);
        let (run, depth, inner) = (self.run_stride(), self.x.depth, self.taps_inner());
        for (o, filter) in dtheta[..outputs * inputs * kh * kw].chunks_exact_mut(inputs * kh * kw).enumerate() {
            for ((i, ky, kx), w) in every([inputs, kh, kw]).zip(filter) {
                *w = match inner {
                    true => acc[(o * kh + ky) * run + kx * depth + i],
                    false => acc[((ky * kw + kx) * depth + i) * self.z.depth + o],
                };
            }
        }
        let at = self.bias_at();
        let bias = &mut dtheta[outputs * inputs * kh * kw..];
        bias.copy_from_slice(&acc[at..at + bias.len()]);
    }

    /// The sums on an axis whose tap `tap` meets the picture: for the others its factor is zero.
    fn meets(&self, axis: usize, tap: usize) -> Range<usize> {
        let (stride, padding) = (self.shape.stride[axis], self.shape.padding[axis]);
        let [pixels, sums] = [[self.x.height, self.z.height], [self.x.width, self.z.width]][axis];
        let end = (pixels + padding).saturating_sub(tap).div_ceil(stride).min(sums);
        padding.saturating_sub(tap).div_ceil(stride).min(end)..end
    }

    /// Output rows that are worked on at a time. Their bytes are counted without margins: what else reads a value widens
    /// its margin, and the order of the sums must not depend on that.
    fn block_rows(&self) -> usize {
        let [x_row, z_row] = [4 * self.x.width * self.x.depth, 4 * self.z.width * self.z.depth];
        let ([kh, _], [stride, _]) = (self.shape.kernel, self.shape.stride);
        if x_row * self.x.height + z_row * self.z.height <= BLOCK_BYTES {
            return self.z.height.max(1);
        }
        let most = (BLOCK_BYTES.saturating_sub(x_row * (kh - 1)) / (x_row * stride + z_row)).max(1);
        self.z.height.div_ceil(self.z.height.div_ceil(most)) // blocks of one size
    }

    /// # Panics
    /// If the grids do not fit the shape: the kernels rely on it for every address.
    pub(super) fn check(&self) {
        let (s, x, z) = (&self.shape, &self.x, &self.z);
        let fits = |size: usize, axis: usize| (size + 2 * s.padding[axis] - s.kernel[axis]) / s.stride[axis] + 1;
        assert!(x.halo >= s.padding[0].max(s.padding[1]) && x.depth >= x.channels, "input grid");
        assert!((fits(x.height, 0), fits(x.width, 1)) == (z.height, z.width), "sizes before and after");
        assert!(z.depth.is_multiple_of(DEPTH) && z.depth >= s.outputs && x.channels == s.inputs, "channels");
        let pooled = if self.post == Post::ReluPool { 2 } else { 1 };
        let y = &self.y;
        assert!((z.height / pooled, z.width / pooled, z.depth) == (y.height, y.width, y.depth), "output grid");
    }
}

/// All index triples below `n`, the last running fastest.
fn every([a, b, c]: [usize; 3]) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..a).flat_map(move |i| (0..b).flat_map(move |j| (0..c).map(move |k| (i, j, k))))
}

struct GradWeights<'a> {
    k: &'a ConvKernel,
    x: &'a [f32],
    dz: &'a [f32],
    acc: *mut f32,
}

/// The two factors of a sum of outer products over a block of pixels, and where it is added.
#[derive(Clone, Copy)]
struct Outer {
    /// The factor that is broadcast, its distance from pixel to pixel and from row to row.
    a: *const f32,
    a_step: usize,
    a_row: usize,
    /// The factor that fills registers.
    b: *const f32,
    b_step: usize,
    b_row: usize,
    rows: usize,
    columns: usize,
    acc: *mut f32,
    /// Floats of `acc` from one element of `a` to the next.
    acc_row: usize,
}

impl Kernel for GradWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let k = self.k;
        let [kh, _] = k.shape.kernel;
        let block = k.block_rows();
        for y in (0..k.z.height).step_by(block) {
            let rows = block.min(k.z.height - y);
            for ky in 0..kh {
                let met = k.meets(0, ky);
                let (from, to) = (y.max(met.start), (y + rows).min(met.end));
                if from < to {
                    // SAFETY: `grad_weights` has checked the lengths and that the grids fit the shape.
                    unsafe { self.block(s, from, to - from, ky) };
                }
            }
        }
        // SAFETY: as above.
        unsafe { self.bias(s) };
    }
}

impl GradWeights<'_> {
    /// Adds what the output rows from `y` on give to kernel row `ky`.
    ///
    /// # Safety
    /// The slices must hold whole pictures; the rows must exist.
    #[inline(always)]
    unsafe fn block<S: Simd>(&self, s: S, y: usize, rows: usize, ky: usize) {
        let k = self.k;
        let ([sy, sx], [py, px]) = (k.shape.stride, k.shape.padding);
        let (halo, row) = (k.x.halo, k.x.row());
        let x = &self.x[(y * sy + halo - py + ky) * row + (halo - px) * k.x.depth..];
        let (x, dz) = (x.as_ptr(), self.dz[k.z.at(y, 0)..].as_ptr());
        let (x_step, x_row) = (sx * k.x.depth, sy * row);
        let acc = self.acc;
        let o =
            Outer { a: x, a_step: 0, a_row: 0, b: x, b_step: 0, b_row: 0, rows, columns: k.z.width, acc, acc_row: 0 };
        if k.taps_inner() {
            let run = k.run_stride();
            let o = Outer { a: dz, a_step: k.z.depth, a_row: k.z.row(), b_step: x_step, b_row: x_row, ..o };
            // SAFETY: a register may reach behind the last pixel by less than `DEPTH` floats, which the grid has.
            unsafe {
                let o = Outer { acc: acc.add(ky * run), acc_row: k.shape.kernel[0] * run, ..o };
                taps_inner(s, o, k);
            }
        } else {
            let o = Outer { a_step: x_step, a_row: x_row, b: dz, b_step: k.z.depth, b_row: k.z.row(), ..o };
            // SAFETY: within the accumulator.
            unsafe {
                let o = Outer { acc: acc.add(ky * k.run_len() * k.z.depth), acc_row: k.z.depth, ..o };
                taps_outer(s, o, k.run_len(), k.z.depth / S::LANES);
            }
        }
    }

    /// Adds the sums of the gradient over the pixels.
    ///
    /// # Safety
    /// As [`GradWeights::block`].
    #[inline(always)]
    unsafe fn bias<S: Simd>(&self, s: S) {
        let z = &self.k.z;
        for c in (0..z.depth).step_by(S::LANES) {
            // Four sums, as an addition takes as long as four can be started in.
            let mut sums = [s.zero(); 4];
            for y in 0..z.height {
                let row = self.dz[z.at(y, 0) + c..].as_ptr();
                let mut x = 0;
                while x < z.width {
                    let together = if z.width - x < 4 { 1 } else { 4 };
                    for (i, sum) in sums.iter_mut().enumerate() {
                        if i < together {
                            // SAFETY: a pixel of the picture.
                            *sum = s.add(*sum, unsafe { s.load(row.add((x + i) * z.depth)) });
                        }
                    }
                    x += together;
                }
            }
            let [a, b, c4, d] = sums;
            // SAFETY: the bias gradient is the accumulator's end.
            unsafe {
                let to = self.acc.add(self.k.bias_at() + c);
                s.store(to, s.add(s.load(to), s.add(s.add(a, b), s.add(c4, d))));
            }
        }
    }
}

/// Output channels are broadcast, taps fill registers.
///
/// # Safety
/// The operands' memory must exist.
#[inline(always)]
unsafe fn taps_inner<S: Simd>(s: S, o: Outer, k: &ConvKernel) {
    let (outputs, registers) = (k.z.depth, k.run_len().div_ceil(S::LANES));
    let mut at = 0;
    while at < registers {
        let left = registers - at;
        let v = if left == 4 { 2 } else { left.min(3) };
        let tap = |float: usize| (float / k.x.depth).min(k.shape.kernel[1] - 1);
        let [first, last] = [at * S::LANES, (at + v) * S::LANES - 1].map(|float| k.meets(1, tap(float)));
        let columns = last.start.min(first.start)..first.end.max(last.end);
        // SAFETY: the caller's promise; the columns are some of the operands'.
        let o = unsafe {
            Outer {
                a: o.a.add(columns.start * o.a_step),
                b: o.b.add(columns.start * o.b_step + at * S::LANES),
                acc: o.acc.add(at * S::LANES),
                columns: columns.len(),
                ..o
            }
        };
        // SAFETY: as above.
        unsafe {
            match (S::ACCUMULATORS >= 24, v) {
                (true, 1) => channels::<S, 16, 1>(s, o, outputs),
                (true, 2) => channels::<S, 8, 2>(s, o, outputs),
                (true, _) => channels::<S, 8, 3>(s, o, outputs),
                (false, 1) => channels::<S, 8, 1>(s, o, outputs),
                (false, 2) => channels::<S, 4, 2>(s, o, outputs),
                (false, _) => channels::<S, 4, 3>(s, o, outputs),
            }
        }
        at += v;
    }
}

/// # Safety
/// As [`taps_inner`].
#[inline(always)]
unsafe fn channels<S: Simd, const T: usize, const V: usize>(s: S, o: Outer, outputs: usize) {
    for c in (0..outputs).step_by(T) {
        // SAFETY: the caller's promise.
        unsafe { outer::<S, T, V>(s, Outer { a: o.a.add(c), acc: o.acc.add(c * o.acc_row), ..o }) };
    }
}

/// Taps are broadcast, output channels fill registers.
///
/// # Safety
/// The operands' memory must exist.
#[inline(always)]
unsafe fn taps_outer<S: Simd>(s: S, o: Outer, taps: usize, registers: usize) {
    let tiles = taps.div_ceil(S::ACCUMULATORS / 2);
    for tile in 0..tiles {
        let (from, to) = (tile * taps / tiles, (tile + 1) * taps / tiles);
        let mut v = 0;
        while v < registers {
            let wide = registers - v >= 2;
            // SAFETY: the caller's promise.
            unsafe {
                let (b, acc) = (o.b.add(v * S::LANES), o.acc.add(from * o.acc_row + v * S::LANES));
                let o = Outer { a: o.a.add(from), b, acc, ..o };
                macro_rules! of_size {
                    ($($t:literal)*) => {
                        match to - from {
                            $($t if wide => outer::<S, $t, 2>(s, o), $t => outer::<S, $t, 1>(s, o),)*
                            _ => unreachable!("a tile has at most 12 taps"),
                        }
                    };
                }
                of_size!(1 2 3 4 5 6 7 8 9 10 11 12);
            }
            v += 1 + usize::from(wide);
        }
    }
}

/// Adds the sum over the pixels of `T` elements of `a` times `V` registers of `b`.
///
/// # Safety
/// The operands' memory must exist.
#[inline(always)]
unsafe fn outer<S: Simd, const T: usize, const V: usize>(s: S, o: Outer) {
    if T * V > S::ACCUMULATORS {
        unreachable!("no tile is larger than the registers");
    }
    let mut sums = [[s.zero(); V]; T];
    // SAFETY: the caller's promise, here and below.
    unsafe {
        for row in 0..o.rows {
            let (mut a, mut b) = (o.a.add(row * o.a_row), o.b.add(row * o.b_row));
            for _ in 0..o.columns {
                // The next block's pixels, from wherever the last layer left them.
                s.prefetch(a.wrapping_add(o.rows * o.a_row));
                s.prefetch(b.wrapping_add(o.rows * o.b_row));
                let mut wide = [s.zero(); V];
                for (v, wide) in wide.iter_mut().enumerate() {
                    *wide = s.load(b.add(v * S::LANES));
                }
                for (t, sums) in sums.iter_mut().enumerate() {
                    let one = s.splat(*a.add(t));
                    for (sum, wide) in sums.iter_mut().zip(wide) {
                        *sum = s.mul_add(one, wide, *sum);
                    }
                }
                a = a.wrapping_add(o.a_step);
                b = b.wrapping_add(o.b_step);
            }
        }
        for (t, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                let to = o.acc.add(t * o.acc_row + v * S::LANES);
                s.store(to, s.add(s.load(to), *sum));
            }
        }
    }
}
