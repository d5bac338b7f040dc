//! Both gradients of large dense layers: sums of outer products, `C[m, i] = Σ_k a(m, k) b[k, i]`.
//!
//! For the weights k runs over the batch, for the inputs over the outputs. Few rows of `b` count at a time, so that a
//! panel of it fits the first-level cache, where all rows of C use it; the panel is copied there, because rows whose
//! distance is a multiple of a large power of two would push each other out of the cache.
#![allow(clippy::needless_range_loop)] // several arrays of registers are walked side by side

use super::{Dims, prefetch};
use crate::nn::Team;
use crate::nn::kernels::Isa;
use crate::nn::kernels::simd::{Kernel, Simd};

/// Rows of C in a task.
const ROWS: usize = 64;
/// Columns of C in a task.
const COLUMNS: usize = 1536;
/// Products that are added up before C is written.
const DEPTH: usize = 64;
/// The least columns of a panel: a multiple of every tile's.
const STRIP: usize = 96;
/// Floats in a cache line.
const LINE: usize = 16;
/// Floats of a panel.
const PANEL: usize = DEPTH * STRIP;
/// The most rows of C in a tile.
const TALL: usize = 6;
/// So few rows of C do not pay for a copy of b.
const FEW: usize = 8;

/// Writes `dx = dz W`.
pub(super) fn grad_input(isa: Isa, team: &dyn Team, d: Dims, theta: &[f32], dz: &[f32], dx: &mut [f32]) {
    assert!(dz.len() >= d.batch * d.ldy && theta.len() >= d.outputs * d.inputs && dx.len() >= d.batch * d.ldx);
    let c = Matrix { start: dx.as_mut_ptr(), stride: d.ldx, rows: d.batch, columns: d.inputs };
    run(isa, team, Factors { a: (dz, d.ldy, 1), b: (theta, d.inputs), depth: d.outputs }, c, false);
}

/// Writes `dW = dzᵀ x`, or adds it to what is there.
pub(super) fn grad_weights(isa: Isa, team: &dyn Team, d: Dims, x: &[f32], dz: &[f32], dw: &mut [f32], add: bool) {
    assert!(dz.len() >= d.batch * d.ldy && x.len() >= d.batch * d.ldx && dw.len() >= d.outputs * d.inputs);
    let c = Matrix { start: dw.as_mut_ptr(), stride: d.inputs, rows: d.outputs, columns: d.inputs };
    run(isa, team, Factors { a: (dz, 1, d.ldy), b: (x, d.ldx), depth: d.batch }, c, add);
}

/// What is multiplied.
#[derive(Clone, Copy)]
struct Factors<'a> {
    /// Memory, distance from m to m + 1, distance from k to k + 1.
    a: (&'a [f32], usize, usize),
    /// Memory, distance from k to k + 1.
    b: (&'a [f32], usize),
    depth: usize,
}

/// What is written; tasks write disjoint blocks of it.
#[derive(Clone, Copy)]
struct Matrix {
    start: *mut f32,
    stride: usize,
    rows: usize,
    columns: usize,
}

// SAFETY: it stands for an exclusive borrow of the matrix that `run` holds while the tasks, which share it, write
// disjoint blocks.
unsafe impl Sync for Matrix {}

impl Matrix {
    /// The block at (row, column), of at most `ROWS` by `COLUMNS`.
    fn block(&self, row: usize, column: usize) -> Matrix {
        assert!(row < self.rows && column < self.columns);
        Matrix {
            // SAFETY: within the matrix.
            start: unsafe { self.start.add(row * self.stride + column) },
            stride: self.stride,
            rows: ROWS.min(self.rows - row),
            columns: COLUMNS.min(self.columns - column),
        }
    }
}

fn run(isa: Isa, team: &dyn Team, f: Factors, c: Matrix, add: bool) {
    let down = c.rows.div_ceil(ROWS);
    team.run(down * c.columns.div_ceil(COLUMNS), &|task| {
        let (row, column) = (task % down * ROWS, task / down * COLUMNS);
        let a = (&f.a.0[row * f.a.1..], f.a.1, f.a.2);
        let b = (&f.b.0[column..], f.b.1);
        isa.run(Outer { f: Factors { a, b, ..f }, c: c.block(row, column), add });
    });
}

/// One task.
struct Outer<'a> {
    f: Factors<'a>,
    c: Matrix,
    /// Whether C keeps what it holds.
    add: bool,
}

/// A part of a task: columns `column..column + columns` of C and products `from..from + depth`.
#[derive(Clone, Copy)]
struct Part<'a> {
    from: usize,
    depth: usize,
    column: usize,
    columns: usize,
    /// The rows of b, from their first column on, and their distance.
    b: (&'a [f32], usize),
    /// `TALL` rows of `STRIP` floats, where a tile that sticks out of C is put together.
    edge: *mut f32,
}

#[repr(align(64))]
struct Panel([f32; PANEL]);

impl Kernel for Outer<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // Sixteen registers leave room for twelve sums beside two of b and one of a; thirty-two for twice that.
        if S::ACCUMULATORS >= 24 {
            self.panels::<S, 4, 6>(s);
        } else {
            self.panels::<S, 6, 2>(s);
        }
    }
}

impl Outer<'_> {
    #[inline(always)]
    fn panels<S: Simd, const T: usize, const V: usize>(&self, s: S) {
        let mut memory = Panel([0.0; PANEL]);
        let mut edge = [0.0; TALL * STRIP];
        let depth = DEPTH.min(self.f.depth);
        let width = (PANEL / depth / STRIP * STRIP).min(COLUMNS);
        for column in (0..self.c.columns).step_by(width) {
            let columns = width.min(self.c.columns - column);
            for from in (0..self.f.depth).step_by(DEPTH) {
                let depth = DEPTH.min(self.f.depth - from);
                let rows = &self.f.b.0[from * self.f.b.1 + column..];
                // Whole registers that few rows of C need are read where they lie.
                let in_place = self.c.rows <= FEW && columns.is_multiple_of(S::LANES);
                let b = if in_place {
                    (rows, self.f.b.1)
                } else {
                    copy(rows, self.f.b.1, &mut memory.0, width, depth, columns);
                    (&memory.0[..], width)
                };
                let part = Part { from, depth, column, columns, b, edge: edge.as_mut_ptr() };
                if in_place {
                    self.rows::<S, T, V, true>(s, part);
                } else {
                    self.rows::<S, T, V, false>(s, part);
                }
            }
        }
    }

    #[inline(always)]
    fn rows<S: Simd, const T: usize, const V: usize, const AHEAD: bool>(&self, s: S, part: Part) {
        let mut m = 0;
        while m < self.c.rows {
            m += match self.c.rows - m {
                left if left >= T => self.row::<S, T, V, AHEAD>(s, part, m),
                4.. => self.row::<S, 4, V, AHEAD>(s, part, m),
                3 => self.row::<S, 3, V, AHEAD>(s, part, m),
                2 => self.row::<S, 2, V, AHEAD>(s, part, m),
                _ => self.row::<S, 1, V, AHEAD>(s, part, m),
            };
        }
    }

    /// `R` rows of C: tiles of `V` registers, then of two and one.
    #[inline(always)]
    fn row<S: Simd, const R: usize, const V: usize, const AHEAD: bool>(&self, s: S, part: Part, m: usize) -> usize {
        let mut i = 0;
        while i < part.columns {
            let registers = (part.columns - i).div_ceil(S::LANES);
            i += S::LANES
                * match registers {
                    left if left >= V => self.tile::<S, R, V, AHEAD>(s, part, m, i),
                    2.. => self.tile::<S, R, 2, AHEAD>(s, part, m, i),
                    _ => self.tile::<S, R, 1, AHEAD>(s, part, m, i),
                };
        }
        R
    }

    /// `R` rows of C by `V` registers; the last register may be cut off. `AHEAD`: the next tile's part of b is called in
    /// advance.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const V: usize, const AHEAD: bool>(
        &self,
        s: S,
        part: Part,
        m: usize,
        i: usize,
    ) -> usize {
        let (columns, stride) = (V * S::LANES, part.b.1);
        let width = columns.min(part.columns - i);
        let sticks_out = width < columns;
        let goes_on = self.add || part.from > 0;
        // SAFETY: the block has rows up to m + R and columns up to part.column + i + width, and is this task's own.
        let at = unsafe { self.c.start.add(m * self.c.stride + part.column + i) };
        let (to, to_stride) = if sticks_out { (part.edge, STRIP) } else { (at, self.c.stride) };
        if sticks_out && goes_on {
            // SAFETY: both have R rows of width floats.
            unsafe { copy_rows(at, self.c.stride, part.edge, STRIP, R, width) };
        }
        let mut sums = [[s.zero(); V]; R];
        for r in 0..R {
            for v in 0..columns / LINE {
                prefetch(at.wrapping_add(r * self.c.stride + columns + v * LINE));
            }
        }
        if goes_on {
            for r in 0..R {
                for v in 0..V {
                    // SAFETY: whole registers of C or of `edge`.
                    sums[r][v] = unsafe { s.load(to.add(r * to_stride + v * S::LANES)) };
                }
            }
        }
        let (a, a_row, a_step) = self.f.a;
        let a = &a[m * a_row + part.from * a_step..];
        assert!(a.len() > (R - 1) * a_row + (part.depth - 1) * a_step);
        let b = &part.b.0[i..];
        assert!(b.len() >= (part.depth - 1) * stride + columns);
        for k in 0..part.depth {
            let mut right = [s.zero(); V];
            for v in 0..V {
                // SAFETY: asserted above.
                right[v] = unsafe { s.load(b.as_ptr().add(k * stride + v * S::LANES)) };
                if AHEAD {
                    prefetch(b.as_ptr().wrapping_add(k * stride + v * S::LANES + columns));
                }
            }
            for r in 0..R {
                // SAFETY: asserted above.
                let left = s.splat(unsafe { *a.as_ptr().add(r * a_row + k * a_step) });
                for v in 0..V {
                    sums[r][v] = s.mul_add(left, right[v], sums[r][v]);
                }
            }
        }
        for r in 0..R {
            for v in 0..V {
                // SAFETY: whole registers of C or of `edge`.
                unsafe { s.store(to.add(r * to_stride + v * S::LANES), sums[r][v]) };
            }
        }
        if sticks_out {
            // SAFETY: both have R rows of width floats.
            unsafe { copy_rows(part.edge, STRIP, at, self.c.stride, R, width) };
        }
        V
    }
}

/// Copies `depth` rows of `columns` into rows of `width`, and calls the next panel's in advance; what lies behind them is left as it is, and nobody uses
/// what comes of it.
#[inline(always)]
fn copy(from: &[f32], stride: usize, to: &mut [f32], width: usize, depth: usize, columns: usize) {
    for (k, to) in to.chunks_exact_mut(width).take(depth).enumerate() {
        let row = &from[k * stride..];
        to[..columns].copy_from_slice(&row[..columns]);
        for i in (width..2 * width).step_by(LINE) {
            prefetch(row.as_ptr().wrapping_add(i));
        }
    }
}

/// Copies rows of floats from one matrix to another.
///
/// # Safety
/// Both must have that many rows and columns, and not overlap.
#[inline(always)]
unsafe fn copy_rows(from: *const f32, stride: usize, to: *mut f32, to_stride: usize, rows: usize, columns: usize) {
    for r in 0..rows {
        // SAFETY: the caller's promise.
        unsafe { std::ptr::copy_nonoverlapping(from.add(r * stride), to.add(r * to_stride), columns) };
    }
}
