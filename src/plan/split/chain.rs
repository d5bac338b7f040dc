//! A network cut between machines in a row: device, edge, server.

use super::cost::Way;
use super::phases::Idle;
use super::{Infeasible, Objective, Point};
use crate::device::Power;
use crate::units::{Bytes, Seconds};

/// One machine of a chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Tier {
    /// Its name in messages.
    pub name: String,
    /// Forward and backward of the first p blocks, for p of 0..=L. Measured tables need not be monotone: what lies
    /// between two cuts takes no less than nothing.
    pub cumulative: Vec<Seconds>,
    /// What it draws; nothing where its energy does not count.
    pub power: Power,
    /// What fits into it.
    pub memory: Bytes,
}

/// Machines in a row, the first of which has the samples and the last of which may be given the rest.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    /// The machines.
    pub tiers: Vec<Tier>,
    /// The link from each but the last to the next, and the one back.
    pub ways: Vec<(Way, Way)>,
    /// What crosses each cut 0..=L going up in a step; nothing at L.
    pub up: Vec<Bytes>,
    /// What comes back.
    pub down: Vec<Bytes>,
    /// What the first p blocks need, for p of 0..=L.
    pub memory: Vec<Bytes>,
    /// Whether waiting costs energy.
    pub idle: Idle,
}

impl Chain {
    /// One step from time 0 with these cuts, one less than machines, none below the one before.
    pub fn step(&self, cuts: &[usize]) -> Option<Point> {
        todo!("{cuts:?}")
    }

    /// The best cuts of all, by looking at all.
    ///
    /// # Errors
    /// When none are within the limits.
    pub fn choose(&self, objective: &Objective) -> Result<(Vec<usize>, Point), Infeasible> {
        todo!("{objective:?}")
    }
}
