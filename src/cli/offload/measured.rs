//! What tasks and messages take on ranks that emulate no machine: measured before anything is planned.

use crate::comm::{Buffer, CommError, Communicator, HEADER, Kind, Tag};
use crate::device::{Clock, Ports, Power};
use crate::plan::placement::{Between, Problem, TaskGraph};
use crate::units::{Bytes, Seconds};
use serde::{Deserialize, Serialize};

/// Measured on rank 0, taken to hold for all ranks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rates {
    /// By task, in seconds.
    pub tasks: Vec<f64>,
    /// Of a link.
    pub bytes_per_s: f64,
    /// Of a link, in seconds.
    pub latency: f64,
}

/// Messages of which the quickest counts.
const EXCHANGES: usize = 7;
/// The long ones.
const LONG: usize = 1 << 20;

impl Rates {
    /// A problem of ranks that are all alike.
    pub fn problem<'a>(&self, graph: &'a TaskGraph, source: usize, ranks: usize) -> Problem<'a> {
        let link = Between { bytes_per_s: self.bytes_per_s, latency: Seconds(self.latency) };
        let mut pinned = vec![None; graph.tasks().len()];
        let ends = [graph.order().first(), graph.order().last()];
        ends.into_iter().flatten().for_each(|task| pinned[*task] = Some(source));
        Problem {
            graph,
            time: self.tasks.iter().map(|time| vec![Seconds(*time); ranks]).collect(),
            between: vec![vec![link; ranks]; ranks],
            pinned,
            memory: vec![Bytes(u64::MAX); ranks],
            power: vec![Power::default(); ranks],
            price_per_s: vec![0.0; ranks],
            ports: Some(vec![Ports::One; ranks]),
            header: Bytes(HEADER as u64),
            idle: false,
        }
    }
}

/// Bytes a second and latency between ranks 0 and 1, at rank 0; a link without either where there is one rank.
///
/// # Collective
/// Ranks 0 and 1 must call it; it does nothing on others.
///
/// # Errors
/// When the transport fails.
pub fn link(comm: &dyn Communicator, clock: &dyn Clock) -> Result<(f64, f64), CommError> {
    let (one, other) = match (comm.size(), comm.rank()) {
        // JSON knows no infinite number.
        (1, _) => return Ok((f64::MAX, 0.0)),
        (_, 0) => (true, 1),
        (_, 1) => (false, 0),
        _ => return Ok((0.0, 0.0)),
    };
    let way = |len: usize| -> Result<f64, CommError> {
        let mut best = f64::INFINITY;
        let mut buffer = Buffer::new(Kind::U8, len);
        for _ in 0..EXCHANGES {
            let began = clock.now();
            match one {
                true => {
                    comm.send(other, Tag::Report, &mut buffer)?;
                    comm.recv(other, Tag::Report, &mut buffer)?;
                }
                false => {
                    comm.recv(other, Tag::Report, &mut buffer)?;
                    comm.send(other, Tag::Report, &mut buffer)?;
                }
            }
            best = best.min((clock.now() - began).0 / 2.0);
        }
        Ok(best)
    };
    let (short, long) = (way(0)?, way(LONG)?);
    Ok((LONG as f64 / (long - short).max(1e-9), short))
}
