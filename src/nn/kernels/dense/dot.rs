//! The forward pass of large dense layers: dot products of input rows and weight rows, both read where they lie.
//!
//! A batch is small beside the weights, so packing them would cost as much as the products themselves. The inputs
//! are cut into chunks that stay in the second-level cache while all rows of the batch use them, so the weights come from
//! memory once; each chunk leaves its partial sums, which are added up in order at the end.
#![allow(clippy::needless_range_loop)] // several arrays of registers are walked side by side

use super::{Dims, prefetch};
use crate::nn::Team;
use crate::nn::kernels::share::share1;
use crate::nn::kernels::simd::{Kernel, Simd};
use crate::nn::kernels::{Activation, Isa, multiversion};

/// Inputs in a task.
const CHUNK: usize = 768;
/// Outputs in a task: a multiple of every tile's.
const OUTPUTS: usize = 48;
/// Batch rows that are worked on at once.
const GROUP: usize = 32;
/// Partial sums of a task.
const SUMS: usize = GROUP * OUTPUTS;

/// Chunks of the inputs and blocks of the outputs.
fn cuts(d: Dims) -> (usize, usize) {
    (d.inputs.div_ceil(CHUNK), d.outputs.div_ceil(OUTPUTS))
}

/// Floats of partial sums.
pub(super) fn partial_len(d: Dims) -> usize {
    let (chunks, blocks) = cuts(d);
    chunks * blocks * SUMS
}

/// Writes `y = f(x Wᵀ + b)`.
#[allow(clippy::too_many_arguments)]
pub(super) fn forward(
    isa: Isa,
    team: &dyn Team,
    d: Dims,
    f: Activation,
    theta: &[f32],
    partial: &mut [f32],
    x: &[f32],
    y: &mut [f32],
) {
    let (weights, bias) = theta.split_at(d.inputs * d.outputs);
    let (chunks, blocks) = cuts(d);
    let groups = x.chunks(GROUP * d.ldx).zip(y.chunks_mut(GROUP * d.ldy));
    for (group, (x, y)) in groups.take(d.batch.div_ceil(GROUP)).enumerate() {
        let rows = GROUP.min(d.batch - group * GROUP);
        share1(team, chunks * blocks, (partial, SUMS), &|task, sums| {
            let (from, o) = (task / blocks * CHUNK, task % blocks * OUTPUTS);
            let (len, outputs) = (CHUNK.min(d.inputs - from), OUTPUTS.min(d.outputs - o));
            isa.run(Dot {
                x: (&x[from..], d.ldx, rows),
                w: (&weights[o * d.inputs + from..], d.inputs, outputs),
                len,
                sums,
            });
        });
        finish(isa, Dims { batch: rows, ..d }, f, bias, partial, y);
    }
}

/// `sums[r, o] = Σ_i x[r, i] w[o, i]` over `len` inputs.
struct Dot<'a> {
    /// Memory, row stride, rows.
    x: (&'a [f32], usize, usize),
    w: (&'a [f32], usize, usize),
    len: usize,
    sums: &'a mut [f32],
}

impl Kernel for Dot<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let (mut r, rows) = (0, self.x.2);
        while r < rows {
            r += match rows - r {
                8.. if S::ACCUMULATORS >= 24 => self.rows::<S, 8, 3>(s, r),
                4.. if S::ACCUMULATORS >= 24 => self.rows::<S, 4, 6>(s, r),
                4.. => self.rows::<S, 4, 3>(s, r),
                3 => self.rows::<S, 3, 3>(s, r),
                2 => self.rows::<S, 2, 3>(s, r),
                _ => self.rows::<S, 1, 3>(s, r),
            };
        }
    }
}

impl Dot<'_> {
    /// `R` rows, which the first-level cache keeps meanwhile: tiles of `O` outputs, then of single ones.
    #[inline(always)]
    fn rows<S: Simd, const R: usize, const O: usize>(&mut self, s: S, r: usize) -> usize {
        let (mut o, outputs) = (0, self.w.2);
        while o < outputs {
            o += match outputs - o {
                left if left >= O => self.tile::<S, R, O>(s, r, o),
                2.. => self.tile::<S, R, 2>(s, r, o),
                _ => self.tile::<S, R, 1>(s, r, o),
            };
        }
        R
    }

    /// `R` rows by `O` outputs. A sum does not depend on the tile that it belongs to.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const O: usize>(&mut self, s: S, r: usize, o: usize) -> usize {
        let whole = self.len - self.len % S::LANES;
        let mut x: [&[f32]; R] = [&[]; R];
        for (k, x) in x.iter_mut().enumerate() {
            *x = &self.x.0[(r + k) * self.x.1..][..self.len];
        }
        let mut w: [&[f32]; O] = [&[]; O];
        for (k, w) in w.iter_mut().enumerate() {
            *w = &self.w.0[(o + k) * self.w.1..][..self.len];
        }
        // The next tile's weights are called in advance: processors do not foresee the jump to other rows.
        let ahead = O * self.w.1;
        let mut sums = [[s.zero(); O]; R];
        for i in (0..whole).step_by(S::LANES) {
            let mut right = [s.zero(); O];
            for k in 0..O {
                // SAFETY: i + LANES <= whole <= the slice's length.
                right[k] = unsafe { s.load(w[k].as_ptr().add(i)) };
                prefetch(w[k].as_ptr().wrapping_add(ahead + i));
            }
            for j in 0..R {
                // SAFETY: as above.
                let left = unsafe { s.load(x[j].as_ptr().add(i)) };
                for k in 0..O {
                    sums[j][k] = s.mul_add(left, right[k], sums[j][k]);
                }
            }
        }
        for j in 0..R {
            for k in 0..O {
                let tail: f32 = (whole..self.len).map(|i| x[j][i] * w[k][i]).sum();
                self.sums[(r + j) * OUTPUTS + o + k] = total(s.lanes(sums[j][k])) + tail;
            }
        }
        O
    }
}

/// The sum of a register's lanes, as a tree.
#[inline(always)]
fn total(lanes: [f32; 16]) -> f32 {
    let mut eight = [0.0; 8];
    for i in 0..8 {
        eight[i] = lanes[i] + lanes[i + 8];
    }
    let mut four = [0.0; 4];
    for i in 0..4 {
        four[i] = eight[i] + eight[i + 4];
    }
    (four[0] + four[2]) + (four[1] + four[3])
}

multiversion! { fn finish(d: Dims, f: Activation, bias: &[f32], partial: &[f32], y: &mut [f32]) = finish_body }

/// Adds up what the chunks left, adds the bias, applies the non-linearity.
#[inline(always)]
fn finish_body<const FMA: bool>(d: Dims, f: Activation, bias: &[f32], partial: &[f32], y: &mut [f32]) {
    let blocks = cuts(d).1;
    for (r, y) in y.chunks_exact_mut(d.ldy).take(d.batch).enumerate() {
        let y = &mut y[..d.outputs];
        y.copy_from_slice(&bias[..d.outputs]);
        for chunk in partial.chunks_exact(blocks * SUMS) {
            for (y, block) in y.chunks_mut(OUTPUTS).zip(chunk.chunks_exact(SUMS)) {
                for (y, sum) in y.iter_mut().zip(&block[r * OUTPUTS..]) {
                    *y += sum;
                }
            }
        }
        f.apply::<FMA>(y);
    }
}
