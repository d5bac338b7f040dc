//! Where each task of a network's graph runs.
//!
//! A [`TaskGraph`] says what is to be done, a [`Problem`] what it costs on each rank, a [`Plan`] who does it. Each method
//! is one file with its paper; what a plan really takes, with many requests and shared links, says [`simulate`].

pub mod arrivals;
pub mod critical;
mod error;
mod graph;
mod problem;
mod schedule;
pub mod simulate;
pub mod stream;

pub use error::PlacementError;
pub use graph::{GraphError, Task, TaskGraph, TaskId, Tensor, TensorId};
pub use problem::{Between, Comes, Problem};
pub use schedule::{Plan, Schedule, Slot};
