//! Pictures with the channels innermost brought together: added, or laid behind one another.

use super::grid::{DEPTH, Grid};
use super::multiversion;

multiversion! {
    /// Adds a picture to another of its size, pixel by pixel; negative sums become zero if `relu`.
    ///
    /// # Shapes
    /// Both have the same depth.
    pub fn add(to: Grid, from: Grid, x: &[f32], relu: bool, y: &mut [f32]) = add_body
}
multiversion! {
    /// Copies a picture to the channels from `first` on of another of its size; negative values become zero if `relu`.
    pub fn put(to: Grid, from: Grid, first: usize, x: &[f32], relu: bool, y: &mut [f32]) = put_body
}

/// Writes zeros behind the channels of each pixel.
pub fn clear_gap(grid: Grid, y: &mut [f32]) {
    for row in (0..grid.height).filter(|_| grid.channels < grid.depth) {
        for column in 0..grid.width {
            let at = grid.at(row, column);
            y[at + grid.channels..at + grid.depth].fill(0.0);
        }
    }
}

/// The least that a value may be. (Compared so that NaN stays.)
#[inline(always)]
fn least(relu: bool) -> f32 {
    if relu { 0.0 } else { f32::NEG_INFINITY }
}

#[inline(always)]
fn add_body<const FMA: bool>(to: Grid, from: Grid, x: &[f32], relu: bool, y: &mut [f32]) {
    let least = least(relu);
    for row in 0..to.height {
        for column in 0..to.width {
            let y = &mut y[to.at(row, column)..][..to.depth];
            let x = &x[from.at(row, column)..][..to.depth];
            for (y, x) in y.chunks_exact_mut(DEPTH).zip(x.chunks_exact(DEPTH)) {
                for (y, x) in y.iter_mut().zip(x) {
                    let sum = *y + *x;
                    *y = if sum < least { least } else { sum };
                }
            }
        }
    }
}

#[inline(always)]
fn put_body<const FMA: bool>(to: Grid, from: Grid, first: usize, x: &[f32], relu: bool, y: &mut [f32]) {
    let least = least(relu);
    for row in 0..to.height {
        for column in 0..to.width {
            let y = &mut y[to.at(row, column) + first..][..from.channels];
            let x = &x[from.at(row, column)..][..from.channels];
            for (y, x) in y.iter_mut().zip(x) {
                *y = if *x < least { least } else { *x };
            }
        }
    }
}
