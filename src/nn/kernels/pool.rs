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

#[cfg(test)]
mod tests {
    use super::*;

    /// Kernel, stride, padding, height and width.
    const CASES: &[[[usize; 2]; 4]] = &[
        [[3, 3], [2, 2], [1, 1], [12, 9]],
        [[2, 2], [2, 2], [0, 0], [5, 7]],
        [[3, 2], [1, 3], [1, 1], [3, 8]],
        [[1, 1], [2, 1], [0, 0], [1, 4]],
        [[5, 4], [4, 4], [2, 2], [4, 4]],
    ];

    /// A picture with its margin and its gaps full of what must not be read.
    fn picture(grid: Grid) -> Vec<f32> {
        let mut x = vec![1e9; grid.len()];
        for at in (0..grid.height).flat_map(|row| (0..grid.width).map(move |column| grid.at(row, column))) {
            for c in 0..grid.channels {
                x[at + c] = ((at + c) as f32 * 0.7).sin() - 0.5;
            }
        }
        x
    }

    #[test]
    fn pools_are_the_definition() {
        for (isa, [kernel, stride, padding, size]) in
            Isa::all().flat_map(|isa| CASES.iter().map(move |case| (isa, *case)))
        {
            for (channels, mean) in [(1, false), (17, true), (32, false), (48, true)] {
                let window = Window { kernel, stride, padding };
                let places = window.places(size).unwrap();
                let (from, to) =
                    (Grid::new([channels, size[0], size[1]], 1), Grid::new([channels, places[0], places[1]], 2));
                let (x, mut y) = (picture(from), vec![7.0; to.len()]);
                PoolKernel::new(isa, window, from, to, mean).forward(&x, &mut y);
                for (row, column, c) in (0..to.height)
                    .flat_map(|row| (0..to.width).flat_map(move |column| (0..channels).map(move |c| (row, column, c))))
                {
                    let covered = window
                        .covered(0, row, size[0])
                        .flat_map(|i| window.covered(1, column, size[1]).map(move |j| (i, j)));
                    let members = covered.map(|(i, j)| x[from.at(i, j) + c]);
                    let expected = match mean {
                        true => members.sum::<f32>() / (kernel[0] * kernel[1]) as f32,
                        false => members.fold(f32::NEG_INFINITY, f32::max),
                    };
                    let got = y[to.at(row, column) + c];
                    assert!((got - expected).abs() < 1e-6, "{} {window:?} {size:?}: {got}, not {expected}", isa.name());
                }
                assert!(y[..to.at(0, 0)].iter().all(|y| *y == 7.0), "the margin");
            }
        }
    }

    #[test]
    fn a_nan_is_the_maximum_and_stays_in_its_channel() {
        let (from, to) = (Grid::new([3, 2, 2], 0), Grid::new([3, 1, 1], 0));
        let window = Window { kernel: [2, 2], stride: [2, 2], padding: [0, 0] };
        for (isa, pixel) in Isa::all().flat_map(|isa| (0..4).map(move |pixel| (isa, pixel))) {
            let (mut x, mut y) = (vec![1.0; from.len()], vec![0.0; to.len()]);
            x[from.at(pixel / 2, pixel % 2) + 1] = f32::NAN;
            PoolKernel::new(isa, window, from, to, false).forward(&x, &mut y);
            assert!(y[1].is_nan() && y[0] == 1.0 && y[2] == 1.0, "{} {pixel}", isa.name());
        }
    }

    #[test]
    fn the_mean_of_a_large_picture_loses_no_digits() {
        let grid = Grid::new([19, 300, 41], 1);
        let x = picture(grid);
        for isa in Isa::all() {
            let mut y = vec![0.0; 24];
            global_mean(isa, grid, &x, &mut y);
            for (c, got) in y[..19].iter().enumerate() {
                let pixels = (0..300).flat_map(|row| (0..41).map(move |column| grid.at(row, column) + c));
                let expected = pixels.map(|at| f64::from(x[at])).sum::<f64>() / 12300.0;
                assert!((f64::from(*got) - expected).abs() < 1e-7, "{}: {got}, not {expected}", isa.name());
            }
            assert!(y[19..].iter().all(|y| *y == 0.0));
        }
    }
}
