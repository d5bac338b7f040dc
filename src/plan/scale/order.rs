//! Order statistics: when the k-th of n workers is done whose times follow a law.

use crate::device::{Draw, Law};
use crate::units::Seconds;

/// The mean of the k-th smallest of n exponential times with mean 1.
///
/// # Math
/// H_n − H_{n−k}
pub fn harmonic(n: usize, k: usize) -> f64 {
    (n - k.min(n) + 1..=n).map(|i| 1.0 / i as f64).sum()
}

/// When the k-th of n tasks is done that all begin together, take `work` and a time of this law more.
///
/// # Math
/// exponential m·(H_n − H_{n−k}); Pareto x·Π_{i=n−k+1..n} i/(i − 1/a), infinite where a factor has no mean; a trace: the
/// mean over its distribution, Σ x₍ⱼ₎·(I(j/m) − I((j−1)/m)), I the distribution of the k-th of n uniform numbers.
///
/// # References
/// David and Nagaraja, *Order statistics*, 3rd edition, sections 3.1 and 4.6.
pub fn kth_of(n: usize, k: usize, law: &Law, work: Seconds) -> Seconds {
    let k = k.clamp(1, n.max(1));
    let extra = match law {
        Law::Const(time) => time.0,
        Law::Exp(mean) => mean.0 * harmonic(n, k),
        Law::ShiftedExp { shift, mean } => shift.0 + mean.0 * harmonic(n, k),
        Law::Pareto { scale, shape } => {
            let factor =
                |i: usize| if i as f64 > 1.0 / shape { i as f64 / (i as f64 - 1.0 / shape) } else { f64::INFINITY };
            scale.0 * (n - k + 1..=n).map(factor).product::<f64>()
        }
        Law::Trace(times) => of_trace(n, k, times),
        Law::Times(factor) => (factor - 1.0) * work.0,
        // A law that is not known here takes no time; the table of laws has none.
        #[allow(unreachable_patterns)]
        _ => 0.0,
    };
    Seconds(work.0 + extra)
}

fn of_trace(n: usize, k: usize, times: &[Seconds]) -> f64 {
    let mut sorted: Vec<f64> = times.iter().map(|time| time.0).collect();
    sorted.sort_by(f64::total_cmp);
    let (mut sum, mut before) = (0.0, 0.0);
    for (j, time) in sorted.iter().enumerate() {
        let upto = at_least(n, k, (j + 1) as f64 / sorted.len() as f64);
        sum += time * (upto - before);
        before = upto;
    }
    sum
}

/// The chance that at least k of n are done, each with chance p.
fn at_least(n: usize, k: usize, p: f64) -> f64 {
    if p >= 1.0 {
        return 1.0;
    }
    // Each term out of the one before, as a logarithm: with many workers the first is below what a float holds.
    let mut term = n as f64 * (1.0 - p).ln();
    let mut below = 0.0;
    for done in 0..k {
        below += term.exp();
        term += ((n - done) as f64 / (done + 1) as f64).ln() + (p / (1.0 - p)).ln();
    }
    (1.0 - below).clamp(0.0, 1.0)
}

/// Rounds of a simulation: its mean is within a few percent.
const ROUNDS: u64 = 2000;

/// The same where every worker has an own law: `extra` gives a worker's time for a draw. Simulated, with the same draws
/// every time.
pub fn kth_of_laws(n: usize, k: usize, work: Seconds, extra: &dyn Fn(usize, Draw) -> Seconds) -> Seconds {
    let mut state = 0;
    let mut sum = 0.0;
    let mut times = vec![0.0; n];
    let rounds = (ROUNDS * 64 / n.max(64) as u64).max(50);
    for task in 0..rounds {
        for (worker, time) in times.iter_mut().enumerate() {
            *time = extra(worker, Draw { task, uniform: uniform(&mut state) }).0;
        }
        let (_, kth, _) = times.select_nth_unstable_by(k.clamp(1, n) - 1, f64::total_cmp);
        sum += *kth;
    }
    Seconds(work.0 + sum / rounds as f64)
}

/// The next number of the open interval (0, 1).
///
/// # References
/// Steele, Lea and Flood, *Fast splittable pseudorandom number generators*, OOPSLA 2014.
fn uniform(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (((z ^ (z >> 31)) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64, tolerance: f64) {
        assert!((found / expected - 1.0).abs() <= tolerance, "{found} for {expected}");
    }

    /// The figures of tests/oracles/ksync.json.
    #[test]
    fn known_harmonic_numbers() {
        for (p, k, expected) in [(8, 8, 2.7179), (8, 4, 0.6345), (16, 12, 1.2974), (1, 1, 1.0)] {
            near(kth_of(p, k, &Law::Exp(Seconds(1.0)), Seconds(0.0)).0, expected, 1e-4);
        }
        let shifted = Law::ShiftedExp { shift: Seconds(0.5), mean: Seconds(2.0) };
        near(kth_of(8, 4, &shifted, Seconds(3.0)).0, 3.5 + 2.0 * 0.6345, 1e-4);
        assert_eq!(kth_of(5, 2, &Law::Times(3.0), Seconds(2.0)), Seconds(6.0));
        // The least of n Pareto times is one of shape n·a; of one time it is the mean, which may not exist.
        let pareto = |shape| Law::Pareto { scale: Seconds(2.0), shape };
        near(kth_of(4, 1, &pareto(2.5), Seconds(0.0)).0, 2.0 * 10.0 / 9.0, 1e-12);
        near(kth_of(1, 1, &pareto(2.0), Seconds(0.0)).0, 4.0, 1e-12);
        assert_eq!(kth_of(3, 3, &pareto(0.9), Seconds(0.0)).0, f64::INFINITY);
        assert!(kth_of(3, 1, &pareto(0.9), Seconds(0.0)).0.is_finite());
    }

    #[test]
    fn formulas_are_what_draws_come_to() {
        let trace = Law::Trace([4.0, 1.0, 2.0].map(Seconds).to_vec());
        let laws = [
            Law::Const(Seconds(2.0)),
            Law::Exp(Seconds(1.5)),
            Law::ShiftedExp { shift: Seconds(1.0), mean: Seconds(0.5) },
            Law::Pareto { scale: Seconds(1.0), shape: 3.0 },
        ];
        for (law, n, k) in laws.iter().flat_map(|law| [(law, 8, 1), (law, 8, 6), (law, 3, 3), (law, 1, 1)]) {
            let drawn = kth_of_laws(n, k, Seconds(0.25), &|_, draw| law.extra(Seconds(0.25), draw));
            near(drawn.0, kth_of(n, k, law, Seconds(0.25)).0, 0.05);
        }
        // Of two draws from three values the smaller is 1 in five of nine cases, 2 in three, 4 in one.
        near(kth_of(2, 1, &trace, Seconds(0.0)).0, (5.0 * 1.0 + 3.0 * 2.0 + 4.0) / 9.0, 1e-12);
        near(kth_of(1000, 1000, &trace, Seconds(0.0)).0, 4.0, 1e-9);
    }
}
