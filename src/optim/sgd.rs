//! Stochastic gradient descent.

use super::{Optimizer, Step};
use crate::nn::Team;
use crate::nn::kernels::{Isa, vector};

/// `θ ← θ - η (g + λ θ)`.
///
/// # References
/// Robbins and Monro, *A stochastic approximation method*, Ann. Math. Stat. 22(3), 1951.
#[derive(Debug, Clone)]
pub struct Sgd {
    weight_decay: f32,
}

impl Sgd {
    /// With weight decay λ.
    pub fn new(weight_decay: f32) -> Self {
        Self { weight_decay }
    }
}

impl Optimizer for Sgd {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn step(&mut self, step: Step, grad: &[f32], theta: &mut [f32], team: &dyn Team) {
        assert_eq!(grad.len(), theta.len());
        vector::sgd(team, Isa::detect(), step.descent(self.weight_decay), grad, theta);
    }

    fn state(&self) -> Vec<(&'static str, &[f32])> {
        Vec::new()
    }

    fn state_mut(&mut self) -> Vec<(&'static str, &mut [f32])> {
        Vec::new()
    }
}
