//! A server that takes the first K results of its workers: K-sync, K-batch, asynchronous.
//!
//! # References
//! Dutta et al., *Slow and stale gradients can win the race: error-runtime trade-offs in distributed SGD*, AISTATS 2018,
//! arXiv:1803.01113, table 1.

use super::{Compute, Fabric, HEADER, Prediction, Work, largest};
use crate::units::{Bytes, Seconds};

/// Whose results make a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// The first K workers'.
    Workers(usize),
    /// The first K results, several of a fast worker among them.
    Results(usize),
}

/// An epoch of steps that each take `k` results from so many workers. `kth` says when the k-th of n tasks is done that
/// begin together and take so long without delays.
///
/// # Math
/// first K of W workers: E\[X₍K₎\] + report + order; first K results: K/W·(E\[X\] + report + order); both no faster than
/// the server serves, K·(report + order)
pub fn grid(
    work: Work,
    workers: usize,
    first: First,
    compute: &Compute,
    network: &Fabric,
    kth: &dyn Fn(usize, usize, Seconds) -> Seconds,
) -> Prediction {
    let (First::Workers(k) | First::Results(k)) = first;
    let k = k.max(1);
    // Orders carry the weights, reports the gradient: about the same.
    let each = Seconds(network.push_pull(1, work.payload).0);
    let step = |rows: usize| {
        let task = compute.step(largest(rows, k));
        let met = match first {
            First::Workers(k) => kth(workers, k, task) + each,
            First::Results(_) => Seconds((kth(1, 1, task) + each).0 * k as f64 / workers as f64),
        };
        (met.0.max(each.0 * k as f64), task)
    };
    let mut prediction = Prediction { steps: work.count(), ..Prediction::default() };
    for (steps, rows) in work.steps() {
        let (seconds, task) = step(rows);
        prediction.epoch += Seconds(seconds * steps as f64);
        // K results of W workers a step.
        prediction.compute += Seconds(task.0 * (k * steps as usize) as f64 / workers as f64);
    }
    let results = (k as u64) * prediction.steps;
    prediction.talk = Seconds(each.0 * results as f64 * 2.0 / (workers as f64 + 1.0));
    let share = workers as f64 / (workers as f64 + 1.0);
    prediction.wait = Seconds((prediction.epoch.0 - prediction.compute.0 * share - prediction.talk.0).max(0.0));
    prediction.sent = Bytes((work.payload.0 + HEADER) * results);
    prediction
}
