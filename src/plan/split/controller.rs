//! Cuts chosen round by round, out of what was measured.

use super::{Fleet, Infeasible, Objective, Point};
use crate::device::Power;

/// What was seen of one device in a round; what is missing was not seen.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Observation {
    /// Bytes a second from it to the server.
    pub up_bytes_per_s: Option<f64>,
    /// Bytes a second from the server to it.
    pub down_bytes_per_s: Option<f64>,
    /// Its computing time over what [`super::CutCost`] says for the cut that it had.
    pub compute_ratio: Option<f64>,
    /// The server's computing time for it, likewise.
    pub server_ratio: Option<f64>,
    /// What it draws in its power mode now.
    pub power: Option<Power>,
}

/// What was decided for one device.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Its place among the devices.
    pub device: usize,
    /// Its cut from now on.
    pub cut: usize,
    /// The one before; the same at the first decision.
    pub previous: usize,
    /// What its next round is predicted to take, until the server has its part, and its energy in the whole round.
    pub predicted: Point,
    /// Why, in one short sentence.
    pub reason: String,
}

/// Chooses cuts every round.
#[derive(Debug, Clone)]
pub struct Controller {
    fleet: Fleet,
}

impl Controller {
    /// A controller that believes what the fleet is at time 0, until it sees something else.
    ///
    /// # Panics
    /// If `smoothing`, the weight of the newest round, is not above 0 and up to 1, or `hysteresis`, the share by which
    /// other cuts have to be better, not from 0 and below 1.
    pub fn new(fleet: &Fleet, objective: Objective, smoothing: f64, hysteresis: f64) -> Self {
        todo!("{fleet:?} {objective:?} {smoothing} {hysteresis}")
    }

    /// Begins with these cuts instead of the best.
    pub fn starting_with(self, cuts: Vec<usize>) -> Self {
        todo!("{cuts:?}")
    }

    /// Takes notice of what was seen of a device.
    pub fn observe(&mut self, device: usize, seen: Observation) {
        todo!("{device} {seen:?}")
    }

    /// Forgets a device that has died; the others keep their numbers.
    pub fn remove(&mut self, device: usize) {
        todo!("{device}")
    }

    /// Decides on the next round: one decision for each device that is left, in their order.
    ///
    /// # Errors
    /// When no cuts are within the limits.
    pub fn decide(&mut self) -> Result<Vec<Decision>, Infeasible> {
        todo!("{:?}", self.fleet)
    }

    /// What is believed of the fleet: the devices that are left, under constant conditions.
    pub fn believed(&self) -> &Fleet {
        &self.fleet
    }
}
