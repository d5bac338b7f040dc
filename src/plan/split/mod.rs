//! Where devices hand a network over to a server: what each cut costs, and which is best.
//!
//! [`CutCost`] and [`Member`] say what the cuts of one device cost, [`Fleet`] joins devices at a server, and
//! [`Fleet::simulate`] plays one round of them, message by message, by the rules of [`crate::device::Machine`].
//! [`Objective`] says what is better, [`Fleet::choose`] finds the best cuts, [`Controller`] finds them round by round out
//! of what was measured, and [`Policy`] compares ways of choosing over many rounds. [`Chain`] cuts a network between
//! any number of machines in a row.
//!
//! All figures are modelled.
//!
//! # References
//! Samikwa, Di Maio, Braun: *ARES: Adaptive Resource-Aware Split Learning for Internet of Things*, Computer Networks 218
//! (2022) 109380, for the costs of a cut and the objective; its authors' published profiles are in
//! `tests/oracles/ares.json`.

mod chain;
mod controller;
mod cost;
mod fleet;
mod limits;
mod objective;
mod phases;
mod policy;
mod search;
mod simulate;

#[cfg(test)]
mod tests;

pub use chain::{Chain, Tier};
pub use controller::{Controller, Decision, Observation};
pub use cost::{CutCost, Member, Way};
pub use fleet::{Fleet, Protocol, Server};
pub use objective::{Infeasible, Norms, Objective, Point};
pub use phases::{Idle, Phase, Phases};
pub use policy::{Played, Policy, Regret, Run};
pub use search::Choice;
pub use simulate::{Round, Share};
