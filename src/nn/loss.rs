//! Losses, summed over the samples; whoever knows how many samples there were divides.

use super::kernels::math::exp;
use ndarray::{ArrayView2, ArrayViewMut2};
use serde::{Deserialize, Serialize};

/// What is minimized at an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// `-ln softmax(o)[label]` of logits `o`.
    CrossEntropy,
    /// `½ Σ (y - o)²` against the one-hot label `y`.
    L2,
}

/// Sums over the samples of a pass.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tally {
    /// Sum of the losses.
    pub loss: f64,
    /// How many samples had their label at the largest output.
    pub correct: u64,
    /// How many samples.
    pub samples: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.loss += other.loss;
        self.correct += other.correct;
        self.samples += other.samples;
    }
}

impl Tally {
    /// Mean loss, absent without samples.
    pub fn mean_loss(&self) -> Option<f64> {
        (self.samples > 0).then(|| self.loss / self.samples as f64)
    }

    /// Share of right answers, absent without samples.
    pub fn accuracy(&self) -> Option<f64> {
        (self.samples > 0).then(|| self.correct as f64 / self.samples as f64)
    }
}

impl Loss {
    /// Sums the loss over a batch and, when `gradient` is there, writes `∂(Σ loss)/∂o` into it.
    ///
    /// # Shapes
    /// `outputs`, `gradient`: `[B, K]`; `labels`: `[B]`, each below K.
    ///
    /// # Panics
    /// If the shapes differ or a label is no class.
    pub fn evaluate(self, outputs: ArrayView2<f32>, labels: &[u32], mut gradient: Option<ArrayViewMut2<f32>>) -> Tally {
        assert_eq!(outputs.nrows(), labels.len(), "one label a row");
        let mut tally = Tally::default();
        for (b, label) in labels.iter().enumerate() {
            let row = outputs.row(b).to_slice().expect("rows are contiguous");
            let label = *label as usize;
            assert!(label < row.len(), "class {label} of {}", row.len());
            let mut gradient_row = gradient.as_mut().map(|g| g.row_mut(b));
            let d = gradient_row.as_mut().map(|g| g.as_slice_mut().expect("rows are contiguous"));
            let loss = match self {
                Loss::CrossEntropy => cross_entropy(row, label, d),
                Loss::L2 => l2(row, label, d),
            };
            tally.loss += f64::from(loss);
            tally.correct += u64::from(argmax(row) == label);
            tally.samples += 1;
        }
        tally
    }
}

impl Loss {
    /// What outputs trained with this loss say of the classes, summing up to 1.
    ///
    /// # Math
    /// Cross-entropy: softmax. L2: pₖ = max(oₖ, 0) / Σ max(oⱼ, 0), an order of the classes rather than a calibrated
    /// probability; where all are 0, each of the K classes has 1 / K.
    pub fn probabilities(self, outputs: &[f32]) -> Vec<f64> {
        let best = f64::from(outputs[argmax(outputs)]);
        let weight = |&output: &f32| match self {
            Loss::CrossEntropy => (f64::from(output) - best).exp(),
            Loss::L2 => f64::from(output).max(0.0),
        };
        let weights: Vec<f64> = outputs.iter().map(weight).collect();
        let sum: f64 = weights.iter().sum();
        let share = |weight: &f64| if sum > 0.0 { weight / sum } else { 1.0 / outputs.len() as f64 };
        weights.iter().map(share).collect()
    }
}

/// The index of the largest value, the first on ties.
pub fn argmax(row: &[f32]) -> usize {
    let mut best = 0;
    for (k, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = k;
        }
    }
    best
}

fn cross_entropy(logits: &[f32], label: usize, gradient: Option<&mut [f32]>) -> f32 {
    let max = logits[argmax(logits)];
    match gradient {
        Some(d) => {
            let mut sum = 0.0;
            for (d, o) in d.iter_mut().zip(logits) {
                *d = exp(*o - max);
                sum += *d;
            }
            d.iter_mut().for_each(|d| *d /= sum);
            d[label] -= 1.0;
            sum.ln() + (max - logits[label])
        }
        // In this order: large logits would absorb the logarithm.
        None => logits.iter().map(|o| exp(*o - max)).sum::<f32>().ln() + (max - logits[label]),
    }
}

fn l2(outputs: &[f32], label: usize, gradient: Option<&mut [f32]>) -> f32 {
    let error = |k: usize| outputs[k] - f32::from(u8::from(k == label));
    if let Some(d) = gradient {
        for (k, d) in d.iter_mut().enumerate() {
            *d = error(k);
        }
    }
    (0..outputs.len()).map(|k| 0.5 * error(k) * error(k)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    #[test]
    fn values_and_gradients_are_the_textbook_ones() {
        let outputs = array![[1.0_f32, 2.0, 0.5], [0.0, 0.0, 0.0]];
        let mut gradient = Array2::zeros((2, 3));
        let tally = Loss::CrossEntropy.evaluate(outputs.view(), &[1, 2], Some(gradient.view_mut()));
        let sum = 1f64.exp() + 2f64.exp() + 0.5f64.exp();
        assert!((tally.loss - (sum.ln() - 2.0 + 3f64.ln())).abs() < 1e-6);
        assert_eq!((tally.correct, tally.samples), (1, 2));
        assert!((f64::from(gradient[[0, 0]]) - 1f64.exp() / sum).abs() < 1e-6);
        assert!((gradient[[1, 2]] + 2.0 / 3.0).abs() < 1e-6);

        let tally = Loss::L2.evaluate(outputs.view(), &[1, 2], Some(gradient.view_mut()));
        assert!((tally.loss - (0.5 * (1.0 + 1.0 + 0.25) + 0.5)).abs() < 1e-6);
        assert_eq!(gradient, array![[1.0, 1.0, 0.5], [0.0, 0.0, -1.0]]);
    }

    #[test]
    fn huge_logits_do_not_overflow_and_nan_shows_in_the_loss() {
        let huge = array![[1e30_f32, -1e30]];
        assert_eq!(Loss::CrossEntropy.evaluate(huge.view(), &[0], None).loss, 0.0);
        let equal = array![[1e9_f32; 3]];
        let mut gradient = Array2::zeros((1, 3));
        for gradient in [None, Some(gradient.view_mut())] {
            let loss = Loss::CrossEntropy.evaluate(equal.view(), &[1], gradient).loss;
            assert!((loss - 3f64.ln()).abs() < 1e-6, "{loss}");
        }
        let nan = array![[f32::NAN, 0.0]];
        assert!(Loss::CrossEntropy.evaluate(nan.view(), &[0], None).loss.is_nan());
    }
}
