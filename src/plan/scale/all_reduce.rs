//! Every rank trains its slice of each step; a reduction over all ranks, after every step or after a period of them.

use super::{Compute, Fabric, Prediction, Work, largest};
use crate::units::{Bytes, Seconds};

/// Steps that each rank takes by itself between two averagings, and what is averaged then.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Averaging {
    /// Steps of a period; it ends with the epoch, too.
    pub steps: u64,
    /// Payload of an averaging.
    pub payload: Bytes,
    /// What a rank needs to bring what it averages into one vector, and back.
    pub packing: Seconds,
}

/// An epoch on so many ranks. Also tells how the sums come together.
///
/// # Math
/// Σ over the steps of t(⌈rows/R⌉) + σ(H_R − 1) + reduction(R, payload) + packing, the last three once a period
pub fn all_reduce(
    work: Work,
    ranks: usize,
    compute: &Compute,
    network: &Fabric,
    averaging: Option<Averaging>,
) -> (Prediction, &'static str) {
    let steps = work.count();
    let (payload, meetings) = match averaging {
        Some(averaging) => (averaging.payload, steps.div_ceil(averaging.steps.max(1))),
        None => (work.payload, steps),
    };
    let (reduction, how) = network.all_reduce(ranks, payload);
    let own = |rows: usize| compute.step(largest(rows, ranks));
    let busy: Seconds = work.steps().map(|(steps, rows)| Seconds(own(rows).0 * steps as f64)).sum();
    // Between two meetings the ranks' own ups and downs even out: their deviation grows with the root of the steps.
    let period = steps as f64 / meetings.max(1) as f64;
    let late = compute.latest(ranks).0 * period.sqrt() * meetings as f64;
    let packing = averaging.map_or(0.0, |averaging| averaging.packing.0) * meetings as f64;
    let talk = Seconds(reduction.0 * meetings as f64);
    let idle = idle_share(work, ranks, compute);
    let prediction = Prediction {
        epoch: busy + talk + Seconds(late + packing),
        steps,
        compute: Seconds(busy.0 - idle + packing),
        talk,
        wait: Seconds(late + idle),
        sent: Bytes(if ranks > 1 { payload.0 * meetings } else { 0 }),
    };
    (prediction, how)
}

/// Seconds that a rank waits on average because slices differ by a sample, or because there are more ranks than samples.
pub(super) fn idle_share(work: Work, ranks: usize, compute: &Compute) -> f64 {
    let of_step = |rows: usize| {
        let (small, larger) = (rows / ranks, rows % ranks);
        let gap = compute.step(largest(rows, ranks)).0 - compute.step(small).0;
        if larger == 0 { 0.0 } else { gap.max(0.0) * (ranks - larger) as f64 / ranks as f64 }
    };
    work.steps().map(|(steps, rows)| steps as f64 * of_step(rows)).sum()
}
