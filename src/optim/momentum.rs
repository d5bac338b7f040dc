//! Gradient descent with momentum, in PyTorch's form.

use super::{Optimizer, Step};
use crate::nn::Team;
use crate::nn::kernels::{Isa, vector};

/// `v ← μ v + g`, `θ ← θ - η v`, with decoupled weight decay.
///
/// # References
/// Polyak, *Some methods of speeding up the convergence of iteration methods*, 1964;
/// Sutskever et al., *On the importance of initialization and momentum in deep learning*, ICML 2013.
#[derive(Debug, Clone)]
pub struct Momentum {
    mu: f32,
    weight_decay: f32,
    velocity: Vec<f32>,
}

impl Momentum {
    /// For `len` parameters, with momentum μ and weight decay λ.
    pub fn new(len: usize, mu: f32, weight_decay: f32) -> Self {
        Self { mu, weight_decay, velocity: vec![0.0; len] }
    }
}

impl Optimizer for Momentum {
    fn name(&self) -> &'static str {
        "momentum"
    }

    fn step(&mut self, step: Step, grad: &[f32], theta: &mut [f32], team: &dyn Team) {
        assert_eq!((grad.len(), theta.len()), (self.velocity.len(), self.velocity.len()));
        let numbers = step.descent(self.weight_decay);
        vector::momentum(team, Isa::detect(), numbers, self.mu, grad, &mut self.velocity, theta);
    }

    fn state(&self) -> Vec<(&'static str, &[f32])> {
        vec![("velocity", &self.velocity)]
    }

    fn state_mut(&mut self) -> Vec<(&'static str, &mut [f32])> {
        vec![("velocity", &mut self.velocity)]
    }
}
