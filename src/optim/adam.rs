//! Adam.

use super::{Optimizer, Step};
use crate::nn::Team;
use crate::nn::kernels::vector::AdamStep;
use crate::nn::kernels::{Isa, vector};

const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// Adaptive moments, with decoupled weight decay.
///
/// # Math
/// ```text
/// m ← β₁ m + (1 - β₁) g      v ← β₂ v + (1 - β₂) g²
/// θ ← (1 - η λ) θ - η (m / (1 - β₁ᵗ)) / (√(v / (1 - β₂ᵗ)) + ε)
/// ```
/// # References
/// Kingma and Ba, *Adam: a method for stochastic optimization*, ICLR 2015;
/// Loshchilov and Hutter, *Decoupled weight decay regularization*, ICLR 2019.
#[derive(Debug, Clone)]
pub struct Adam {
    weight_decay: f32,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Adam {
    /// For `len` parameters, with weight decay λ; β₁ = 0.9, β₂ = 0.999, ε = 1e-8.
    pub fn new(len: usize, weight_decay: f32) -> Self {
        Self { weight_decay, first: vec![0.0; len], second: vec![0.0; len] }
    }
}

impl Optimizer for Adam {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn step(&mut self, step: Step, grad: &[f32], theta: &mut [f32], team: &dyn Team) {
        assert_eq!((grad.len(), theta.len()), (self.first.len(), self.first.len()));
        let bias = |beta: f32| 1.0 - f64::from(beta).powf(step.number as f64);
        let numbers = AdamStep {
            decay: (BETA_1, BETA_2),
            rate: (step.rate / bias(BETA_1)) as f32,
            correction: (1.0 / bias(BETA_2).sqrt()) as f32,
            epsilon: EPSILON,
            shrink: (1.0 - step.rate * f64::from(self.weight_decay)) as f32,
            scale: step.scale as f32,
        };
        vector::adam(team, Isa::detect(), numbers, grad, &mut self.first, &mut self.second, theta);
    }

    fn state(&self) -> Vec<(&'static str, &[f32])> {
        vec![("first_moment", &self.first), ("second_moment", &self.second)]
    }

    fn state_mut(&mut self) -> Vec<(&'static str, &mut [f32])> {
        vec![("first_moment", &mut self.first), ("second_moment", &mut self.second)]
    }
}
