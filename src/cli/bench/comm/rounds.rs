//! How long an operation of all ranks takes: warm-up, then rounds of as many calls as the time allows.

use crate::comm::{CommError, Communicator, Reduce, Values};
use serde::Serialize;
use std::time::Instant;

/// The most rounds of a cell.
const ROUNDS: f64 = 9.0;
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
    let mut round = |calls: usize| {
        comm.barrier()?;
        let start = Instant::now();
        (0..calls).try_for_each(|_| operation())?;
        Ok(start.elapsed().as_secs_f64() / calls as f64)
    };
    // Connections and memory are made by the first call; the calls of a round then grow until a round is an eighth of the slot.
    round(1)?;
    let mut calls = 1;
    let seconds = loop {
        let seconds = largest(comm, round(calls)? * calls as f64)?.max(1e-9);
        let wanted = slot / (ROUNDS - 1.0) / seconds;
        if wanted < 2.0 || calls == CALLS {
            break seconds;
        }
        calls = ((calls as f64 * wanted.min(16.0)) as usize).min(CALLS);
    };
    let rounds = (slot / seconds).clamp(1.0, ROUNDS) as usize;
    let mut times = (0..rounds).map(|_| round(calls)).collect::<Result<Vec<f64>, CommError>>()?;
    comm.all_reduce(Values::F64(&mut times), Reduce::Max)?;
    times.sort_by(f64::total_cmp);
    Ok(Cell { median: times[rounds / 2], least: times[0], most: times[rounds - 1], calls: rounds * calls })
}
