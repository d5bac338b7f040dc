//! Offloading: one network's requests, computed task by task on many ranks.

mod graph;

pub use graph::{Granularity, OffloadGraph};
