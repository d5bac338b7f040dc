//! Kernels on sixteen samples side by side: one output of a layer for a whole batch.
//!
//! The samples of a batch are cut into groups of [`LANES`]; an element of a tensor is a [`Lanes`], one number for each
//! sample of the group. So a single output uses whole registers whatever the sizes of the layer, without sums across a
//! register, and the bits of a sample depend neither on the others nor on how many there are.
#![allow(clippy::needless_range_loop)] // several arrays of registers are walked side by side

use super::Isa;
use super::simd::{Kernel, Simd};

/// Samples in a group.
pub const LANES: usize = 16;

/// One element of a tensor for each sample of a group.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub struct Lanes(pub [f32; LANES]);

impl Lanes {
    /// All zero.
    pub const ZERO: Self = Self([0.0; LANES]);
}

/// A convolution as its filters are computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FilterShape {
    /// Channels in.
    pub inputs: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Vertical and horizontal step.
    pub stride: [usize; 2],
    /// Rows of zeros above and below, which are not in memory.
    pub padding: usize,
    /// Rows, and columns with the padding on both sides, of a channel in memory.
    pub x: [usize; 2],
    /// Rows and columns of the output.
    pub y: [usize; 2],
    /// Whether negative outputs become zero.
    pub relu: bool,
}

/// Writes one output channel of a group of samples.
///
/// # Shapes
/// `filter`: `[I, kh, kw]`; `x`: `[I, H, W + 2 pw]`; `y`: `[H', W']`.
///
/// # Panics
/// If the lengths are other ones.
pub fn filter(isa: Isa, shape: FilterShape, filter: &[f32], bias: f32, x: &[Lanes], y: &mut [Lanes]) {
    let FilterShape { inputs, kernel: [kh, kw], stride: [sh, sw], padding, x: [h, w], y: [rows, columns], .. } = shape;
    assert_eq!((filter.len(), x.len(), y.len()), (inputs * kh * kw, inputs * h * w, rows * columns));
    assert!(rows > 0 && columns > 0 && (columns - 1) * sw + kw <= w && (rows - 1) * sh + kh <= h + 2 * padding);
    isa.run(Filter { shape, filter, bias, x, y });
}

struct Filter<'a> {
    shape: FilterShape,
    filter: &'a [f32],
    bias: f32,
    x: &'a [Lanes],
    y: &'a mut [Lanes],
}

impl Kernel for Filter<'_> {
    type Output = ();
    /// The output stays in the first-level cache while the channels of the input come by.
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let FilterShape { inputs, kernel: [kh, _], stride: [sh, _], padding, x: [h, _], y: [rows, columns], relu } =
            self.shape;
        self.y.fill(Lanes([self.bias; LANES]));
        for i in 0..inputs {
            for v in 0..rows {
                let first = padding.saturating_sub(v * sh);
                let end = kh.min((h + padding).saturating_sub(v * sh));
                let mut u = 0;
                while u < columns {
                    u += match columns - u {
                        8.. => self.tile::<S, 8>(s, i, [v, u], [first, end]),
                        4.. => self.tile::<S, 4>(s, i, [v, u], [first, end]),
                        2.. => self.tile::<S, 2>(s, i, [v, u], [first, end]),
                        _ => self.tile::<S, 1>(s, i, [v, u], [first, end]),
                    };
                }
            }
        }
        if relu {
            // Not `max`, which would hide what is no number.
            self.y.iter_mut().flat_map(|y| &mut y.0).for_each(|y| *y = if *y < 0.0 { 0.0 } else { *y });
        }
    }
}

impl Filter<'_> {
    /// Adds kernel rows `first..end` of input `i` to `U` outputs from row `v`, column `u` on.
    #[inline(always)]
    fn tile<S: Simd, const U: usize>(&mut self, s: S, i: usize, [v, u]: [usize; 2], [first, end]: [usize; 2]) -> usize {
        let FilterShape { kernel: [kh, kw], stride: [sh, sw], padding, x: [h, w], y: [_, columns], .. } = self.shape;
        let y = &mut self.y[v * columns + u..][..U];
        for part in (0..LANES).step_by(S::LANES) {
            let mut sums = [s.zero(); U];
            for t in 0..U {
                // SAFETY: `part` and the register's lanes are within the LANES floats of an element of `y`.
                sums[t] = unsafe { s.load(y[t].0.as_ptr().add(part)) };
            }
            for j in first..end {
                let weights = &self.filter[(i * kh + j) * kw..][..kw];
                let x = &self.x[(i * h + v * sh + j - padding) * w + u * sw..][..(U - 1) * sw + kw];
                for (k, weight) in weights.iter().enumerate() {
                    let weight = s.splat(*weight);
                    for t in 0..U {
                        // SAFETY: t sw + k <= (U - 1) sw + kw - 1, the last of the slice; `part` as above.
                        let x = unsafe { s.load(x.as_ptr().add(t * sw + k).cast::<f32>().add(part)) };
                        sums[t] = s.mul_add(x, weight, sums[t]);
                    }
                }
            }
            for t in 0..U {
                // SAFETY: as for the loads.
                unsafe { s.store(y[t].0.as_mut_ptr().add(part), sums[t]) };
            }
        }
        U
    }
}

/// Writes `y[k] = Σ_p w[k, p] x[p]` for a group of samples, where `w[k]` begins at `k · stride` of `weights`.
///
/// # Panics
/// If the weights end before the last.
pub fn dots(isa: Isa, weights: &[f32], stride: usize, x: &[Lanes], y: &mut [Lanes]) {
    assert!(y.is_empty() || x.len() <= stride && (y.len() - 1) * stride + x.len() <= weights.len());
    isa.run(Dots { weights, stride, x, y });
}

struct Dots<'a> {
    weights: &'a [f32],
    stride: usize,
    x: &'a [Lanes],
    y: &'a mut [Lanes],
}

impl Kernel for Dots<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let mut k = 0;
        while k < self.y.len() {
            k += match self.y.len() - k {
                10.. => self.tile::<S, 10>(s, k),
                5.. => self.tile::<S, 5>(s, k),
                2.. => self.tile::<S, 2>(s, k),
                _ => self.tile::<S, 1>(s, k),
            };
        }
    }
}

impl Dots<'_> {
    #[inline(always)]
    fn tile<S: Simd, const K: usize>(&mut self, s: S, k: usize) -> usize {
        let mut weights: [&[f32]; K] = [&[]; K];
        for (t, weights) in weights.iter_mut().enumerate() {
            *weights = &self.weights[(k + t) * self.stride..][..self.x.len()];
        }
        for part in (0..LANES).step_by(S::LANES) {
            let mut sums = [s.zero(); K];
            for (p, x) in self.x.iter().enumerate() {
                // SAFETY: `part` and the register's lanes are within the LANES floats of an element.
                let x = unsafe { s.load(x.0.as_ptr().add(part)) };
                for t in 0..K {
                    sums[t] = s.mul_add(x, s.splat(weights[t][p]), sums[t]);
                }
            }
            for (y, sum) in self.y[k..k + K].iter_mut().zip(sums) {
                // SAFETY: as for the load.
                unsafe { s.store(y.0.as_mut_ptr().add(part), sum) };
            }
        }
        K
    }
}

/// Adds `x` to `y`, element by element.
pub fn add(isa: Isa, x: &[Lanes], y: &mut [Lanes]) {
    isa.run(Add { x, y });
}

struct Add<'a> {
    x: &'a [Lanes],
    y: &'a mut [Lanes],
}

impl Kernel for Add<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (x, y) in self.x.iter().zip(self.y) {
            for part in (0..LANES).step_by(S::LANES) {
                // SAFETY: `part` and the register's lanes are within the LANES floats of an element.
                unsafe {
                    let sum = s.add(s.load(y.0.as_ptr().add(part)), s.load(x.0.as_ptr().add(part)));
                    s.store(y.0.as_mut_ptr().add(part), sum);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, seed: usize) -> Vec<Lanes> {
        (0..n).map(|i| Lanes(std::array::from_fn(|l| ((i * 37 + l * 11 + seed) as f32 * 0.7).sin()))).collect()
    }

    #[test]
    fn a_filter_is_its_sums_on_every_instruction_set() {
        for (inputs, kernel, stride, padding, [h, w], relu) in [
            (3, [11, 11], [3, 3], 0, [32, 32], true),
            (2, [3, 5], [1, 1], 1, [4, 9], false),
            (1, [1, 1], [2, 1], 0, [5, 11], true),
            (2, [5, 2], [2, 3], 4, [1, 13], false),
        ] {
            let [rows, columns] = [(h + 2 * padding - kernel[0]) / stride[0] + 1, (w - kernel[1]) / stride[1] + 1];
            let shape = FilterShape { inputs, kernel, stride, padding, x: [h, w], y: [rows, columns], relu };
            let weights: Vec<f32> = (0..inputs * kernel[0] * kernel[1]).map(|i| (i as f32).cos()).collect();
            let (x, mut y) = (numbers(inputs * h * w, 1), numbers(rows * columns, 2));
            for isa in Isa::all() {
                filter(isa, shape, &weights, 0.25, &x, &mut y);
                for (place, lane) in (0..rows * columns).flat_map(|place| [(place, 0), (place, 7), (place, 15)]) {
                    let mut sum = 0.25f64;
                    for (i, j, k) in (0..inputs)
                        .flat_map(|i| (0..kernel[0]).flat_map(move |j| (0..kernel[1]).map(move |k| (i, j, k))))
                    {
                        let (row, column) = (place / columns * stride[0] + j, place % columns * stride[1] + k);
                        if (padding..h + padding).contains(&row) {
                            let x = x[(i * h + row - padding) * w + column].0[lane];
                            sum += f64::from(weights[(i * kernel[0] + j) * kernel[1] + k] * x);
                        }
                    }
                    let expected = if relu { sum.max(0.0) } else { sum };
                    let away = (f64::from(y[place].0[lane]) - expected).abs();
                    assert!(away < 1e-4, "{} {shape:?} at {place}: {away}", isa.name());
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_none_behind_a_rectifier() {
        let shape =
            FilterShape { inputs: 1, kernel: [1, 1], stride: [1, 1], padding: 0, x: [1, 1], y: [1, 1], relu: true };
        for isa in Isa::all() {
            let mut y = [Lanes::ZERO];
            filter(isa, shape, &[f32::NAN], 0.0, &[Lanes::ZERO], &mut y);
            assert!(y[0].0.iter().all(|y| y.is_nan()));
        }
    }

    #[test]
    fn dots_are_dot_products_and_do_not_depend_on_their_number() {
        let (outputs, inputs, stride) = (18, 23, 30);
        let weights: Vec<f32> = (0..outputs * stride).map(|i| (i as f32 * 0.3).sin()).collect();
        let x = numbers(inputs, 4);
        for isa in Isa::all() {
            let mut y = numbers(outputs, 5);
            dots(isa, &weights, stride, &x, &mut y);
            for k in 0..outputs {
                let mut alone = [Lanes::ZERO];
                dots(isa, &weights[k * stride..], stride, &x, &mut alone);
                assert_eq!(alone[0], y[k]);
                let sum: f32 = x.iter().zip(&weights[k * stride..]).map(|(x, w)| x.0[3] * w).sum();
                assert!((sum - y[k].0[3]).abs() < 1e-4);
            }
            add(isa, &x[..outputs], &mut y);
            let mut first = [Lanes::ZERO];
            dots(isa, &weights, stride, &x, &mut first);
            assert_eq!(y[0].0[5], first[0].0[5] + x[0].0[5]);
        }
    }
}
