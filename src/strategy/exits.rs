//! Early exits: when an exit head is sure enough, a sample goes no further.
//!
//! # References
//! Teerapittayanon, McDanel and Kung, *BranchyNet: fast inference via early exiting from deep neural networks*, ICPR 2016
//! (entropy); Huang et al., *Multi-scale dense networks for resource efficient image classification*, ICLR 2018 (confidence).

use crate::event::SweepRow;
use crate::nn::{Loss, argmax};

/// What a threshold is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sureness {
    /// A sample leaves where its largest probability is at least the threshold.
    Confidence,
    /// A sample leaves where the entropy of its probabilities, over ln K, is at most the threshold.
    Entropy,
}

/// The rule by which samples leave early.
#[derive(Debug, Clone, PartialEq)]
pub struct Exits {
    /// What is compared.
    pub sureness: Sureness,
    /// One threshold for every stage, or one a stage but the last.
    pub thresholds: Vec<f64>,
}

impl Exits {
    /// Whether a sample with this answer leaves at this stage.
    pub fn lets_go(&self, stage: usize, answer: &Answer) -> bool {
        let threshold = self.thresholds[stage.min(self.thresholds.len() - 1)];
        self.sureness.lets_go(threshold, answer)
    }

    /// The head at which a sample leaves that all heads, one or more, have answered: the first that lets it go, else the
    /// last.
    pub fn head(&self, answers: &[Answer]) -> usize {
        first(answers.len(), |head| self.lets_go(head, &answers[head]))
    }
}

/// The first head that lets go, else the last.
fn first(heads: usize, lets_go: impl Fn(usize) -> bool) -> usize {
    let last = heads - 1;
    (0..last).find(|head| lets_go(*head)).unwrap_or(last)
}

impl Sureness {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Confidence => "confidence",
            Self::Entropy => "entropy",
        }
    }

    /// The thresholds that a sweep looks at.
    pub fn thresholds(self) -> &'static [f64] {
        match self {
            Self::Confidence => &[0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0],
            Self::Entropy => &[0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8],
        }
    }

    /// Whether an answer is sure enough.
    pub fn lets_go(self, threshold: f64, answer: &Answer) -> bool {
        match self {
            Self::Confidence => f64::from(answer.confidence) >= threshold,
            Self::Entropy => f64::from(answer.entropy) <= threshold,
        }
    }
}

/// What an exit head says about a sample.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Answer {
    /// The largest probability.
    pub confidence: f32,
    /// The entropy of the probabilities over ln K, from 0 to 1.
    pub entropy: f32,
    /// 1 where the largest probability is the label's, else 0.
    pub right: u32,
}

/// The answer that these outputs of a head give, which was trained with this loss.
pub fn answer(loss: Loss, outputs: &[f32], label: u32) -> Answer {
    let best = argmax(outputs);
    let probabilities = loss.probabilities(outputs);
    let entropy: f64 = probabilities.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum();
    let most = (outputs.len() as f64).ln().max(f64::MIN_POSITIVE);
    Answer {
        confidence: probabilities[best] as f32,
        entropy: (entropy / most) as f32,
        right: u32::from(best == label as usize),
    }
}

/// What it costs a sample to have come to a stage's head, through an empty chain. Modelled.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Way {
    /// Seconds from the first stage's beginning to this stage's answer.
    pub latency_s: f64,
    /// Joules of computing, sending and receiving on all stages up to this one.
    pub energy_j: f64,
}

/// What thresholds would do, from every stage's answer to every sample, `[S][N]`.
///
/// # Panics
/// If the stages saw different numbers of samples.
pub fn sweep(answers: &[&[Answer]], sureness: Sureness, thresholds: &[f64], ways: Option<&[Way]>) -> Vec<SweepRow> {
    let samples = answers.first().map_or(0, |stage| stage.len());
    assert!(answers.iter().all(|stage| stage.len() == samples), "every stage saw every sample");
    let row = |threshold: f64| {
        let (mut counts, mut right) = (vec![0u64; answers.len()], 0u64);
        for i in 0..samples {
            let at = first(answers.len(), |s| sureness.lets_go(threshold, &answers[s][i]));
            counts[at] += 1;
            right += u64::from(answers[at][i].right);
        }
        let share = |count: u64| count as f64 / samples.max(1) as f64;
        let exit_shares: Vec<f64> = counts.iter().map(|count| share(*count)).collect();
        let expected = |of: fn(&Way) -> f64| {
            ways.map(|ways| exit_shares.iter().zip(ways).map(|(share, way)| share * of(way)).sum())
        };
        SweepRow {
            threshold,
            accuracy: share(right),
            latency_s: expected(|way| way.latency_s),
            energy_j: expected(|way| way.energy_j),
            exit_shares,
        }
    };
    thresholds.iter().map(|threshold| row(*threshold)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_sure_of_what_is_likely() {
        let even = answer(Loss::CrossEntropy, &[1.0, 1.0, 1.0, 1.0], 0);
        assert!((even.confidence - 0.25).abs() < 1e-7 && (even.entropy - 1.0).abs() < 1e-7 && even.right == 1);
        let sure = answer(Loss::CrossEntropy, &[-1e4, 1e4, 0.0], 0);
        assert_eq!(sure, Answer { confidence: 1.0, entropy: 0.0, right: 0 });
        let one_hot = answer(Loss::L2, &[0.0, 1.0, -0.2], 1);
        assert_eq!(one_hot, Answer { confidence: 1.0, entropy: 0.0, right: 1 });
    }

    /// Three stages, four samples. At 0.8 the first sample leaves at stage 0, the second at 1, the others at the end:
    /// shares 1/4, 1/4, 1/2; E[T] = 1/4·1 + 1/4·3 + 1/2·7 = 4.5 s.
    #[test]
    fn a_sweep_by_hand() {
        let at = |confidence, right| Answer { confidence, entropy: 1.0 - confidence, right };
        let first = [at(0.9, 1), at(0.5, 0), at(0.1, 1), at(0.2, 0)];
        let second = [at(0.1, 0), at(0.8, 0), at(0.7, 1), at(0.3, 0)];
        let third = [at(0.1, 0), at(0.1, 1), at(0.1, 1), at(0.1, 0)];
        let answers = [&first[..], &second, &third];
        let ways = [1.0, 3.0, 7.0].map(|s| Way { latency_s: s, energy_j: 2.0 * s });
        let rows = sweep(&answers, Sureness::Confidence, &[0.8, 0.0, 1.0], Some(&ways));
        assert_eq!(rows[0].exit_shares, [0.25, 0.25, 0.5]);
        assert_eq!((rows[0].accuracy, rows[0].latency_s, rows[0].energy_j), (0.5, Some(4.5), Some(9.0)));
        assert_eq!(rows[1].exit_shares, [1.0, 0.0, 0.0]);
        assert_eq!((rows[2].exit_shares.as_slice(), rows[2].latency_s), (&[0.0, 0.0, 1.0][..], Some(7.0)));
        let by_entropy = sweep(&answers, Sureness::Entropy, &[0.201], None);
        assert_eq!((by_entropy[0].exit_shares.as_slice(), by_entropy[0].latency_s), (&[0.25, 0.25, 0.5][..], None));
    }

    #[test]
    fn thresholds_may_differ_by_stage() {
        let exits = Exits { sureness: Sureness::Confidence, thresholds: vec![0.9, 0.4] };
        let answer = Answer { confidence: 0.5, entropy: 0.0, right: 1 };
        assert_eq!([0, 1, 2].map(|stage| exits.lets_go(stage, &answer)), [false, true, true]);
        assert_eq!([1, 2, 3].map(|heads| exits.head(&vec![answer; heads])), [0, 1, 1]);
    }

    #[test]
    fn a_sweep_looks_at_thresholds_in_order_from_0_to_1() {
        for sureness in [Sureness::Confidence, Sureness::Entropy] {
            let thresholds = sureness.thresholds();
            assert!(thresholds.is_sorted_by(|a, b| a < b) && thresholds.iter().all(|t| (0.0..=1.0).contains(t)));
        }
    }
}
