//! The scale model: what an epoch of each mode would take, worked out before any rank exists.
//!
//! It is handed rates as numbers, measured or from profiles: seconds of a training step ([`Compute`]), of messages and
//! collectives ([`Fabric`]), and what is trained ([`Work`]). One file a mode makes a [`Prediction`] of them. Everything
//! that comes out is predicted; nothing in here measures.
//!
//! | file | what it predicts |
//! |---|---|
//! | `single` | one rank |
//! | `all_reduce` | every rank trains, one reduction a step or a period |
//! | `send_recv` | a server that takes and gives one vector after the other |
//! | `grid` | a server that takes the first K results: order statistics of `order` |
//! | `pipeline` | stages, by simulation of their schedule; `upkeep` is what running them costs |

mod all_reduce;
mod compute;
mod fabric;
mod grid;
mod order;
mod pipeline;
mod send_recv;
mod single;
mod upkeep;

pub use all_reduce::{Averaging, all_reduce};
pub use compute::Compute;
pub use fabric::{Carrier, Fabric};
pub use grid::{First, grid};
pub use order::{harmonic, kth_of, kth_of_laws};
pub use pipeline::{Backprop, StageCost, backprop, local};
pub use send_recv::send_recv;
pub use single::single;
pub use upkeep::Upkeep;

use crate::units::{Bytes, Seconds};

/// What is trained in an epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// Samples of the training part.
    pub samples: usize,
    /// Samples whose gradients make one step, on all ranks together.
    pub global_batch: usize,
    /// Payload of one exchange: what a rank gives to the others when they meet.
    pub payload: Bytes,
}

impl Work {
    /// How many steps take how many samples: the full ones, and the last where it is smaller.
    fn steps(self) -> impl Iterator<Item = (u64, usize)> {
        let batch = self.global_batch.clamp(1, self.samples.max(1));
        let (full, rest) = (self.samples / batch, self.samples % batch);
        [(full as u64, batch), (u64::from(rest > 0), rest)].into_iter().filter(|(steps, _)| *steps > 0)
    }

    /// Steps of an epoch.
    pub fn count(self) -> u64 {
        self.steps().map(|(steps, _)| steps).sum()
    }
}

/// What an epoch of a mode is predicted to take.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Prediction {
    /// The training loop of an epoch; start-up and measuring are left out.
    pub epoch: Seconds,
    /// Steps of an epoch.
    pub steps: u64,
    /// How long the ranks that train compute, on average.
    pub compute: Seconds,
    /// How long a rank sends, receives and adds, on average.
    pub talk: Seconds,
    /// How long a rank waits for others, on average.
    pub wait: Seconds,
    /// What the rank that sends most sends.
    pub sent: Bytes,
}

impl Prediction {
    /// The same in another time: what it differs by is waited for, and if that is more than there is to wait, everything
    /// else goes as much faster.
    pub fn of_length(self, epoch: Seconds) -> Self {
        let work = self.compute.0 + self.talk.0;
        let faster = if work > epoch.0 { epoch.0 / work } else { 1.0 };
        let (compute, talk) = (Seconds(self.compute.0 * faster), Seconds(self.talk.0 * faster));
        Self { epoch, compute, talk, wait: Seconds((epoch.0 - compute.0 - talk.0).max(0.0)), ..self }
    }
}

/// Bytes of a message's header on the wire.
const HEADER: u64 = 32;

/// The samples of the largest of so many balanced slices.
fn largest(samples: usize, parts: usize) -> usize {
    samples.div_ceil(parts.max(1))
}

#[cfg(test)]
mod tests;
