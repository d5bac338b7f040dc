//! The best cuts of all devices together.

use super::{Fleet, Infeasible, Norms, Objective, Point};
use crate::units::Seconds;

/// Cuts, and what they cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// A cut a device.
    pub cuts: Vec<usize>,
    /// What a round costs with them, as simulated.
    pub point: Point,
    /// Whether nothing is better, rather than nothing that was looked at.
    pub exact: bool,
    /// How many rounds were simulated to find them.
    pub simulated: usize,
}

impl Fleet {
    /// Whether these cuts fit all machines and are allowed by the protocol.
    pub fn fits(&self, cuts: &[usize]) -> bool {
        todo!("{cuts:?}")
    }

    /// The norms of the objective from `start` on.
    pub fn norms(&self, start: Seconds) -> Norms {
        todo!("{start}")
    }

    /// The best cuts for a round that begins at `start`.
    ///
    /// # Errors
    /// When none are within the limits.
    pub fn choose(&self, objective: &Objective, start: Seconds) -> Result<Choice, Infeasible> {
        todo!("{objective:?} {start}")
    }
}
