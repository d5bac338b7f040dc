//! Optimizers, learning-rate schedules and a sampler. They see flat vectors, and know no network and no rank.
//!
//! Optimizers sorted by how much they remember: [`Sgd`] nothing, [`Momentum`] one vector, [`Adam`] two. The
//! classical sizes of SGD (one sample, mini-batch, full batch) differ in the batch, not here. [`Sampler`] needs no
//! gradient: it tries changes and keeps some.

mod adam;
pub mod metropolis;
mod momentum;
mod schedule;
mod sgd;

pub use adam::Adam;
pub use metropolis::{Metropolis, Sampler};
pub use momentum::Momentum;
pub use schedule::{Schedule, Shape};
pub use sgd::Sgd;

use crate::nn::kernels::vector::DescentStep;
use crate::nn::{Span, Team};

/// Which rule, with its constants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// [`Sgd`].
    Sgd,
    /// [`Momentum`] with its μ.
    Momentum(f64),
    /// [`Adam`].
    Adam,
}

impl Rule {
    /// An optimizer for `len` parameters, with weight decay λ.
    pub fn build(self, len: usize, weight_decay: f64) -> Box<dyn Optimizer> {
        let decay = weight_decay as f32;
        match self {
            Rule::Sgd => Box::new(Sgd::new(decay)),
            Rule::Momentum(mu) => Box::new(Momentum::new(len, mu as f32, decay)),
            Rule::Adam => Box::new(Adam::new(len, decay)),
        }
    }

    /// How many vectors as long as θ it remembers.
    pub fn vectors(self) -> usize {
        match self {
            Rule::Sgd => 0,
            Rule::Momentum(_) => 1,
            Rule::Adam => 2,
        }
    }
}

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Its number since the beginning of training, from 1.
    pub number: u64,
    /// The learning rate.
    pub rate: f64,
    /// What makes the gradient the mean over the samples that it was summed over; 1 when it is that already.
    pub scale: f64,
}

impl Step {
    /// The numbers of a descent with weight decay λ.
    fn descent(self, weight_decay: f32) -> DescentStep {
        let rate = self.rate as f32;
        DescentStep { rate, shrink: 1.0 - rate * weight_decay, scale: self.scale as f32 }
    }
}

/// A rule that moves θ against a gradient.
///
/// Its memory is flat vectors aligned with θ, so that a span of θ carries its state with it.
pub trait Optimizer: Send {
    /// The rule's name.
    fn name(&self) -> &'static str;

    /// Moves θ against the scaled gradient; large vectors are shared out to the team.
    ///
    /// # Panics
    /// If the lengths differ from the one the optimizer was made for.
    fn step(&mut self, step: Step, grad: &[f32], theta: &mut [f32], team: &dyn Team);

    /// The vectors that a checkpoint must hold, by name.
    fn state(&self) -> Vec<(&'static str, &[f32])>;

    /// The same vectors, to restore or to move a span.
    fn state_mut(&mut self) -> Vec<(&'static str, &mut [f32])>;

    /// Forgets what it knows about a span of θ.
    fn reset(&mut self, span: Span) {
        for (_, vector) in self.state_mut() {
            vector[span.range()].fill(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Alone;

    /// ½ Σ cᵢ (θᵢ - i)²: the minimum is known.
    fn descend(optimizer: &mut dyn Optimizer, rate: f64, steps: u64) -> f32 {
        let mut theta = vec![0.0f32; 11];
        let mut grad = theta.clone();
        for number in 1..=steps {
            for (i, g) in grad.iter_mut().enumerate() {
                *g = (1.0 + i as f32 / 5.0) * (theta[i] - i as f32);
            }
            optimizer.step(Step { number, rate, scale: 1.0 }, &grad, &mut theta, &Alone);
        }
        let errors = theta.iter().enumerate().map(|(i, t)| (t - i as f32).abs());
        errors.fold(0.0, f32::max)
    }

    #[test]
    fn every_optimizer_finds_the_minimum_of_a_quadratic() {
        assert!(descend(&mut Sgd::new(0.0), 0.3, 200) < 1e-4);
        assert!(descend(&mut Momentum::new(11, 0.9, 0.0), 0.05, 400) < 1e-3);
        assert!(descend(&mut Adam::new(11, 0.0), 0.1, 2000) < 1e-2);
        // Weight decay pulls the minimum towards zero.
        assert!(descend(&mut Sgd::new(0.1), 0.3, 200) > 0.1);
    }

    #[test]
    fn a_reset_span_behaves_as_new_and_the_rest_goes_on() {
        let grad = [1.0f32; 4];
        let step = |number| Step { number, rate: 0.1, scale: 1.0 };
        let mut optimizer = Momentum::new(4, 0.5, 0.0);
        let mut theta = [0.0f32; 4];
        optimizer.step(step(1), &grad, &mut theta, &Alone);
        optimizer.reset(Span { start: 2, len: 2 });
        optimizer.step(step(2), &grad, &mut theta, &Alone);
        assert_eq!(optimizer.state()[0].1, [1.5, 1.5, 1.0, 1.0]);
    }

    /// The same with the team's tasks in reverse order.
    struct Backwards;

    impl Team for Backwards {
        fn size(&self) -> usize {
            1
        }

        fn run(&self, tasks: usize, work: &(dyn Fn(usize) + Sync)) {
            (0..tasks).rev().for_each(work);
        }
    }

    #[test]
    fn a_sum_with_its_scale_is_a_mean_and_the_team_does_not_matter() {
        const LEN: usize = 100_003;
        let mean: Vec<f32> = (0..LEN).map(|i| (i as f32 * 0.37).sin()).collect();
        let sum: Vec<f32> = mean.iter().map(|g| 8.0 * g).collect();
        for rule in [Rule::Sgd, Rule::Momentum(0.9), Rule::Adam] {
            let run = |grad: &[f32], scale: f64, team: &dyn Team| {
                let mut optimizer = rule.build(LEN, 0.01);
                let mut theta: Vec<f32> = (0..LEN).map(|i| (i as f32 * 0.11).cos()).collect();
                for number in 1..=3 {
                    optimizer.step(Step { number, rate: 0.1, scale }, grad, &mut theta, team);
                }
                theta
            };
            let expected = run(&mean, 1.0, &Alone);
            assert_eq!(run(&sum, 0.125, &Alone), expected, "{rule:?}");
            assert_eq!(run(&sum, 0.125, &Backwards), expected, "{rule:?}");
        }
    }
}
