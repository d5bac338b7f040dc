//! What makes a training by split learning: who holds what, who trains on what, who decides.

use crate::plan::split::Objective;
pub use crate::plan::split::Protocol;
use std::num::NonZeroU64;

/// Where the devices hand over to the server.
#[derive(Debug, Clone, PartialEq)]
pub enum SplitCuts {
    /// Behind so many trunk blocks, by device: 0 leaves it nothing but its samples, all of them everything.
    Fixed(Vec<usize>),
    /// As found best, every round anew.
    Auto(Adaptive),
}

impl Adaptive {
    /// The hysteresis where times are modelled, and so exact.
    pub const MODELLED: f64 = 0.02;
    /// The hysteresis where they are measured, and vary by more than a percent from round to round.
    pub const MEASURED: f64 = 0.1;
}

/// How cuts are found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adaptive {
    /// What is made small, within which limits.
    pub objective: Objective,
    /// Weight of the newest round in what is believed of links and devices, above 0 and up to 1.
    pub smoothing: f64,
    /// Share by which other cuts have to be better before they are taken, below 1.
    pub hysteresis: f64,
    /// Trunk blocks that a device keeps at least; with 0 it may send its samples as they are.
    pub least: usize,
}

/// How a network is split between devices and their server.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// Who holds what.
    pub protocol: Protocol,
    /// Where.
    pub cuts: SplitCuts,
    /// Steps of a device between two averagings; none: an epoch.
    pub round_steps: Option<NonZeroU64>,
    /// The samples of each device; none: those of each step's global batch are dealt to the devices, anew every epoch.
    pub shards: Option<Vec<Vec<u32>>>,
}
