//! What messages and collective operations cost on a network of equal links, as formulas.
//!
//! A message of n bytes takes α + nβ, adding n bytes to n others takes nγ. Every rank sends one message and receives one at
//! a time. The formulas hold for any number of ranks; one rank alone pays nothing.
//!
//! # References
//! Hockney, *The communication challenge for MPP*, Parallel Computing 20(3), 1994: α and β. Thakur, Rabenseifner and Gropp,
//! *Optimization of collective communication operations in MPICH*, IJHPCA 19(1), 2005: the algorithms and their costs.

use crate::units::{Bytes, Seconds};
use serde::{Deserialize, Serialize};

/// The three constants of a network.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Wire {
    /// α: what every message takes, however short.
    #[serde(rename = "alpha_s")]
    pub alpha: Seconds,
    /// β: seconds a byte on its way, the inverse of the bandwidth.
    #[serde(rename = "beta_s_per_byte")]
    pub beta: f64,
    /// γ: seconds a byte that is added to another.
    #[serde(rename = "gamma_s_per_byte")]
    pub gamma: f64,
}

/// A way to sum a vector over all ranks and give all of them the sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllReduce {
    /// Pieces travel around a ring, first to be added, then to be known.
    Ring,
    /// Whole vectors are exchanged over distances 1, 2, 4, …
    RecursiveDoubling,
    /// Halves, quarters, … are exchanged and added, then gathered in the same way.
    Rabenseifner,
    /// Rank 0 receives all vectors in rank order, adds them and sends the sum to one after the other: goai-rs without MPI.
    AtRankZero,
}

/// A way to give every rank what one rank has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broadcast {
    /// Whoever has the vector sends it on, along a binomial tree.
    Binomial,
    /// The pieces are scattered along a binomial tree, then gathered around a ring.
    ScatterAllGather,
    /// The root sends it to one after the other: goai-rs without MPI.
    Serial,
}

/// A way to give every rank what each of them has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllGather {
    /// Around a ring.
    Ring,
    /// Over distances 1, 2, 4, … (Bruck), for any number of ranks.
    Bruck,
}

impl AllReduce {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ring, Self::RecursiveDoubling, Self::Rabenseifner, Self::AtRankZero];

    /// Those that MPI libraries choose from.
    pub const OF_LIBRARIES: [Self; 3] = [Self::RecursiveDoubling, Self::Rabenseifner, Self::Ring];

    /// Its name in tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::RecursiveDoubling => "recursive doubling",
            Self::Rabenseifner => "Rabenseifner",
            Self::AtRankZero => "at rank 0",
        }
    }
}

/// How often each of the three constants is paid: messages, bytes on their way, bytes added.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counts {
    /// Messages one after the other.
    pub alphas: f64,
    /// Bytes that travel one after the other.
    pub bytes: f64,
    /// Bytes that are added one after the other.
    pub added: f64,
}

impl Counts {
    fn new(alphas: f64, bytes: f64, added: f64) -> Self {
        Self { alphas, bytes, added }
    }
}

/// ⌊lg p⌋ and the largest power of two that is not above p.
fn floor_power(ranks: usize) -> (f64, f64) {
    let lg = ranks.ilog2();
    (f64::from(lg), 2f64.powi(lg as i32))
}

/// ⌈lg p⌉.
fn ceil_lg(ranks: usize) -> f64 {
    f64::from(ranks.next_power_of_two().ilog2())
}

impl AllReduce {
    /// What summing n bytes over p ranks pays.
    ///
    /// # Math
    /// With q the largest power of two that is not above p, and e = 1 where q < p, else 0: then p − q ranks hand their
    /// vectors to a neighbor first and get the sum from it in the end, as MPICH does.
    ///
    /// | | α | nβ | nγ |
    /// |---|---|---|---|
    /// | ring | 2(p−1) | 2(p−1)/p | (p−1)/p |
    /// | recursive doubling | lg q + 2e | lg q + 2e | lg q + e |
    /// | Rabenseifner | 2 lg q + 2e | 2(q−1)/q + 2e | (q−1)/q + e |
    /// | at rank 0 | 2(p−1) | 2(p−1) | p−1 |
    ///
    /// # References
    /// Thakur, Rabenseifner and Gropp 2005, section 4.5; the last row counts what goai-rs does.
    pub fn counts(self, ranks: usize, bytes: Bytes) -> Counts {
        if ranks <= 1 {
            return Counts::default();
        }
        let (p, n, (lg, q)) = (ranks as f64, bytes.0 as f64, floor_power(ranks));
        let extra = if q < p { 1.0 } else { 0.0 };
        match self {
            Self::Ring => Counts::new(2.0 * (p - 1.0), 2.0 * (p - 1.0) / p * n, (p - 1.0) / p * n),
            Self::RecursiveDoubling => {
                let steps = lg + 2.0 * extra;
                Counts::new(steps, steps * n, (lg + extra) * n)
            }
            Self::Rabenseifner => {
                let part = (q - 1.0) / q;
                Counts::new(2.0 * (lg + extra), 2.0 * (part + extra) * n, (part + extra) * n)
            }
            Self::AtRankZero => Counts::new(2.0 * (p - 1.0), 2.0 * (p - 1.0) * n, (p - 1.0) * n),
        }
    }
}

impl Wire {
    /// What these counts take.
    ///
    /// # Units
    /// Seconds, modelled.
    pub fn seconds(&self, counts: Counts) -> Seconds {
        Seconds(counts.alphas * self.alpha.0 + counts.bytes * self.beta + counts.added * self.gamma)
    }

    /// A message.
    ///
    /// # Math
    /// α + nβ
    pub fn send(&self, bytes: Bytes) -> Seconds {
        self.seconds(Counts::new(1.0, bytes.0 as f64, 0.0))
    }

    /// Summing a vector of so many bytes over the ranks: see [`AllReduce::counts`].
    pub fn all_reduce(&self, how: AllReduce, ranks: usize, bytes: Bytes) -> Seconds {
        self.seconds(how.counts(ranks, bytes))
    }

    /// The fastest way to do so that MPI libraries have; the first of equals.
    pub fn fastest_all_reduce(&self, ranks: usize, bytes: Bytes) -> (AllReduce, Seconds) {
        let timed = AllReduce::OF_LIBRARIES.map(|how| (how, self.all_reduce(how, ranks, bytes)));
        timed.into_iter().min_by(|a, b| a.1.0.total_cmp(&b.1.0)).expect("there are three")
    }

    /// Giving every rank the root's n bytes.
    ///
    /// # Math
    /// Binomial tree ⌈lg p⌉ (α + nβ); scatter and all-gather (⌈lg p⌉ + p − 1) α + 2 (p−1)/p nβ; serial (p−1)(α + nβ).
    ///
    /// # References
    /// Thakur, Rabenseifner and Gropp 2005, section 4.2.
    pub fn broadcast(&self, how: Broadcast, ranks: usize, bytes: Bytes) -> Seconds {
        if ranks <= 1 {
            return Seconds(0.0);
        }
        let (p, n, steps) = (ranks as f64, bytes.0 as f64, ceil_lg(ranks));
        self.seconds(match how {
            Broadcast::Binomial => Counts::new(steps, steps * n, 0.0),
            Broadcast::ScatterAllGather => Counts::new(steps + p - 1.0, 2.0 * (p - 1.0) / p * n, 0.0),
            Broadcast::Serial => Counts::new(p - 1.0, (p - 1.0) * n, 0.0),
        })
    }

    /// Giving every rank the n bytes of each rank.
    ///
    /// # Math
    /// Ring (p−1)(α + nβ); Bruck ⌈lg p⌉ α + (p−1) nβ.
    ///
    /// # References
    /// Thakur, Rabenseifner and Gropp 2005, section 4.1, with n what one rank has.
    pub fn all_gather(&self, how: AllGather, ranks: usize, bytes: Bytes) -> Seconds {
        let others = ranks.saturating_sub(1) as f64;
        let alphas = match how {
            AllGather::Ring => others,
            AllGather::Bruck => ceil_lg(ranks.max(1)),
        };
        self.seconds(Counts::new(alphas, others * bytes.0 as f64, 0.0))
    }

    /// Waiting until every rank has come.
    ///
    /// # Math
    /// ⌈lg p⌉ α: rank r tells r + 1, r + 2, r + 4, …
    ///
    /// # References
    /// Hensgen, Finkel and Manber, *Two algorithms for barrier synchronization*, IJPP 17(1), 1988.
    pub fn barrier(&self, ranks: usize) -> Seconds {
        self.seconds(Counts::new(ceil_lg(ranks.max(1)), 0.0, 0.0))
    }

    /// A round of a parameter server that takes one message at a time: w workers push n bytes, the server adds them and
    /// sends the sum back to each.
    ///
    /// # Math
    /// w (2α + 2nβ + nγ)
    pub fn serve(&self, workers: usize, bytes: Bytes) -> Seconds {
        self.all_reduce(AllReduce::AtRankZero, workers + 1, bytes)
    }
}

#[cfg(test)]
mod tests;
