//! Order-free sums: the same bits in any order, from any number of ranks.
//!
//! Each chunk's gradient is scaled by a power of two that all ranks know, rounded to 64-bit integers
//! and added as integers, which is associative. The scale of a tensor comes from the largest
//! exponent of the step before; a maximum rides along, and when the chunks exceed the scale's headroom, or
//! leave too few of its bits, all ranks do the step's sum again with the scale that this step needs.
//!
//! # References
//! The idea is that of CESM's `shr_reprosum` (Mirin and Worley, *Improving the performance
//! scalability of the community atmosphere model*, IJHPCA 26(1), 2012).

use crate::nn::Span;
use crate::nn::kernels::{Isa, vector};

/// Bits of the largest sum: an i64 has 63 beside its sign, and one is for rounding.
const BITS: i64 = 62;
/// Most fraction bits below a tensor's exponent; with the headroom they stay below the 51 of [`vector::add_rounded`].
const FRACTION: i64 = 42;
/// Most bits by which a chunk may exceed the expected exponent.
const HEADROOM: i64 = 8;
/// A tensor may shrink by this many bits from step to step: what is left of the fraction is a float's mantissa.
const SHRINKAGE: i64 = 18;
/// The exponent of a tensor of zeros.
const ZERO: i64 = -127;

/// The exponent that stands for infinities and NaN: no scale can hold them.
pub const NOT_FINITE: i64 = 129;

/// An order-free sum over a flat vector, with one scale a span.
#[derive(Debug, Clone)]
pub struct OrderFreeSum {
    spans: Vec<Span>,
    /// Fraction bits below a span's exponent, and bits above it.
    fraction: i64,
    headroom: i64,
    /// The scale of each span: values are below 2^scale. NaN before the first step. Floats, because a checkpoint
    /// holds them beside the other vectors: the next step's bits depend on them.
    scales: Vec<f32>,
    /// The integers to be added over ranks.
    pub sum: Vec<i64>,
    /// The largest exponent seen in each span, to be maximized over ranks.
    pub seen: Vec<i64>,
}

/// What the maximum over ranks says about a step's sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// The sum is exact to its scale.
    Good,
    /// A scale was too small, far too large, or not known yet: add the chunks again.
    Again,
    /// A value is infinite or NaN.
    NotFinite,
}

impl OrderFreeSum {
    /// A sum of at most `chunks` vectors with these spans, which cover them.
    ///
    /// Up to 2^12 chunks leave room for all bits; more take them from the headroom, then from the fraction.
    pub fn new(spans: Vec<Span>, chunks: usize) -> Self {
        let len = spans.last().map_or(0, |s| s.end());
        let count = spans.len();
        let room = BITS - i64::from(chunks.next_power_of_two().trailing_zeros());
        let fraction = room.min(FRACTION);
        let headroom = (room - fraction).min(HEADROOM);
        Self { spans, fraction, headroom, scales: vec![f32::NAN; count], sum: vec![0; len], seen: vec![ZERO; count] }
    }

    /// The scales, to save.
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// The scales, to restore.
    pub fn scales_mut(&mut self) -> &mut [f32] {
        &mut self.scales
    }

    /// Empties the sum.
    pub fn clear(&mut self) {
        self.sum.fill(0);
        self.seen.fill(ZERO);
    }

    /// Adds one chunk's vector.
    pub fn add(&mut self, values: &[f32]) {
        for (t, span) in self.spans.iter().enumerate() {
            let values = &values[span.range()];
            self.seen[t] = self.seen[t].max(exponent(values));
            if self.scales[t].is_nan() {
                continue;
            }
            let factor = power_of_two(self.fraction - self.scales[t] as i64);
            vector::add_rounded(Isa::detect(), factor, values, &mut self.sum[span.range()]);
        }
    }

    /// Judges the sum by the maximum of `seen` over all ranks, and takes the scales that a second try needs.
    pub fn judge(&mut self) -> Fit {
        if self.seen.contains(&NOT_FINITE) {
            return Fit::NotFinite;
        }
        let mut fit = Fit::Good;
        let fits = |scale: i64, seen: i64| seen <= scale + self.headroom && (seen >= scale - SHRINKAGE || seen == ZERO);
        for (scale, seen) in self.scales.iter_mut().zip(&self.seen) {
            if scale.is_nan() || !fits(*scale as i64, *seen) {
                *scale = *seen as f32;
                fit = Fit::Again;
            }
        }
        fit
    }

    /// Writes the sum (after it was added over ranks) as floats, and takes the next step's scales.
    pub fn finish(&mut self, values: &mut [f32]) {
        for (t, span) in self.spans.iter().enumerate() {
            debug_assert!(!self.scales[t].is_nan(), "judged good");
            let factor = power_of_two(self.scales[t] as i64 - self.fraction);
            vector::scale_integers(Isa::detect(), factor, &self.sum[span.range()], &mut values[span.range()]);
            // Zeros have any scale: the one before will suit what comes after them.
            if self.seen[t] > ZERO {
                self.scales[t] = self.seen[t] as f32;
            }
        }
    }
}

/// The smallest e with `|v| < 2^e` for all values; [`ZERO`], one too small, when all are subnormal.
fn exponent(values: &[f32]) -> i64 {
    let mut largest = 0;
    vector::largest_magnitude(Isa::detect(), values, &mut largest);
    i64::from(largest >> 23) - 126 - i64::from(largest >> 23 == 0)
}

/// 2^k, exact for every k that occurs.
fn power_of_two(k: i64) -> f64 {
    f64::from_bits(((k + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, shuffle, stream};
    use rand_chacha::rand_core::RngCore;

    fn chunks() -> Vec<Vec<f32>> {
        let mut rng = stream(1, Purpose::Order, 0, 0);
        let mut draw = || (rng.next_u32() as f32 / 2f32.powi(31) - 1.0) * 2f32.powi(rng.next_u32() as i32 % 12);
        (0..60).map(|_| (0..50).map(|_| draw()).collect()).collect()
    }

    /// Sums chunks given in `order`, cut over `ranks`, for two steps; returns the second step's bits.
    fn sum(order: &[usize], ranks: usize) -> Vec<u32> {
        let (chunks, spans) = (chunks(), vec![Span { start: 0, len: 20 }, Span { start: 20, len: 30 }]);
        let mut states = vec![OrderFreeSum::new(spans, 60); ranks];
        let mut values = vec![0.0; 50];
        for step in 0..2 {
            let scale = if step == 0 { 1.0 } else { 2f32.powi(20) };
            let mut tries = 0;
            loop {
                tries += 1;
                for (rank, state) in states.iter_mut().enumerate() {
                    state.clear();
                    for c in order.iter().skip(rank).step_by(ranks) {
                        state.add(&chunks[*c].iter().map(|v| v * scale).collect::<Vec<_>>());
                    }
                }
                let seen: Vec<i64> = (0..2).map(|t| states.iter().map(|s| s.seen[t]).max().unwrap()).collect();
                states.iter_mut().for_each(|s| s.seen.clone_from(&seen));
                if states.iter_mut().map(OrderFreeSum::judge).max_by_key(|f| *f as u8) == Some(Fit::Good) {
                    break;
                }
            }
            assert_eq!(tries, 2, "the first step and a jump of 2^20 are done again once");
            let mut total = vec![0i64; 50];
            for state in &states {
                total.iter_mut().zip(&state.sum).for_each(|(a, b)| *a = a.wrapping_add(*b));
            }
            for state in &mut states {
                state.sum.clone_from(&total);
                state.finish(&mut values);
            }
        }
        values.iter().map(|v| v.to_bits()).collect()
    }

    #[test]
    fn any_order_and_any_number_of_ranks_give_the_correctly_rounded_sum() {
        let mut order: Vec<usize> = (0..60).collect();
        let reference = sum(&order, 1);
        let chunks = chunks();
        for (i, bits) in reference.iter().enumerate() {
            let exact: f64 = chunks.iter().map(|c| f64::from(c[i])).sum::<f64>() * 2f64.powi(20);
            let got = f64::from(f32::from_bits(*bits));
            assert!((got - exact).abs() <= exact.abs() * 1e-7 + 1e-3, "{got} against {exact}");
        }
        for ranks in [1, 2, 3, 5, 20] {
            shuffle(&mut order, &mut stream(9, Purpose::Order, ranks as u64, 0));
            assert_eq!(sum(&order, ranks), reference, "{ranks} ranks");
        }
    }

    #[test]
    fn zeros_and_what_is_not_finite() {
        let spans = vec![Span { start: 0, len: 2 }];
        let mut sum = OrderFreeSum::new(spans, 1);
        for _ in 0..2 {
            sum.clear();
            sum.add(&[0.0, -0.0]);
            sum.judge();
        }
        let mut values = [1.0; 2];
        sum.finish(&mut values);
        assert_eq!(values, [0.0; 2]);
        for bad in [f32::NAN, f32::INFINITY] {
            sum.clear();
            sum.add(&[1.0, bad]);
            assert_eq!(sum.judge(), Fit::NotFinite);
        }
        assert_eq!((exponent(&[1.0]), exponent(&[0.99, -0.5]), exponent(&[f32::MAX])), (1, 0, 128));
    }

    /// Sums `chunks` equal vectors of one element, step by step; returns the sums and the tries of the last step.
    fn steps(values: &[f32], chunks: usize) -> (Vec<f32>, usize) {
        let mut sum = OrderFreeSum::new(vec![Span { start: 0, len: 1 }], chunks);
        let (mut sums, mut tries) = (Vec::new(), 0);
        for value in values {
            tries = 0;
            loop {
                tries += 1;
                sum.clear();
                (0..chunks).for_each(|_| sum.add(&[*value]));
                if sum.judge() == Fit::Good {
                    break;
                }
            }
            let mut total = [0.0];
            sum.finish(&mut total);
            sums.push(total[0]);
        }
        (sums, tries)
    }

    #[test]
    fn no_number_of_chunks_overflows_when_values_grow() {
        for chunks in [1, 4096, 4097, 20_000] {
            let (sums, _) = steps(&[0.99, 253.0], chunks);
            assert_eq!(sums[1], 253.0 * chunks as f32, "{chunks} chunks");
        }
        for (chunks, fraction, headroom) in [(1 << 12, 42, 8), (1 << 20, 42, 0), (1 << 32, 30, 0)] {
            let sum = OrderFreeSum::new(Vec::new(), chunks);
            assert_eq!((sum.fraction, sum.headroom), (fraction, headroom), "{chunks} chunks");
        }
    }

    #[test]
    fn values_that_shrink_keep_their_digits_and_zeros_cost_no_second_try() {
        let third = 2f32.powi(-60) / 3.0;
        assert_eq!(steps(&[1.0, third], 3).0[1], 3.0 * third);
        assert_eq!(steps(&[1.0, 0.0], 3).1, 1, "zeros after numbers");
        assert_eq!(steps(&[1.0, 0.0, 1.0], 3).1, 1, "numbers after zeros");
    }
}
