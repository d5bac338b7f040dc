//! How long an operation of all ranks takes: warm-up, then rounds of as many calls as the time allows.

use crate::comm::{CommError, Communicator, Reduce, Values};
use serde::Serialize;
use std::time::Instant;

/// The most rounds of a cell: short ones, so that a rank that loses its core for a moment spoils few of them.
const ROUNDS: usize = 41;
/// The fewest, where they are not far too long.
const FEWEST: usize = 3;
/// The most calls of a round.
const CALLS: usize = 100_000;

/// What was measured of one operation at one size: seconds a call of the slowest rank, by rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Cell {
    pub median: f64,
    pub least: f64,
    pub most: f64,
    /// Calls in all rounds together.
    pub calls: usize,
}

impl Cell {
    /// The same, when a call is this many times what is asked for.
    pub fn per(self, times: f64) -> Self {
        Self { median: self.median / times, least: self.least / times, most: self.most / times, calls: self.calls }
    }
}

/// The largest of all ranks' numbers: what they decide by it, they decide alike.
///
/// # Collective
/// Every rank must call it.
pub(super) fn largest(comm: &dyn Communicator, mine: f64) -> Result<f64, CommError> {
    let mut all = [mine];
    comm.all_reduce(Values::F64(&mut all), Reduce::Max)?;
    Ok(all[0])
}

/// Calls `operation` for about `slot` seconds and tells how long a call takes.
///
/// A rank that has no part in the operation gives one that does nothing.
///
/// # Collective
/// Every rank must call it with the same slot.
pub(super) fn measure(
    comm: &dyn Communicator,
    slot: f64,
    operation: &mut dyn FnMut() -> Result<(), CommError>,
) -> Result<Cell, CommError> {
    // Seconds of all calls together on the slowest rank: everybody goes on, or stops, by the same figure.
    let mut round = |calls: usize| {
        comm.barrier()?;
        let start = Instant::now();
        (0..calls).try_for_each(|_| operation())?;
        largest(comm, start.elapsed().as_secs_f64().max(1e-9))
    };
    // The first call makes connections and memory. Then the calls of a round grow with the fastest one seen: a rank that lost
    // its core says nothing about the network.
    round(1)?;
    let (mut calls, mut spent, mut fastest) = (1, 0.0, f64::MAX);
    while spent < slot / 2.0 {
        let seconds = round(calls)?;
        spent += seconds;
        fastest = fastest.min(seconds / calls as f64);
        let wanted = slot / ROUNDS as f64 / fastest;
        if calls == CALLS || wanted < 2.0 * calls as f64 {
            break;
        }
        calls = (wanted as usize).min(16 * calls).min(CALLS);
    }
    let (mut times, mut spent) = (Vec::new(), 0.0);
    while times.len() < ROUNDS && (spent < slot || (times.len() < FEWEST && spent < 2.0 * slot)) {
        let seconds = round(calls)?;
        spent += seconds;
        times.push(seconds / calls as f64);
    }
    times.sort_by(f64::total_cmp);
    let rounds = times.len();
    Ok(Cell { median: times[rounds / 2], least: times[0], most: times[rounds - 1], calls: rounds * calls })
}
