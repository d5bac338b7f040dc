//! What a good cut is.

use crate::units::{Joules, Seconds};

/// What a choice costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Its time.
    pub time: Seconds,
    /// Its energy.
    pub energy: Joules,
}

/// What is made small, within which limits.
///
/// # Math
/// J(s) = α·T(s)/‖T‖₂ + (1 − α)·E(s)/‖E‖₂ over all choices s, as in ARES. With a deadline alone, the least energy that
/// meets it; with a budget alone, the least time; with both, the least J.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// Weight of time against energy, from 0 to 1.
    pub alpha: f64,
    /// Most time.
    pub deadline: Option<Seconds>,
    /// Most energy.
    pub budget: Option<Joules>,
}

/// No choice is within the limits: which limit, and by how much the best one misses it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Infeasible {
    /// There is nothing to choose from.
    #[error("there is no cut to choose from")]
    Nothing,
}
