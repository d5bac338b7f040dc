//! Which samples each part of a training set holds for good, where parts are not alike.
//!
//! Devices see different worlds: one mostly this class, another mostly that. The usual model of it is a Dirichlet law,
//! whose concentration says how different they are.

use crate::rng::{Purpose, shuffle, stream, unit};
use rand_chacha::ChaCha8Rng;

/// Deals the samples with these labels to `parts` parts, so that each class falls to the parts by shares of its own.
/// Every sample goes to exactly one part; the samples of each part are ascending.
///
/// The same for the same arguments, on however many ranks. A part that would get nothing takes a sample from the
/// largest, as long as there are as many samples as parts.
///
/// # Math
/// For each class k: (s₁, …, s_N) ~ Dir(α·1), and part i gets the share sᵢ of the class's samples, rounded. α → ∞ gives
/// each part the same share of every class; α → 0 gives each class to one part.
///
/// # Panics
/// If there is no part, a label is not below `classes`, `alpha` is not above 0, or there are 2^32 samples or more.
///
/// # References
/// Yurochkin et al., *Bayesian nonparametric federated learning of neural networks*, ICML 2019, arXiv:1905.12022; the
/// law over the classes of a part instead of the parts of a class: Hsu, Qi, Brown, *Measuring the effects of
/// non-identical data distribution for federated visual classification*, 2019, arXiv:1909.06335.
pub fn dirichlet(labels: &[u32], classes: usize, parts: usize, alpha: f64, seed: u64) -> Vec<Vec<u32>> {
    assert!(parts > 0 && alpha > 0.0, "{parts} parts, alpha {alpha}");
    let mut members = vec![Vec::new(); classes];
    for (sample, label) in labels.iter().enumerate() {
        members[*label as usize].push(u32::try_from(sample).expect("fewer than 2^32 samples"));
    }
    let mut shards = vec![Vec::new(); parts];
    for (class, mut members) in members.into_iter().enumerate() {
        let mut rng = stream(seed, Purpose::NonIid, 0, class as u64);
        let shares = shares(parts, alpha, &mut rng);
        shuffle(&mut members, &mut rng);
        let (mut start, mut share) = (0, 0.0);
        for (part, of_part) in shares.into_iter().enumerate() {
            share += of_part;
            let end = match part + 1 == parts {
                true => members.len(),
                false => ((share * members.len() as f64).round() as usize).clamp(start, members.len()),
            };
            shards[part].extend_from_slice(&members[start..end]);
            start = end;
        }
    }
    fill_empty(&mut shards);
    shards.iter_mut().for_each(|shard| shard.sort_unstable());
    shards
}

/// One draw of Dir(α·1).
///
/// The logarithms of the Gamma variables are compared, since for a small α the variables themselves are all zero.
fn shares(parts: usize, alpha: f64, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let logs: Vec<f64> = (0..parts).map(|_| log_gamma_variate(alpha, rng)).collect();
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logs.iter().map(|log| (log - most).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// The logarithm of a draw of Gamma(α, 1).
///
/// # Math
/// G(α) = G(α + 1)·U^(1/α) for α < 1; above, d·v with d = α − 1/3, v = (1 + x/√(9d))³ and x standard normal, taken when
/// ln U < x²/2 + d − d·v + d·ln v.
///
/// # References
/// Marsaglia and Tsang, *A simple method for generating gamma variables*, ACM TOMS 26, 2000.
fn log_gamma_variate(alpha: f64, rng: &mut ChaCha8Rng) -> f64 {
    if alpha < 1.0 {
        return unit(rng).ln() / alpha + log_gamma_variate(alpha + 1.0, rng);
    }
    let d = alpha - 1.0 / 3.0;
    loop {
        let x = normal(rng);
        let root = 1.0 + x / (9.0 * d).sqrt();
        let u = unit(rng);
        if root <= 0.0 {
            continue;
        }
        let log_v = 3.0 * root.ln();
        if u.ln() < 0.5 * x * x + d - d * root.powi(3) + d * log_v {
            return d.ln() + log_v;
        }
    }
}

/// A standard normal number, by Box and Muller.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * unit(rng).ln()).sqrt();
    radius * (std::f64::consts::TAU * unit(rng)).cos()
}

/// Gives each empty part a sample of the largest, the first of those that are as large.
fn fill_empty(shards: &mut [Vec<u32>]) {
    while let Some(empty) = shards.iter().position(Vec::is_empty) {
        let largest = (0..shards.len()).rev().max_by_key(|part| shards[*part].len()).unwrap_or(0);
        if shards[largest].len() < 2 {
            return;
        }
        let sample = shards[largest].pop().expect("it has two");
        shards[empty].push(sample);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `each` samples of each class, one class after the other.
    fn labels(classes: u32, each: usize) -> Vec<u32> {
        (0..classes).flat_map(|class| vec![class; each]).collect()
    }

    /// Samples of each class in a part.
    fn counts(shard: &[u32], labels: &[u32], classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        shard.iter().for_each(|sample| counts[labels[*sample as usize] as usize] += 1);
        counts
    }

    /// Entropy of the classes in a part, 0 to 1, mean over seeds and parts.
    fn entropy(alpha: f64) -> f64 {
        let labels = labels(10, 100);
        let (mut sum, mut parts) = (0.0, 0.0);
        for seed in 0..20 {
            for shard in dirichlet(&labels, 10, 5, alpha, seed) {
                let size = shard.len() as f64;
                let shares = counts(&shard, &labels, 10).into_iter().filter(|n| *n > 0).map(|n| n as f64 / size);
                sum -= shares.map(|share| share * share.ln()).sum::<f64>() / 10f64.ln();
                parts += 1.0;
            }
        }
        sum / parts
    }

    #[test]
    fn a_large_alpha_gives_every_part_its_share_of_every_class() {
        let labels = labels(4, 300);
        for shard in dirichlet(&labels, 4, 6, 1e6, 1) {
            for count in counts(&shard, &labels, 4) {
                assert!((48..=52).contains(&count), "{count} of 300 samples in one of 6 parts");
            }
        }
    }

    #[test]
    fn a_small_alpha_gives_a_class_to_one_part() {
        let labels = labels(10, 50);
        let shards = dirichlet(&labels, 10, 4, 1e-3, 3);
        for class in 0..10 {
            let most = shards.iter().map(|shard| counts(shard, &labels, 10)[class]).max();
            assert!(most >= Some(48), "class {class}: {most:?} of 50");
        }
        let [concentrated, middle, even] = [0.05, 1.0, 100.0].map(entropy);
        assert!(concentrated < 0.6 && middle > concentrated + 0.1 && even > middle, "{concentrated} {middle} {even}");
        assert!(even > 0.99, "{even}");
    }

    /// Mean α and variance α of Gamma(α, 1), each within four standard errors.
    #[test]
    fn gamma_variables_have_their_mean_and_variance() {
        const N: usize = 20_000;
        for alpha in [0.3, 1.0, 2.5, 40.0] {
            let mut rng = stream(7, Purpose::NonIid, 0, 0);
            let draws: Vec<f64> = (0..N).map(|_| log_gamma_variate(alpha, &mut rng).exp()).collect();
            let mean = draws.iter().sum::<f64>() / N as f64;
            let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / N as f64;
            assert!((mean - alpha).abs() < 4.0 * (alpha / N as f64).sqrt(), "{alpha}: mean {mean}");
            // Var(s²) = (μ₄ − σ⁴)/N, μ₄ = 3α² + 6α.
            let error = 4.0 * ((2.0 * alpha * alpha + 6.0 * alpha) / N as f64).sqrt();
            assert!((variance - alpha).abs() < error, "{alpha}: variance {variance}");
        }
    }

    #[test]
    fn another_seed_deals_otherwise_and_the_same_one_alike() {
        let labels = labels(3, 40);
        let deal = |seed| dirichlet(&labels, 3, 3, 0.5, seed);
        assert_eq!(deal(1), deal(1));
        assert_ne!(deal(1), deal(2));
    }

    #[test]
    fn as_many_samples_as_parts_give_each_one() {
        for (samples, filled) in [(5, 5), (3, 3), (0, 0)] {
            let shards = dirichlet(&vec![0; samples], 1, 5, 1e-3, 1);
            assert_eq!(shards.iter().filter(|shard| !shard.is_empty()).count(), filled, "{shards:?}");
        }
    }

    proptest! {
        #[test]
        fn every_sample_is_in_one_part(labels in prop::collection::vec(0u32..7, 0..200), parts in 1usize..20,
            exponent in -6.0f64..6.0, seed: u64) {
            let shards = dirichlet(&labels, 7, parts, 10f64.powf(exponent), seed);
            prop_assert_eq!(shards.len(), parts);
            prop_assert!(shards.iter().all(|shard| shard.is_sorted_by(|a, b| a < b)));
            prop_assert!(labels.len() < parts || shards.iter().all(|shard| !shard.is_empty()));
            let mut all: Vec<u32> = shards.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..labels.len() as u32).collect::<Vec<_>>());
        }
    }
}
