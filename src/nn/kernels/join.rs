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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::kernels::Isa;

    #[test]
    fn pictures_are_added_and_laid_behind_one_another() {
        let grids = [5, 16, 19].map(|channels| Grid::new([channels, 3, 2], 1));
        let to = Grid::new([40, 3, 2], 2);
        let value = |grid: usize, at: usize| ((grid * 100 + at) as f32).sin();
        for isa in Isa::all() {
            let mut y = vec![9.0; to.len()];
            let mut first = 0;
            for (i, grid) in grids.iter().enumerate() {
                let x: Vec<f32> = (0..grid.len()).map(|at| value(i, at)).collect();
                put(isa, to, *grid, first, &x, i == 1, &mut y);
                first += grid.channels;
            }
            clear_gap(to, &mut y);
            let mut sum = y.clone();
            add(isa, to, to, &y, true, &mut sum);
            for (row, column) in (0..3).flat_map(|row| (0..2).map(move |column| (row, column))) {
                let parts = grids.iter().enumerate().flat_map(|(i, grid)| {
                    let x = (0..grid.channels).map(move |c| value(i, grid.at(row, column) + c));
                    x.map(move |x| if i == 1 { x.max(0.0) } else { x })
                });
                let expected: Vec<f32> = parts.chain([0.0; 8]).collect();
                let at = to.at(row, column)..to.at(row, column) + to.depth;
                assert_eq!(y[at.clone()], expected, "{}", isa.name());
                let doubled: Vec<f32> = expected.iter().map(|x| (x + x).max(0.0)).collect();
                assert_eq!(sum[at], doubled, "{}", isa.name());
            }
            assert!(y[..to.at(0, 0)].iter().all(|y| *y == 9.0), "the margin");
        }
    }

    #[test]
    fn what_is_no_number_stays_none() {
        let grid = Grid::new([16, 1, 1], 0);
        for isa in Isa::all() {
            let (x, mut y) = (vec![f32::NAN; grid.len()], vec![0.0; grid.len()]);
            put(isa, grid, grid, 0, &x, true, &mut y);
            add(isa, grid, grid, &x, true, &mut y);
            assert!(y[..16].iter().all(|y| y.is_nan()), "{}", isa.name());
        }
    }
}
