//! Metropolis sampling of θ: learning without gradients.
//!
//! A proposal changes few elements of θ and is kept with a probability that depends on the loss before and after. The
//! two are apart ([`Sampler::propose`], then [`Sampler::keep`] or [`Sampler::undo`]), because ranks that share a batch
//! sum their losses in between; [`Sampler::run`] is the loop for one rank. Every draw comes from the stream of (seed, step,
//! iteration), so that all ranks make the same proposal and the same decision.
//!
//! # Math
//! The parameters are of groups, one a kind of layer, each with its λ, its law of proposals and its prior p. Draw a group,
//! one of its layers evenly, a set S of its elements and `θ' = θ + ε` on S; accept if
//! `ln u < λ (L(θ) - L(θ')) + Σ_{i in S} [ln p(θ'_i) - ln p(θ_i)]` with u even in (0, 1). Proposals are as likely as their
//! reverse, so the law of θ tends to `∝ exp(-λ L(θ)) Π p(θ_i)` where all groups have the same λ.
//!
//! # References
//! Metropolis et al., *Equation of state calculations by fast computing machines*, J. Chem. Phys. 21, 1953.

mod law;
mod sampler;
#[cfg(test)]
mod tests;

pub use law::{Prior, Proposer};
pub use sampler::{Count, Proposal, Run, Sampler};

use crate::nn::ParameterKind;
use std::ops::RangeInclusive;

/// The squared scales that laws may have: within them no ratio of densities of `f32` numbers overflows.
const SCALES: RangeInclusive<f64> = 1e-50..=1e50;

/// How the parameters of one kind of layer are sampled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Group {
    /// The kind.
    pub kind: ParameterKind,
    /// How often this group is drawn, relative to the others that the network has.
    pub probability: f64,
    /// λ, by which the loss is multiplied: the inverse temperature.
    pub lambda: f64,
    /// The law of ε.
    pub proposer: Proposer,
    /// The prior of each element.
    pub prior: Prior,
    /// What changes together.
    pub neighbourhood: Neighbourhood,
}

/// The elements of a layer that a proposal changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Neighbourhood {
    /// All that feeds one output: a convolution's filter, a row of a dense layer, with its bias.
    Filter,
    /// So many different elements of the layer at random, biases included; all where there are fewer.
    Elements(usize),
    /// The whole layer.
    Layer,
}

/// The settings of a sampler.
#[derive(Debug, Clone, PartialEq)]
pub struct Metropolis {
    /// The groups, at most one a kind. Layers of other kinds stay as they are.
    pub groups: Vec<Group>,
    /// Proposals a step.
    pub iterations: u64,
}

impl Metropolis {
    /// The original's settings: one filter of a convolution, or 363 elements of a dense layer, equally often.
    pub fn greenai() -> Self {
        let group = |kind, neighbourhood| Group {
            kind,
            probability: 0.5,
            lambda: 1e5,
            proposer: Proposer::Student(1e-7),
            prior: Prior::Student(1e-3),
            neighbourhood,
        };
        Self {
            groups: vec![
                group(ParameterKind::Conv, Neighbourhood::Filter),
                group(ParameterKind::Dense, Neighbourhood::Elements(363)),
            ],
            iterations: 200,
        }
    }

    /// # Errors
    /// The first setting that is none.
    fn check(&self) -> Result<(), MetropolisError> {
        for (i, group) in self.groups.iter().enumerate() {
            let kind = group.kind;
            if self.groups[..i].iter().any(|other| other.kind == kind) {
                return Err(MetropolisError::Twice { kind });
            }
            let wrong = |name, value, allowed| Err(MetropolisError::Setting { kind, name, value, allowed });
            if !(group.probability.is_finite() && group.probability >= 0.0) {
                return wrong("probability", group.probability, "a number of at least 0");
            }
            if !(group.lambda.is_finite() && group.lambda >= 0.0) {
                return wrong("lambda", group.lambda, "a number of at least 0");
            }
            for (name, scale) in [("proposal scale", group.proposer.scale()), ("prior scale", group.prior.scale())] {
                if let Some(scale) = scale.filter(|scale| !SCALES.contains(scale)) {
                    return wrong(name, scale, "a number from 1e-50 to 1e50");
                }
            }
            if group.neighbourhood == Neighbourhood::Elements(0) {
                return wrong("neighbourhood", 0.0, "at least 1 element");
            }
            if group.proposer.is_binary() != (group.prior == Prior::Binary) {
                return Err(MetropolisError::HalfBinary { kind });
            }
        }
        Ok(())
    }
}

/// Settings that make no sampler.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MetropolisError {
    /// Two groups of one kind.
    #[error("metropolis: two groups sample {kind:?} layers; keep one")]
    Twice {
        /// The kind.
        kind: ParameterKind,
    },
    /// A number out of its range.
    #[error("metropolis: the {name} of {kind:?} layers is {value:e}; give {allowed}")]
    Setting {
        /// The group's kind.
        kind: ParameterKind,
        /// What it is.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it may be.
        allowed: &'static str,
    },
    /// A binary law with one that is not.
    #[error("metropolis: of the proposal and the prior of {kind:?} layers one is binary; make both so, or none")]
    HalfBinary {
        /// The group's kind.
        kind: ParameterKind,
    },
    /// No layer is sampled.
    #[error("metropolis: the network has no layer of a group with a probability above 0; add a group for its layers")]
    NothingToSample,
}
