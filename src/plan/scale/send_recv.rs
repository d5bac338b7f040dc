//! A server that takes every worker's vector and gives every worker the sum, one after the other.

use super::all_reduce::idle_share;
use super::{Compute, Fabric, HEADER, Prediction, Work, largest};
use crate::units::{Bytes, Seconds};

/// An epoch on a server and so many workers in lock-step.
///
/// # Math
/// Σ over the steps of t(⌈rows/W⌉) + σ(H_W − 1) + W·push + W·pull
pub fn send_recv(work: Work, workers: usize, compute: &Compute, network: &Fabric) -> Prediction {
    let steps = work.count();
    let round = network.push_pull(workers, work.payload);
    let busy: Seconds =
        work.steps().map(|(steps, rows)| Seconds(compute.step(largest(rows, workers)).0 * steps as f64)).sum();
    let late = compute.latest(workers).0 * steps as f64;
    let served = Seconds(round.0 * steps as f64);
    let epoch = busy + served + Seconds(late);
    // A worker talks while its own vector is on its way, and waits while the others' are; the server waits for them all.
    let (ranks, workers_f) = (workers as f64 + 1.0, workers as f64);
    let own = served.0 / workers_f.max(1.0);
    let idle = idle_share(work, workers, compute);
    let waited = workers_f * (served.0 - own + late + idle) + busy.0 + late;
    Prediction {
        epoch,
        steps,
        compute: Seconds(busy.0 - idle),
        talk: Seconds((workers_f * own + served.0) / ranks),
        wait: Seconds(waited / ranks),
        sent: Bytes((work.payload.0 + HEADER) * steps * workers as u64),
    }
}
