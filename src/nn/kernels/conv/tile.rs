//! The one loop of the fast convolutions: `P` neighboring pixels times `V` registers of channels.
//!
//! The sums of a tile stay in registers over all taps and channels; each step reads `V` registers of weights and
//! one float of each pixel. Every sum adds in the same order (tap row, tap column, channel) whatever the tile, so
//! a pixel's bits do not depend on how its row was cut.

use super::Post;
use crate::nn::kernels::simd::{Kernel, Simd};
use std::ops::Range;

/// Pixels that share an address register: 0, 1, 2 and 3 steps from it are one operand each.
const GROUP: usize = 4;
/// Groups of the widest tile.
const GROUPS: usize = 5;

/// Where the pixels of a picture, or every so many of them, lie: (y, x) at `origin + y·row + x·pixel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Walk {
    pub origin: usize,
    pub row: usize,
    pub pixel: usize,
}

impl Walk {
    #[inline(always)]
    pub fn last(&self, rows: usize, cols: usize) -> usize {
        self.origin + (rows - 1) * self.row + (cols - 1) * self.pixel
    }
}

/// Which rows of a picture the tap rows of the sums meet; those that meet none would only add zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reach {
    /// The row that the first sum's first tap row meets; negative in the margin.
    pub first: isize,
    /// Rows from a sum to the one below it.
    pub step: usize,
    /// Rows of the picture.
    pub height: usize,
}

impl Reach {
    /// Those of `taps` tap rows that meet the picture for any of `window` sums from `sum` on.
    // Always: a call between the tile's sums would send every register to memory and back.
    #[inline(always)]
    pub fn tap_rows(&self, sum: usize, window: usize, taps: usize) -> Range<usize> {
        let met = |sum: usize| self.first + (sum * self.step) as isize;
        let above = usize::try_from(-met(sum + window - 1)).unwrap_or(0);
        let below = usize::try_from(self.height as isize - met(sum)).unwrap_or(0);
        above.min(taps)..below.min(taps).max(above.min(taps))
    }
}

/// Which sums to compute: sum (y, x) adds `taps` pixels of the input, beginning at the input's (y, x).
#[derive(Debug, Clone, Copy)]
pub(super) struct Sums {
    /// The first pixel that each sum reads.
    pub input: Walk,
    /// Which of the tap rows matter.
    pub reach: Reach,
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
        assert!(self.post != Post::ReluPool || channels == self.depth, "a part of a block of maxima");
        if self.weights() > 0 {
            let tap = (self.taps[0] - 1) * self.steps[0] + (self.taps[1] - 1) * self.steps[1];
            let window = self.window();
            let last = self.input.last(rows * window, cols * window) + tap + self.run;
            assert!(x >= last, "the input is too short");
        }
    }
}

/// Computes [`Sums`], each row in tiles of `P` sums and then of `Q`. Where `STEP` is not 0 it is the input's
/// `pixel`, known at compile time: that is worth a tenth where a tile has one register and few taps.
pub(super) struct Rows<'a, const V: usize, const P: usize, const Q: usize, const STEP: usize> {
    pub sums: &'a Sums,
    /// How many tiles of `P`; those of `Q` do the rest of the row, the last one so that it ends with the row, if it
    /// must by computing some sums again.
    pub tiles: usize,
    /// `[block][tap row][tap column][run][V · lanes]`
    pub weights: &'a [f32],
    pub bias: &'a [f32],
    pub x: &'a [f32],
    pub y: &'a mut [f32],
    /// Which of its four sums each maximum is, `[height, width, depth]`; only written where there are maxima.
    pub argmax: &'a mut [u8],
}

/// What a tile reads and writes.
#[derive(Clone, Copy)]
struct Place {
    x: *const f32,
    weights: *const f32,
    bias: *const f32,
    y: *mut f32,
    argmax: *mut u8,
    /// Tap rows, from those on that `x` and `weights` are for.
    tap_rows: usize,
    /// Channels that are left to write.
    channels: usize,
}

impl<const V: usize, const P: usize, const Q: usize, const STEP: usize> Kernel for Rows<'_, V, P, Q, STEP> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if V * P > registers::<S>() || S::LANES < 16 && V != 2 {
            unreachable!("a tile that no plan has for these registers");
        }
        let (sums, block) = (self.sums, V * S::LANES);
        let (window, [rows, cols]) = (sums.window(), sums.size);
        let [wide, narrow] = [P / window, Q / window];
        let wide_end = (self.tiles * wide).min(cols);
        assert!(P.is_multiple_of(window) && Q.is_multiple_of(window), "half a window");
        assert!(wide <= cols && (wide_end == cols || (1..=cols).contains(&narrow)), "no tile fits");
        assert!(STEP == 0 || STEP == sums.input.pixel, "another distance between pixels");
        sums.check(block, self.weights.len(), self.bias.len(), self.x.len(), self.y.len());
        assert!(window == 1 || self.argmax.len() >= rows * cols * sums.depth, "too few places for the maxima");
        for channel in (0..sums.depth).step_by(block) {
            for row in 0..rows {
                // Within `0..sums.taps[0]`, so what is read is a part of what `check` looks at.
                let taps = sums.reach.tap_rows(row * window, window, sums.taps[0]);
                let from = sums.input.origin + row * window * sums.input.row + taps.start * sums.steps[0];
                let first = channel * sums.weights() + taps.start * sums.taps[1] * sums.run * block;
                let place =
                    |col: usize| Place {
                        x: self.x.as_ptr().wrapping_add(from + col * sums.input.pixel * window),
                        weights: self.weights.as_ptr().wrapping_add(first),
                        tap_rows: taps.len(),
                        bias: self.bias.as_ptr().wrapping_add(channel),
                        y: self.y.as_ptr().cast_mut().wrapping_add(
                            sums.output.origin + row * sums.output.row + col * sums.output.pixel + channel,
                        ),
                        argmax: self.argmax.as_ptr().cast_mut().wrapping_add((row * cols + col) * sums.depth + channel),
                        channels: sums.depth - channel,
                    };
                // SAFETY: `check` has compared the first and last element of all that is touched with the slices;
                // the blocks of channels and their weights are within them for the same reason; y and argmax are
                // borrowed exclusively.
                unsafe {
                    for col in (0..wide_end).step_by(wide) {
                        tile::<S, V, P, STEP>(s, sums, place(col.min(cols - wide)));
                    }
                    if Q > 0 && wide_end < cols {
                        for col in (wide_end..cols).step_by(narrow) {
                            tile::<S, V, Q, STEP>(s, sums, place(col.min(cols - narrow)));
                        }
                    }
                }
            }
        }
    }
}

/// Computes and writes `P` neighboring sums, or the maxima of as many in two rows.
///
/// # Safety
/// All that they read and write is within slices that nobody else writes to.
#[inline(always)]
unsafe fn tile<S: Simd, const V: usize, const P: usize, const STEP: usize>(s: S, sums: &Sums, place: Place) {
    let Place { x, weights, bias, tap_rows: taps, .. } = place;
    // SAFETY: the caller's promise.
    unsafe {
        if sums.window() == 1 {
            let [row] = tile_sums::<S, V, P, 1, STEP>(s, sums, taps, x, weights, bias);
            put(s, sums, &row, place);
        } else if 2 * V * P <= registers::<S>() {
            pool(s, sums, tile_sums::<S, V, P, 2, STEP>(s, sums, taps, x, weights, bias), place);
        } else {
            let [above] = tile_sums::<S, V, P, 1, STEP>(s, sums, taps, x, weights, bias);
            let [below] = tile_sums::<S, V, P, 1, STEP>(s, sums, taps, x.wrapping_add(sums.input.row), weights, bias);
            pool(s, sums, [above, below], place);
        }
    }
}

/// Sums that registers can hold at once beside what is added to them.
const fn registers<S: Simd>() -> usize {
    if S::LANES == 16 { 28 } else { 12 }
}

/// The sums of `P` neighboring pixels in each of `R` rows, the first of which reads from `x` on.
///
/// # Safety
/// All that they read is within allocations.
#[inline(always)]
unsafe fn tile_sums<S: Simd, const V: usize, const P: usize, const R: usize, const STEP: usize>(
    s: S,
    sums: &Sums,
    tap_rows: usize,
    x: *const f32,
    mut weights: *const f32,
    bias: *const f32,
) -> [[[S::V; V]; P]; R] {
    let step = if STEP > 0 { STEP } else { sums.input.pixel };
    let mut acc = [[[s.zero(); V]; P]; R];
    for sum in acc.as_flattened_mut() {
        for (v, sum) in sum.iter_mut().enumerate() {
            // SAFETY: the bias of this block.
            *sum = unsafe { s.load(bias.add(v * S::LANES)) };
        }
    }
    for tap_row in 0..tap_rows {
        for tap_col in 0..sums.taps[1] {
            let from = x.wrapping_add(tap_row * sums.steps[0] + tap_col * sums.steps[1]);
            // Plain loops here and below: a call that is not inlined, `map`'s for one, sends all sums to memory and back.
            let mut groups = [[from; GROUPS]; R];
            for (r, row) in groups.iter_mut().enumerate() {
                for (g, group) in row.iter_mut().enumerate() {
                    *group = from.wrapping_add(r * sums.input.row + g * GROUP * step);
                }
            }
            for _ in 0..sums.run {
                let mut w = [s.zero(); V];
                for (v, w) in w.iter_mut().enumerate() {
                    // SAFETY: the weights of this block.
                    *w = unsafe { s.load(weights.add(v * S::LANES)) };
                }
                for r in 0..R {
                    for p in 0..P {
                        // SAFETY: a pixel that this sum reads.
                        let pixel = s.splat(unsafe { *groups[r][p / GROUP].wrapping_add(p % GROUP * step) });
                        for v in 0..V {
                            acc[r][p][v] = s.mul_add(w[v], pixel, acc[r][p][v]);
                        }
                    }
                }
                weights = weights.wrapping_add(V * S::LANES);
                for row in &mut groups {
                    for group in row {
                        *group = group.wrapping_add(1);
                    }
                }
            }
        }
    }
    acc
}

/// Writes sums.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn put<S: Simd, const V: usize, const P: usize>(s: S, sums: &Sums, row: &[[S::V; V]; P], place: Place) {
    for (p, sum) in row.iter().enumerate() {
        for (v, sum) in sum.iter().enumerate() {
            let z = if sums.post == Post::Relu { s.max(s.zero(), *sum) } else { *sum };
            let to = place.y.wrapping_add(p * sums.output.pixel + v * S::LANES);
            // SAFETY: the caller's promise; no more channels are written than there are.
            unsafe {
                if (v + 1) * S::LANES <= place.channels {
                    s.store(to, z);
                } else {
                    let some = place.channels.saturating_sub(v * S::LANES);
                    std::ptr::copy_nonoverlapping(s.lanes(z).as_ptr(), to, some);
                }
            }
        }
    }
}

/// Writes the maximum of each 2 x 2 sums, or zero, and which of them it is; the depth is whole blocks.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn pool<S: Simd, const V: usize, const P: usize>(
    s: S,
    sums: &Sums,
    [above, below]: [[[S::V; V]; P]; 2],
    place: Place,
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
            // SAFETY: the caller's promise.
            unsafe {
                s.store(place.y.add(p * sums.output.pixel + v * S::LANES), s.max(zero, max));
                s.store_bytes(place.argmax.add(p * sums.depth + v * S::LANES), at);
            }
        }
    }
}
