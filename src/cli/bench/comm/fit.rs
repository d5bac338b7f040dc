//! The three constants of a network from what was measured on it.

use crate::device::{AllReduce, Wire};
use crate::units::{Bytes, Seconds};

/// Vectors from this size on say something about additions: below it latency hides them.
const LARGE: f64 = 32768.0;

/// α and β of messages, given as bytes and seconds, and γ of sums over the ranks.
///
/// # Math
/// α and β make Σ (1 − (α + βn)/t)² least: the relative error counts, or the longest message would decide alone. Neither
/// is below 0. γ is the median of those with which the fastest formula gives what each large sum took.
///
/// # References
/// Hockney, *The communication challenge for MPP*, Parallel Computing 20(3), 1994.
pub(super) fn fit(messages: &[(f64, f64)], sums: &[(f64, f64)], ranks: usize) -> Wire {
    let (alpha, beta) = line(messages);
    let wire = Wire { alpha: Seconds(alpha), beta, gamma: 0.0 };
    // The fastest way takes what was measured at the largest of the γ at which each way alone would.
    let needed = |&(bytes, seconds): &(f64, f64)| {
        let counts = AllReduce::OF_LIBRARIES.map(|how| how.counts(ranks, Bytes(bytes as u64)));
        counts.into_iter().map(|counts| (seconds - wire.seconds(counts).0) / counts.added).fold(f64::MIN, f64::max)
    };
    let left = sums.iter().filter(|(bytes, _)| *bytes >= LARGE).map(needed);
    Wire { gamma: median(left.collect()).unwrap_or(0.0).max(0.0), ..wire }
}

fn line(points: &[(f64, f64)]) -> (f64, f64) {
    let sum = |of: &dyn Fn(f64, f64) -> f64| points.iter().map(|&(n, t)| of(1.0 / t, n / t)).sum::<f64>();
    let (xx, xy, yy) = (sum(&|x, _| x * x), sum(&|x, y| x * y), sum(&|_, y| y * y));
    let (x, y) = (sum(&|x, _| x), sum(&|_, y| y));
    let determinant = xx * yy - xy * xy;
    let (alpha, beta) = ((x * yy - y * xy) / determinant, (xx * y - xy * x) / determinant);
    match alpha >= 0.0 && beta >= 0.0 {
        true => (alpha, beta),
        // The other one alone.
        false if alpha < 0.0 => (0.0, y / yy),
        false => (if xx > 0.0 { x / xx } else { 0.0 }, 0.0),
    }
}

/// How far a message is from the line, relative to it; the median.
pub(super) fn error(wire: Wire, messages: &[(f64, f64)]) -> f64 {
    let off = |&(bytes, seconds): &(f64, f64)| (wire.send(Bytes(bytes as u64)).0 / seconds - 1.0).abs();
    median(messages.iter().map(off).collect()).unwrap_or(0.0)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [f64; 5] = [8.0, 512.0, 32768.0, 524288.0, 8388608.0];

    #[test]
    fn constants_are_found_again() {
        for (wire, ranks) in [
            (Wire { alpha: Seconds(2e-6), beta: 1e-9, gamma: 0.3e-9 }, 2),
            (Wire { alpha: Seconds(5e-5), beta: 8.5e-9, gamma: 0.0 }, 6),
        ] {
            let messages = SIZES.map(|bytes| (bytes, wire.send(Bytes(bytes as u64)).0));
            let sums = SIZES.map(|bytes| (bytes, wire.fastest_all_reduce(ranks, Bytes(bytes as u64)).1.0));
            let found = fit(&messages, &sums, ranks);
            let near = |a: f64, b: f64| (a - b).abs() <= 1e-6 * b + 1e-15;
            assert!(near(found.alpha.0, wire.alpha.0) && near(found.beta, wire.beta), "{found:?}");
            assert!(near(found.gamma, wire.gamma), "{found:?}");
            assert!(error(found, &messages) < 1e-6);
        }
    }

    #[test]
    fn no_constant_is_below_zero_or_no_number() {
        // Faster than its latency, slower the shorter, one point, none.
        for messages in [&[(8.0, 1e-8), (1e6, 1e-3)][..], &[(8.0, 2e-3), (1e6, 1e-3)], &[(8.0, 1e-6)], &[]] {
            let Wire { alpha, beta, gamma } = fit(messages, &[(1e6, 1e-9)], 2);
            let good = |value: f64| value.is_finite() && value >= 0.0;
            assert!(good(alpha.0) && good(beta) && good(gamma), "{messages:?}: {alpha} {beta}");
        }
    }
}
