//! What a sampler sees of a network: a function of θ.

use super::{Context, Phase, Program, Tally, Workspace};
use ndarray::ArrayView2;

/// A function of θ to minimize.
///
/// A sampler changes few elements of θ at a time; an objective that can update its value from the
/// changes alone overrides the last three methods, whose defaults recompute.
pub trait Objective {
    /// Number of parameters.
    fn len(&self) -> usize;

    /// Whether there are no parameters.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value at θ, which becomes the kept one.
    fn loss(&mut self, theta: &[f32]) -> f64;

    /// The value at a θ that differs from the kept one only at `changed`.
    fn loss_if(&mut self, theta: &[f32], _changed: &[usize]) -> f64 {
        self.loss(theta)
    }

    /// The θ of the last [`Objective::loss_if`] becomes the kept one.
    fn keep(&mut self) {}

    /// The θ of the last [`Objective::loss_if`] is forgotten.
    fn undo(&mut self) {}
}

/// The mean loss of a program over one batch.
pub struct BatchObjective<'a> {
    program: &'a Program,
    workspace: Workspace,
    samples: Vec<u32>,
    phase: Phase,
    sigma: Vec<f32>,
    labels: &'a [u32],
}

impl<'a> BatchObjective<'a> {
    /// An objective over the rows of `features`, `[B, D]`, with their labels.
    pub fn new(program: &'a Program, features: ArrayView2<f32>, labels: &'a [u32]) -> Self {
        let batch = features.nrows();
        let mut workspace = program.workspace(batch);
        workspace.assign(0, features);
        let sigma = program.network().initial_sigma();
        Self { program, workspace, samples: (0..batch as u32).collect(), phase: Phase::Eval, sigma, labels }
    }

    /// The same in another phase; in training, layers draw as they do for seed 0 and epoch 0.
    pub fn in_phase(mut self, phase: Phase) -> Self {
        self.phase = phase;
        self
    }

    /// The value at θ; writes the gradient.
    pub fn loss_and_grad(&mut self, theta: &[f32], grad: &mut [f32]) -> f64 {
        let context = Context { phase: self.phase, ..Context::eval(&self.samples, &self.sigma) };
        let tally = self.program.loss_and_grad(&context, theta, &mut self.workspace, self.labels, grad);
        let scale = 1.0 / tally.samples.max(1) as f32;
        grad.iter_mut().for_each(|g| *g *= scale);
        tally.mean_loss().unwrap_or(0.0)
    }

    /// Sums of the loss and of right answers at θ.
    pub fn tally(&mut self, theta: &[f32]) -> Tally {
        let context = Context { phase: self.phase, ..Context::eval(&self.samples, &self.sigma) };
        self.program.loss(&context, theta, &mut self.workspace, self.labels)
    }
}

impl Objective for BatchObjective<'_> {
    fn len(&self) -> usize {
        self.program.theta_len()
    }

    fn loss(&mut self, theta: &[f32]) -> f64 {
        self.tally(theta).mean_loss().unwrap_or(0.0)
    }
}
