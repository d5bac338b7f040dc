//! One rank alone: it computes and does nothing else.

use super::{Compute, Prediction, Work};
use crate::units::{Bytes, Seconds};

/// An epoch on one rank.
///
/// # Math
/// Σ over the steps of t(rows)
pub fn single(work: Work, compute: &Compute) -> Prediction {
    let epoch: Seconds = work.steps().map(|(steps, rows)| Seconds(compute.step(rows).0 * steps as f64)).sum();
    Prediction { epoch, steps: work.count(), compute: epoch, sent: Bytes(0), ..Prediction::default() }
}
