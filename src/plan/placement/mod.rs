//! Where each task of a network's graph runs.
//!
//! A [`TaskGraph`] says what is to be done, a [`Problem`] what it costs on each rank, a [`Plan`] who does it. Each method
//! is one file with its paper; what a plan really takes, with many requests and shared links, says [`simulate`].

mod additive;
mod anneal;
pub mod arrivals;
mod auto;
mod bound;
mod chain;
pub mod critical;
mod error;
mod exact;
mod flow;
mod fuse;
mod graph;
mod lists;
pub mod mec;
mod methods;
mod min_cut;
mod objective;
mod originals;
pub mod policy;
mod problem;
#[cfg(test)]
mod random;
mod room;
mod schedule;
mod simple;
pub mod simulate;
pub mod stream;
#[cfg(test)]
mod testing;

pub use additive::Additive;
pub use anneal::anneal;
pub use auto::{Found, Row, auto, by_name, names, replan};
pub use bound::lower_bound;
pub use chain::chain;
pub use error::PlacementError;
pub use exact::{Exact, exact};
pub use fuse::{Fused, fuse};
pub use graph::{GraphError, Task, TaskGraph, TaskId, Tensor, TensorId};
pub use lists::{cpop, heft, peft};
pub use methods::{Ask, METHODS, Method};
pub use min_cut::min_cut;
pub use objective::{Judge, Judged, Limit, Limits, Objective};
pub use problem::{Between, Comes, Problem};
pub use schedule::{Plan, Schedule, Slot};
pub use simple::{local, random, source};
