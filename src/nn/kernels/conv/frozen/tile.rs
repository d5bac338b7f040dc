//! The loop of the frozen convolutions: pixels of one row, or of two, times registers of channels.
//!
//! Every sum adds in the same order (input chunk, tap row, tap column, channel) whatever the tile, so a pixel's bits
//! do not depend on how the picture was cut.

use super::cut::Region;
use super::{Isa, Reach, Walk};
use crate::nn::kernels::share::Whole;
use crate::nn::kernels::simd::{Kernel, Simd};

/// Pixels that share an address register: 0, 1, 2 and 3 steps from it are one operand each.
const GROUP: usize = 4;
/// Groups of the widest tile.
const GROUPS: usize = 4;

/// Which sums to compute: sum (y, x) adds `taps` pixels of the input, beginning at the input's (y, x).
#[derive(Debug, Clone, Copy)]
pub(super) struct Sums {
    /// The first pixel that each sum reads.
    pub input: Walk,
    /// Which of the tap rows matter.
    pub reach: Reach,
    /// Tap rows and columns. Taps that touch one another are one column with a longer run.
    pub taps: [usize; 2],
    /// Floats from a tap row, a tap column, to the next.
    pub steps: [usize; 2],
    /// Where what is added to the sums lies.
    pub add: Option<Walk>,
    /// Where the results go.
    pub output: Walk,
    pub relu: bool,
    /// Whether results are the maxima of 2 x 2 sums.
    pub pool: bool,
}

/// The input channels that are added up now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk<'a> {
    /// `[tap row][tap column][run][V · lanes]`
    pub weights: &'a [f32],
    /// The first of them.
    pub input: usize,
    /// Floats that each tap reads, one after the other.
    pub run: usize,
    pub is_first: bool,
    pub is_last: bool,
}

/// Computes one block of channels of one region of sums.
pub(super) struct Tiles<'a> {
    pub sums: &'a Sums,
    pub region: &'a Region,
    pub chunk: Chunk<'a>,
    /// Of the block.
    pub bias: &'a [f32],
    /// The block's first channel.
    pub first: usize,
    /// Channels of the block that are written.
    pub channels: usize,
    pub x: &'a [f32],
    pub add: &'a [f32],
    /// Written where the block, the region and its tiles are: nobody else writes there.
    pub y: Whole<'a>,
    /// The sums of each tile while chunks are missing.
    pub partial: &'a mut [f32],
    /// Whether its first tiles call the weights behind the chunk's, which come next, to the second-level cache.
    pub calls: bool,
}

/// [`Tiles`] of `R` rows, `P` pixels and `V` registers.
struct Of<'a, const V: usize, const R: usize, const P: usize>(Tiles<'a>);

/// Computes `tiles`.
pub(super) fn run(isa: Isa, registers: usize, tiles: Tiles<'_>) {
    macro_rules! sizes {
        ($($v:literal $r:literal: $($p:literal)*;)*) => {
            match (registers, tiles.region.tile[0], tiles.region.tile[1]) {
                $($(($v, $r, $p) => isa.run(Of::<$v, $r, $p>(tiles)),)*)*
                other => unreachable!("no tiles {other:?}"),
            }
        };
    }
    sizes! {
        1 1: 1 2 4 6 7 8 10 12 14;
        1 2: 2 4 6 7;
        2 1: 1 2 3 4 5 6 7 8 10 12 14;
        2 2: 2 3 4 5 6 7;
    }
}

/// Sums that registers can hold at once beside what is added to them.
const fn registers<S: Simd>() -> usize {
    if S::LANES == 16 { 28 } else { 12 }
}

/// What a tile reads and writes.
#[derive(Clone, Copy)]
struct Place {
    x: *const f32,
    weights: *const f32,
    add: *const f32,
    y: *mut f32,
    partial: *mut f32,
    /// Tap rows, from those on that `x` and `weights` are for.
    tap_rows: usize,
    /// What is called to the cache, and floats from one step's to the next's.
    ahead: *const f32,
    ahead_step: usize,
}

/// Floats of a cache line.
const LINE: usize = 16;

impl<const V: usize, const R: usize, const P: usize> Of<'_, V, R, P> {
    /// Panics unless everything that the tiles touch lies within their slices.
    fn check(&self, block: usize) {
        let Tiles { sums, region, chunk, .. } = &self.0;
        let window = if sums.pool { 2 } else { 1 };
        let (rows, columns) = (region.rows.end, region.columns.end);
        assert!(P <= columns && R <= region.rows.len() && P.is_multiple_of(window), "no tile fits");
        assert!(!sums.pool || R == 1 && rows.is_multiple_of(2) && region.rows.start.is_multiple_of(2), "half a window");
        assert_eq!(chunk.weights.len(), sums.taps[0] * sums.taps[1] * chunk.run * block, "other weights");
        assert!(self.0.bias.len() >= block && self.0.channels <= block, "too few channels");
        let tap = (sums.taps[0] - 1) * sums.steps[0] + (sums.taps[1] - 1) * sums.steps[1];
        let last = sums.input.last(rows, columns) + tap + chunk.input + chunk.run;
        assert!(self.0.x.len() >= last, "the input is too short");
        let end = self.0.first + self.0.channels;
        assert!(self.0.y.len() >= sums.output.last(rows / window, columns / window) + end, "the output is too short");
        let added = sums.add.map_or(0, |add| add.last(rows, columns) + end);
        assert!(self.0.add.len() >= added && (added == 0 || !sums.pool), "what is added is too short");
        let is_whole = chunk.is_first && chunk.is_last;
        assert!(is_whole || !sums.pool && self.0.partial.len() >= region.sums() * block, "no place for the sums");
    }
}

impl<const V: usize, const R: usize, const P: usize> Kernel for Of<'_, V, R, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if V * R * P > registers::<S>() || S::LANES < 16 && V != 2 {
            unreachable!("a tile that no plan has for these registers");
        }
        let block = V * S::LANES;
        self.check(block);
        let Tiles { sums, region, chunk, first, .. } = self.0;
        let window = if sums.pool { 2 } else { 1 };
        let add = sums.add.unwrap_or(Walk { origin: 0, row: 0, pixel: 0 });
        let mut partial = self.0.partial.as_mut_ptr();
        let (next, mut tile) = (chunk.weights.as_ptr_range().end, 0);
        for row in region.rows.clone().step_by(R * window) {
            let row = row.min(region.rows.end - R);
            // Within `0..sums.taps[0]`, so what is read is a part of what `check` looks at.
            let taps = sums.reach.tap_rows(row, R * window, sums.taps[0]);
            let from = sums.input.origin + row * sums.input.row + taps.start * sums.steps[0] + chunk.input;
            let skipped = taps.start * sums.taps[1] * chunk.run * block;
            for column in region.columns.clone().step_by(P) {
                let column = column.min(region.columns.end - P);
                let to = [row / window, column / window];
                let at = |walk: Walk| walk.origin + to[0] * walk.row + to[1] * walk.pixel + first;
                let place = Place {
                    x: self.0.x.as_ptr().wrapping_add(from + column * sums.input.pixel),
                    weights: chunk.weights.as_ptr().wrapping_add(skipped),
                    add: self.0.add.as_ptr().wrapping_add(at(add)),
                    y: self.0.y.start().wrapping_add(at(sums.output)),
                    partial,
                    tap_rows: taps.len(),
                    ahead: next.wrapping_add(if tile < V { tile * chunk.weights.len() / V } else { 0 }),
                    ahead_step: if self.0.calls && tile < V { LINE } else { 0 },
                };
                // SAFETY: `check` has compared the last element of all that is touched with the slices, and every
                // tile is within the region; the taps are those of the check or fewer. `partial` is borrowed exclusively, and
                // no other task has this block of this band of `y`.
                unsafe {
                    if sums.pool {
                        self.0.pooled::<S, V, P>(s, place);
                    } else {
                        self.0.tile::<S, V, R, P>(s, place);
                    }
                }
                partial = partial.wrapping_add(R * P * block);
                tile += 1;
            }
        }
    }
}

impl Tiles<'_> {
    /// Computes a tile, and writes it or keeps its sums.
    ///
    /// # Safety
    /// All that it reads and writes is within slices that nobody else writes to.
    #[inline(always)]
    unsafe fn tile<S: Simd, const V: usize, const R: usize, const P: usize>(&self, s: S, place: Place) {
        if self.chunk.is_last {
            self.call::<S, V, R, P>(s, place);
        }
        let mut acc = [[[s.zero(); V]; P]; R];
        for (i, sum) in acc.as_flattened_mut().iter_mut().enumerate() {
            for (v, sum) in sum.iter_mut().enumerate() {
                let bias = self.bias.as_ptr().wrapping_add(v * S::LANES);
                let kept = place.partial.wrapping_add((i * V + v) * S::LANES);
                // SAFETY: the bias of this block, the sums of this tile.
                *sum = unsafe { s.load(if self.chunk.is_first { bias } else { kept.cast_const() }) };
            }
        }
        // SAFETY: the caller's promise.
        let acc = unsafe { self.add_up(s, acc, place.x, place) };
        if !self.chunk.is_last {
            for (i, sum) in acc.as_flattened().iter().enumerate() {
                for (v, sum) in sum.iter().enumerate() {
                    // SAFETY: the sums of this tile.
                    unsafe { s.store(place.partial.wrapping_add((i * V + v) * S::LANES), *sum) };
                }
            }
            return;
        }
        for (r, row) in acc.iter().enumerate() {
            for (p, pixel) in row.iter().enumerate() {
                let to = r * self.sums.output.row + p * self.sums.output.pixel;
                for (v, sum) in pixel.iter().enumerate() {
                    let channels = self.channels.saturating_sub(v * S::LANES).min(S::LANES);
                    let mut z = *sum;
                    // SAFETY: the caller's promise; no more channels are touched than there are.
                    unsafe {
                        if let Some(add) = self.sums.add {
                            let from = place.add.wrapping_add(r * add.row + p * add.pixel + v * S::LANES);
                            z = s.add(z, s.load_part(from, channels));
                        }
                        z = if self.sums.relu { s.max(s.zero(), z) } else { z };
                        s.store_part(place.y.wrapping_add(to + v * S::LANES), z, channels);
                    }
                }
            }
        }
    }

    /// Calls what a tile adds and writes at its end: processors do not foresee steps from pixel to pixel.
    #[inline(always)]
    fn call<S: Simd, const V: usize, const R: usize, const P: usize>(&self, s: S, place: Place) {
        for (r, p) in (0..R).flat_map(|r| (0..P).map(move |p| (r, p))) {
            for line in (0..V * S::LANES).step_by(LINE) {
                if let Some(add) = self.sums.add {
                    s.prefetch(place.add.wrapping_add(r * add.row + p * add.pixel + line));
                }
                s.prefetch(place.y.wrapping_add(r * self.sums.output.row + p * self.sums.output.pixel + line));
            }
        }
    }

    /// Computes a tile of two rows and writes the maximum of each 2 x 2 sums.
    ///
    /// # Safety
    /// As [`Tiles::tile`].
    #[inline(always)]
    unsafe fn pooled<S: Simd, const V: usize, const P: usize>(&self, s: S, place: Place) {
        let mut acc = [[[s.zero(); V]; P]; 1];
        for sum in acc.as_flattened_mut() {
            for (v, sum) in sum.iter_mut().enumerate() {
                // SAFETY: the bias of this block.
                *sum = unsafe { s.load(self.bias.as_ptr().wrapping_add(v * S::LANES)) };
            }
        }
        // SAFETY: the caller's promise.
        let [above] = unsafe { self.add_up(s, acc, place.x, place) };
        let mut best = [[s.zero(); V]; P];
        for p in 0..P / 2 {
            for v in 0..V {
                best[p][v] = s.max(above[2 * p][v], above[2 * p + 1][v]);
            }
        }
        // SAFETY: the caller's promise.
        let [below] = unsafe { self.add_up(s, acc, place.x.wrapping_add(self.sums.input.row), place) };
        for p in 0..P / 2 {
            for v in 0..V {
                let z = s.max(best[p][v], s.max(below[2 * p][v], below[2 * p + 1][v]));
                let z = if self.sums.relu { s.max(s.zero(), z) } else { z };
                let channels = self.channels.saturating_sub(v * S::LANES).min(S::LANES);
                let to = place.y.wrapping_add(p * self.sums.output.pixel + v * S::LANES);
                // SAFETY: the caller's promise; no more channels are written than there are.
                unsafe { s.store_part(to, z, channels) };
            }
        }
    }

    /// Adds the products of `P` neighboring pixels in each of `R` rows, the first of which reads from `x` on.
    ///
    /// # Safety
    /// All that they read is within allocations.
    #[inline(always)]
    unsafe fn add_up<S: Simd, const V: usize, const R: usize, const P: usize>(
        &self,
        s: S,
        mut acc: [[[S::V; V]; P]; R],
        x: *const f32,
        place: Place,
    ) -> [[[S::V; V]; P]; R] {
        let (sums, run) = (self.sums, self.chunk.run);
        let (step, mut weights, mut ahead) = (sums.input.pixel, place.weights, place.ahead);
        for tap_row in 0..place.tap_rows {
            for tap_column in 0..sums.taps[1] {
                let from = x.wrapping_add(tap_row * sums.steps[0] + tap_column * sums.steps[1]);
                // Plain loops: a call that is not inlined sends all sums to memory and back.
                let mut groups = [[from; GROUPS]; R];
                for (r, row) in groups.iter_mut().enumerate() {
                    for (g, group) in row.iter_mut().enumerate() {
                        *group = from.wrapping_add(r * sums.input.row + g * GROUP * step);
                    }
                }
                for _ in 0..run {
                    let mut w = [s.zero(); V];
                    for (v, w) in w.iter_mut().enumerate() {
                        // SAFETY: the weights of this block.
                        *w = unsafe { s.load(weights.wrapping_add(v * S::LANES)) };
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
                    s.prefetch(ahead);
                    ahead = ahead.wrapping_add(place.ahead_step);
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
}
