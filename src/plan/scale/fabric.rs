//! What lies between the ranks, and how their sums come together over it.

use crate::device::{AllReduce, Network};
use crate::units::{Bytes, Seconds};

/// A network, and whether the ranks' sums are made at rank 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Fabric {
    /// Its rates, and what was measured on it.
    pub network: Network,
    /// Sums are made at rank 0, one vector after the other, as goai-rs does without MPI; else in the fastest way that MPI
    /// libraries have.
    pub at_rank_zero: bool,
}

impl Fabric {
    /// A message.
    pub fn message(&self, bytes: Bytes) -> Seconds {
        self.network.wire.send(bytes)
    }

    /// What workers push to a server that adds it, and the sum back to each, one after the other.
    pub fn push_pull(&self, workers: usize, bytes: Bytes) -> Seconds {
        self.network.serve(workers, bytes)
    }

    /// A sum over so many ranks, and how it comes about.
    pub fn all_reduce(&self, ranks: usize, bytes: Bytes) -> (Seconds, &'static str) {
        let wire = self.network.wire;
        match ranks {
            0 | 1 => (Seconds(0.0), "nothing to add"),
            _ if self.network.is_measured(ranks) => (self.network.all_reduce(ranks, bytes), "as measured"),
            _ if self.at_rank_zero => {
                let how = AllReduce::AtRankZero;
                (wire.all_reduce(how, ranks, bytes), how.word())
            }
            _ => {
                let (how, seconds) = wire.fastest_all_reduce(ranks, bytes);
                (seconds, how.word())
            }
        }
    }
}
