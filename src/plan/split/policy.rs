//! Ways of choosing cuts, compared over many rounds.

use super::{Fleet, Infeasible, Objective, Point};
use crate::units::{Joules, Seconds};

/// A way of choosing cuts.
#[derive(Debug, Clone, PartialEq)]
pub enum Policy {
    /// The best cuts for the conditions at time 0, kept for ever.
    Static,
    /// Chosen every round out of what the rounds before it showed, by a [`super::Controller`].
    Ares {
        /// Weight of the newest round.
        smoothing: f64,
        /// Share by which other cuts have to be better.
        hysteresis: f64,
    },
    /// Chosen every round, knowing what the links and machines will do in it. No policy is better in a single round.
    Clairvoyant,
    /// These cuts, one a device.
    Fixed(Vec<usize>),
    /// Everything on the devices.
    Federated,
    /// Classic split learning: devices one after the other, with this common cut or the best for time 0.
    Classic(Option<usize>),
}

/// One round as a policy played it.
#[derive(Debug, Clone, PartialEq)]
pub struct Played {
    /// The cuts.
    pub cuts: Vec<usize>,
    /// When the round began.
    pub start: Seconds,
    /// Its time, and the energy of all devices.
    pub point: Point,
    /// The server's energy.
    pub server: Joules,
}

/// Rounds as a policy played them.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The rounds.
    pub rounds: Vec<Played>,
}

impl Run {
    /// Time and energy of all devices, of all rounds.
    pub fn total(&self) -> Point {
        todo!()
    }

    /// How much more than another run this one took, of time and of energy: 0.05 is 5 % more.
    pub fn regret(&self, best: &Run) -> (f64, f64) {
        todo!("{best:?}")
    }
}

impl Policy {
    /// Plays so many rounds, each from when the one before ended.
    ///
    /// # Errors
    /// When no cuts are within the limits of the objective.
    pub fn play(&self, fleet: &Fleet, objective: &Objective, rounds: usize) -> Result<Run, Infeasible> {
        todo!("{fleet:?} {objective:?} {rounds}")
    }
}
