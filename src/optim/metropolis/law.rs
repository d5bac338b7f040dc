//! The laws of proposals and priors.

use crate::rng::unit;
use ndarray_rand::rand::{Rng, RngCore};
use ndarray_rand::rand_distr::StandardNormal;

/// The law by which an element moves. Each is as likely as its reverse.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Proposer {
    /// Adds a Student t number with one degree of freedom (Cauchy) of this squared scale.
    Student(f64),
    /// Adds a Gaussian number of this variance.
    Gaussian(f64),
    /// Multiplies by -1: for elements that are ±1.
    Flip,
    /// Multiplies by -1 or by 1, as likely: for elements that are ±1.
    Rademacher,
}

/// The prior of an element.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Prior {
    /// Student t with one degree of freedom of this squared scale S: `p(x) ∝ 1 / (1 + x² / S)`.
    Student(f64),
    /// Gaussian with mean 0 and this variance.
    Gaussian(f64),
    /// -1 and 1, as likely.
    Binary,
}

impl Proposer {
    /// Moves the elements of θ.
    pub(super) fn shift(self, rng: &mut impl RngCore, theta: &mut [f32], changed: &[usize]) {
        let scale = self.scale().map_or(1.0, f64::sqrt);
        for i in changed {
            let x = &mut theta[*i];
            match self {
                Self::Student(_) => *x = (f64::from(*x) + scale * cauchy(rng)) as f32,
                Self::Gaussian(_) => *x = (f64::from(*x) + scale * rng.sample::<f64, _>(StandardNormal)) as f32,
                Self::Flip => *x = -*x,
                Self::Rademacher if rng.next_u32() >> 31 == 0 => *x = -*x,
                Self::Rademacher => {}
            }
        }
    }

    /// The squared scale.
    pub(super) fn scale(self) -> Option<f64> {
        match self {
            Self::Student(scale) | Self::Gaussian(scale) => Some(scale),
            Self::Flip | Self::Rademacher => None,
        }
    }

    pub(super) fn is_binary(self) -> bool {
        self.scale().is_none()
    }
}

/// A Cauchy number: the ratio of the coordinates of a point in the unit disk. Unlike a tangent it has the same bits with
/// every mathematical library, so ranks on different hosts propose the same.
fn cauchy(rng: &mut impl RngCore) -> f64 {
    loop {
        let [x, y] = [2.0 * unit(rng) - 1.0, unit(rng)];
        if x * x + y * y <= 1.0 {
            return x / y;
        }
    }
}

impl Prior {
    /// `Σ [ln p(θ'_i) - ln p(θ_i)]` of the pairs (θ_i, θ'_i); -∞ where an element is no longer finite.
    pub(super) fn log_ratio(self, moves: impl Iterator<Item = (f32, f32)>) -> f64 {
        let mut total = LogProduct::default();
        let mut finite = true;
        for (old, new) in moves {
            finite &= new.is_finite();
            let [old, new] = [old, new].map(|x| f64::from(x) * f64::from(x));
            match self {
                Self::Student(scale) => total.times((scale + old) / (scale + new)),
                Self::Gaussian(variance) => total.sum += (old - new) / (2.0 * variance),
                Self::Binary => {}
            }
        }
        if finite { total.ln() } else { f64::NEG_INFINITY }
    }

    /// The squared scale.
    pub(super) fn scale(self) -> Option<f64> {
        match self {
            Self::Student(scale) | Self::Gaussian(scale) => Some(scale),
            Self::Binary => None,
        }
    }
}

/// The logarithm of a product whose factors are within 1e±130: one logarithm for many factors.
struct LogProduct {
    sum: f64,
    product: f64,
}

impl Default for LogProduct {
    fn default() -> Self {
        Self { sum: 0.0, product: 1.0 }
    }
}

impl LogProduct {
    fn times(&mut self, factor: f64) {
        self.product *= factor;
        if !(1e-100..=1e100).contains(&self.product) {
            self.sum += self.product.ln();
            self.product = 1.0;
        }
    }

    fn ln(&self) -> f64 {
        self.sum + self.product.ln()
    }
}
