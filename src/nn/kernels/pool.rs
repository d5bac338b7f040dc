//! Pools of pictures with the channels innermost: the maximum or the mean of windows of any size, and of all pixels.

use super::grid::{DEPTH, Grid};
use super::{Isa, load, multiversion, store};
use crate::nn::window::Window;

/// A pool compiled for one size of picture. The depth of both grids is a multiple of [`DEPTH`].
#[derive(Debug, Clone, Copy)]
pub struct PoolKernel {
    isa: Isa,
    window: Window,
    x: Grid,
    y: Grid,
    /// Whether the mean is written, padding counted as zeros; else the maximum, which padding never is.
    mean: bool,
}

/// A register of channels.
type Lane = [f32; DEPTH];

impl PoolKernel {
    /// A pool of maxima, or of means.
    ///
    /// # Panics
    /// If the grids do not fit the window.
    pub(in crate::nn) fn new(isa: Isa, window: Window, x: Grid, y: Grid, mean: bool) -> Self {
        assert_eq!(window.places([x.height, x.width]), Some([y.height, y.width]), "another picture");
        assert!(x.depth == y.depth && x.depth.is_multiple_of(DEPTH), "pictures in whole registers");
        Self { isa, window, x, y, mean }
    }

    /// Writes the pixels of one picture, and nothing of the margin. A NaN in a window is its maximum.
    pub fn forward(&self, x: &[f32], y: &mut [f32]) {
        if self.mean { mean(self.isa, *self, x, y) } else { max(self.isa, *self, x, y) }
    }
}

multiversion! { fn max(pool: PoolKernel, x: &[f32], y: &mut [f32]) = max_body }
multiversion! { fn mean(pool: PoolKernel, x: &[f32], y: &mut [f32]) = mean_body }
multiversion! {
    /// Writes the mean of each channel of one picture.
    ///
    /// # Shapes
    /// `y`: `[C]`.
    pub fn global_mean(grid: Grid, x: &[f32], y: &mut [f32]) = global_mean_body
}

#[inline(always)]
fn max_body<const FMA: bool>(pool: PoolKernel, x: &[f32], y: &mut [f32]) {
    each(pool, x, y, [f32::NEG_INFINITY; DEPTH], |best, x| {
        for l in 0..DEPTH {
            // Not `max`, which would hide what is no number.
            best[l] = if x[l] > best[l] || x[l].is_nan() { x[l] } else { best[l] };
        }
    });
}

#[inline(always)]
fn mean_body<const FMA: bool>(pool: PoolKernel, x: &[f32], y: &mut [f32]) {
    let share = 1.0 / (pool.window.kernel[0] * pool.window.kernel[1]) as f32;
    each(pool, x, y, [0.0; DEPTH], |sum, x| {
        for l in 0..DEPTH {
            sum[l] += x[l];
        }
    });
    for row in 0..pool.y.height {
        for column in 0..pool.y.width {
            let at = pool.y.at(row, column);
            y[at..at + pool.y.depth].iter_mut().for_each(|y| *y *= share);
        }
    }
}

/// Folds the elements of each window.
#[inline(always)]
fn each(pool: PoolKernel, x: &[f32], y: &mut [f32], start: Lane, fold: impl Fn(&mut Lane, &Lane)) {
    let PoolKernel { window, x: from, y: to, .. } = pool;
    for row in 0..to.height {
        let down = window.covered(0, row, from.height);
        for column in 0..to.width {
            let across = window.covered(1, column, from.width);
            for c in (0..to.depth).step_by(DEPTH) {
                let mut value = start;
                for i in down.clone() {
                    for j in across.clone() {
                        fold(&mut value, &load(x, from.at(i, j) + c));
                    }
                }
                store(y, to.at(row, column) + c, &value);
            }
        }
    }
}

#[inline(always)]
fn global_mean_body<const FMA: bool>(grid: Grid, x: &[f32], y: &mut [f32]) {
    let share = 1.0 / (grid.height * grid.width) as f64;
    for (c, y) in y[..grid.channels].chunks_mut(DEPTH).enumerate() {
        let mut sums = [0.0f64; DEPTH];
        for row in 0..grid.height {
            // A row in 32 bits, the picture in 64: large pictures lose no digits.
            let mut line = [0.0f32; DEPTH];
            for column in 0..grid.width {
                let x: Lane = load(x, grid.at(row, column) + c * DEPTH);
                for l in 0..DEPTH {
                    line[l] += x[l];
                }
            }
            for l in 0..DEPTH {
                sums[l] += f64::from(line[l]);
            }
        }
        y.iter_mut().zip(&sums).for_each(|(y, sum)| *y = (sum * share) as f32);
    }
}
