//! What lies between the ranks, and how their sums come together over it.

use super::HEADER;
use crate::device::{AllReduce, Network};
use crate::units::{Bytes, Seconds};

/// Who carries the messages, and with them the sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// An MPI library: sums are made in its fastest way.
    Library,
    /// Threads of one process: sums are made at rank 0, one vector after the other.
    Threads,
    /// Emulated links: the same, but all ranks' vectors travel to rank 0 side by side, and adding takes no time.
    Emulated,
}

/// A network and who carries messages over it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fabric {
    /// Its rates, and what was measured on it.
    pub network: Network,
    /// Who carries messages.
    pub carrier: Carrier,
}

impl Fabric {
    /// A message.
    pub fn message(&self, bytes: Bytes) -> Seconds {
        self.network.wire.send(bytes)
    }

    /// How long a message keeps its sender from computing, and its receiver: of what it takes half each between threads,
    /// which copy it themselves; a library's and a network card's share is taken for a microsecond at most, as assumed.
    pub fn overhead(&self) -> Seconds {
        const LIBRARY: f64 = 1e-6;
        let half = self.network.wire.alpha.0 / 2.0;
        match self.carrier {
            Carrier::Threads => Seconds(half),
            Carrier::Library => Seconds(half.min(LIBRARY)),
            Carrier::Emulated => Seconds(0.0),
        }
    }

    /// What a message takes beside the overheads of both ends.
    pub fn latency(&self) -> Seconds {
        Seconds((self.network.wire.alpha.0 - 2.0 * self.overhead().0).max(0.0))
    }

    /// What workers push to a server that adds it, and the sum back to each, one after the other.
    ///
    /// # Math
    /// emulated: a push, and the last of W pulls, 2α + (W + 1)·βn
    pub fn push_pull(&self, workers: usize, bytes: Bytes) -> Seconds {
        match self.carrier {
            Carrier::Emulated => {
                let wire = self.network.wire;
                let on_the_way = (bytes.0 + HEADER) as f64 * wire.beta;
                Seconds(2.0 * wire.alpha.0 + (workers as f64 + 1.0) * on_the_way)
            }
            _ => self.network.serve(workers, bytes),
        }
    }

    /// A sum over so many ranks, and how it comes about.
    pub fn all_reduce(&self, ranks: usize, bytes: Bytes) -> (Seconds, &'static str) {
        let wire = self.network.wire;
        match (ranks, self.carrier) {
            (0 | 1, _) => (Seconds(0.0), "nothing to add"),
            (_, Carrier::Emulated) => (self.push_pull(ranks - 1, bytes), AllReduce::AtRankZero.word()),
            _ if self.network.is_measured(ranks) => (self.network.all_reduce(ranks, bytes), "as measured"),
            (_, Carrier::Threads) => {
                let how = AllReduce::AtRankZero;
                (wire.all_reduce(how, ranks, bytes), how.word())
            }
            (_, Carrier::Library) => {
                let (how, seconds) = wire.fastest_all_reduce(ranks, bytes);
                (seconds, how.word())
            }
        }
    }
}
