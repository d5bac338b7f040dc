//! Where each task of a network's graph runs.
//!
//! A [`TaskGraph`] says what is to be done, a [`Problem`] what it costs on each rank, a [`Plan`] who does it. Each method
//! is one file with its paper; what a plan really takes, with many requests and shared links, says [`simulate`].

mod bound;
mod error;
mod exact;
mod graph;
mod lists;
mod problem;
#[cfg(test)]
mod random;
mod room;
mod schedule;
pub mod simulate;

pub use bound::lower_bound;
pub use error::PlacementError;
pub use exact::{Exact, exact};
pub use graph::{GraphError, Task, TaskGraph, TaskId, Tensor, TensorId};
pub use lists::{cpop, heft, peft};
pub use problem::{Between, Problem};
pub use schedule::{Plan, Schedule, Slot};
