//! The one loop of the fast convolutions: `P` neighboring pixels times `V` registers of channels.
//!
//! The sums of a tile stay in registers over all taps and channels; each step reads `V` registers of weights and
//! one float of each pixel. Every sum adds in the same order (tap row, tap column, channel) whatever the tile, so
//! a pixel's bits do not depend on how its row was cut.

use super::Post;
use crate::nn::kernels::simd::{Kernel, Simd};

/// Pixels that share an address register: 0, 1, 2 and 3 steps from it are one operand each.
const GROUP: usize = 4;
/// Groups of the widest tile.
const GROUPS: usize = 7;

/// Where the pixels of a picture, or every so many of them, lie: (y, x) at `origin + y·row + x·pixel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Walk {
    pub origin: usize,
    pub row: usize,
    pub pixel: usize,
}

impl Walk {
    fn last(&self, rows: usize, cols: usize) -> usize {
        self.origin + (rows - 1) * self.row + (cols - 1) * self.pixel
    }
}

/// Which sums to compute: sum (y, x) adds `taps` pixels of the input, beginning at the input's (y, x).
#[derive(Debug, Clone, Copy)]
pub(super) struct Sums {
    /// The first pixel that each sum reads.
    pub input: Walk,
    /// Tap rows and columns. Taps that touch one another are one column with a longer `run`.
    pub taps: [usize; 2],
    /// Floats from a tap row, a tap column, to the next.
    pub steps: [usize; 2],
    /// Floats that each tap reads, one after the other.
    pub run: usize,
    /// Where the results go: sums, or maxima of 2 x 2 of them.
    pub output: Walk,
    /// Results, vertically and horizontally.
    pub size: [usize; 2],
    /// Floats of each result.
    pub depth: usize,
    /// What is written of the sums.
    pub post: Post,
}

impl Sums {
    /// Sums in a result's height and width.
    fn window(&self) -> usize {
        if self.post == Post::ReluPool { 2 } else { 1 }
    }

    /// Weights of one channel.
    pub fn weights(&self) -> usize {
        self.taps[0] * self.taps[1] * self.run
    }

    /// Panics unless everything that these sums touch lies within slices of these lengths, with the channels
    /// in blocks of `block`.
    fn check(&self, block: usize, weights: usize, bias: usize, x: usize, y: usize) {
        let channels = self.depth.next_multiple_of(block);
        assert!(weights >= channels * self.weights() && bias >= channels, "too few weights");
        let [rows, cols] = self.size;
        assert!(y >= self.output.last(rows, cols) + self.depth, "the output is too short");
        if self.weights() > 0 {
            let tap = (self.taps[0] - 1) * self.steps[0] + (self.taps[1] - 1) * self.steps[1];
            let window = self.window();
            let last = self.input.last(rows * window, cols * window) + tap + self.run;
            assert!(x >= last, "the input is too short");
        }
    }
}

/// Computes columns `from..` of [`Sums`] in tiles `P` sums wide; the last tile overlaps the one before, so there
/// must be at least as many sums in a row.
pub(super) struct Rows<'a, const V: usize, const P: usize> {
    pub sums: &'a Sums,
    /// Columns of results.
    pub cols: std::ops::Range<usize>,
    /// `[block][tap row][tap column][run][V · lanes]`
    pub weights: &'a [f32],
    pub bias: &'a [f32],
    pub x: &'a [f32],
    pub y: &'a mut [f32],
    /// Which of its four sums each maximum is, laid out as `y`; only written where there are maxima.
    pub argmax: &'a mut [u8],
}

impl<const V: usize, const P: usize> Kernel for Rows<'_, V, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if V * P > if S::LANES == 16 { 28 } else { 12 } {
            unreachable!("a tile that no plan has for these registers");
        }
        let (sums, block) = (self.sums, V * S::LANES);
        let window = sums.window();
        let tile = P / window;
        assert!(P % window == 0 && self.cols.len() >= tile && self.cols.end <= sums.size[1], "no tile fits");
        sums.check(block, self.weights.len(), self.bias.len(), self.x.len(), self.y.len());
        if window == 2 {
            assert!(self.argmax.len() >= self.y.len(), "too few places for the maxima");
        }
        for channel in (0..sums.depth).step_by(block) {
            let weights = self.weights[channel * sums.weights()..].as_ptr();
            let bias = self.bias[channel..].as_ptr();
            for row in 0..sums.size[0] {
                let mut col = self.cols.start;
                while col < self.cols.end {
                    let at = col.min(self.cols.end - tile);
                    let x = sums.input.origin + (row * sums.input.row + at * sums.input.pixel) * window;
                    let x = self.x.as_ptr().wrapping_add(x);
                    let to = sums.output.origin + row * sums.output.row + at * sums.output.pixel + channel;
                    // SAFETY: `check` has compared the first and last element of all that is touched with the
                    // slices; the blocks of channels and their weights are within them for the same reason.
                    unsafe {
                        let place = (self.y.as_mut_ptr().add(to), sums.depth - channel);
                        if window == 2 {
                            let above = tile_sums::<S, V, P>(s, sums, x, weights, bias);
                            let below = tile_sums::<S, V, P>(s, sums, x.wrapping_add(sums.input.row), weights, bias);
                            pool::<S, V, P>(s, sums, &above, &below, place, self.argmax.as_mut_ptr().add(to));
                        } else {
                            put::<S, V, P>(s, sums, tile_sums::<S, V, P>(s, sums, x, weights, bias), place);
                        }
                    }
                    col += tile;
                }
            }
        }
    }
}

/// The sums of `P` neighboring pixels, the first of which reads from `x` on.
///
/// # Safety
/// All that they read is within allocations.
#[inline(always)]
unsafe fn tile_sums<S: Simd, const V: usize, const P: usize>(
    s: S,
    sums: &Sums,
    x: *const f32,
    mut weights: *const f32,
    bias: *const f32,
) -> [[S::V; V]; P] {
    let step = sums.input.pixel;
    let mut acc = [[s.zero(); V]; P];
    for sum in &mut acc {
        for (v, sum) in sum.iter_mut().enumerate() {
            // SAFETY: the bias of this block.
            *sum = unsafe { s.load(bias.add(v * S::LANES)) };
        }
    }
    for tap_row in 0..sums.taps[0] {
        for tap_col in 0..sums.taps[1] {
            let from = x.wrapping_add(tap_row * sums.steps[0] + tap_col * sums.steps[1]);
            let mut groups: [*const f32; GROUPS] = std::array::from_fn(|g| from.wrapping_add(g * GROUP * step));
            for _ in 0..sums.run {
                let mut w = [s.zero(); V];
                for (v, w) in w.iter_mut().enumerate() {
                    // SAFETY: the weights of this block.
                    *w = unsafe { s.load(weights.add(v * S::LANES)) };
                }
                for p in 0..P {
                    // SAFETY: a pixel that this sum reads.
                    let pixel = s.splat(unsafe { *groups[p / GROUP].wrapping_add(p % GROUP * step) });
                    for v in 0..V {
                        acc[p][v] = s.mul_add(w[v], pixel, acc[p][v]);
                    }
                }
                weights = weights.wrapping_add(V * S::LANES);
                groups = groups.map(|group| group.wrapping_add(1));
            }
        }
    }
    acc
}

/// Writes sums.
///
/// # Safety
/// `place` is where the first pixel's channels go, of which there are as many; it may be written.
#[inline(always)]
unsafe fn put<S: Simd, const V: usize, const P: usize>(
    s: S,
    sums: &Sums,
    acc: [[S::V; V]; P],
    place: (*mut f32, usize),
) {
    for (p, sum) in acc.iter().enumerate() {
        for (v, sum) in sum.iter().enumerate() {
            let z = if sums.post == Post::Relu { s.max(s.zero(), *sum) } else { *sum };
            let to = place.0.wrapping_add(p * sums.output.pixel + v * S::LANES);
            // SAFETY: the caller's promise; no more channels are written than there are.
            unsafe {
                if (v + 1) * S::LANES <= place.1 {
                    s.store(to, z);
                } else {
                    let some = place.1.saturating_sub(v * S::LANES);
                    std::ptr::copy_nonoverlapping(s.lanes(z).as_ptr(), to, some);
                }
            }
        }
    }
}

/// Writes the maximum of each 2 x 2 sums, or zero, and which of them it is.
///
/// # Safety
/// As [`put`], for whole registers; `argmax` as `place`.
#[inline(always)]
unsafe fn pool<S: Simd, const V: usize, const P: usize>(
    s: S,
    sums: &Sums,
    above: &[[S::V; V]; P],
    below: &[[S::V; V]; P],
    place: (*mut f32, usize),
    argmax: *mut u8,
) {
    let zero = s.zero();
    for p in 0..P / 2 {
        for v in 0..V {
            let window = [above[2 * p + 1][v], below[2 * p][v], below[2 * p + 1][v]];
            let (mut max, mut at) = (above[2 * p][v], zero);
            for (i, z) in window.into_iter().enumerate() {
                at = s.select_greater(z, max, s.splat((i + 1) as f32), at);
                max = s.select_greater(z, max, z, max);
            }
            let at = s.select_greater(max, zero, at, s.splat(4.0));
            let to = p * sums.output.pixel + v * S::LANES;
            // SAFETY: the caller's promise.
            unsafe {
                s.store(place.0.add(to), s.max(zero, max));
                s.store_bytes(argmax.add(to), at);
            }
        }
    }
}
