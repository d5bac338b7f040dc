//! Cases that every communicator must pass. The runners are `tests/it` (one rank alone, ranks as threads) and
//! `tests/mpi.rs` (processes under mpirun).
//!
//! A case is a function that every rank runs; it holds for any number of ranks and leaves no message behind.

use goai::comm::Communicator;

pub mod bounded;
pub mod collectives;
pub mod conformance;
pub mod conv;
pub mod equivalence;
pub mod grid;
pub mod iris;
pub mod local_sgd;
pub mod messages;
pub mod offload;
pub mod pictures;
pub mod pipeline;
pub mod scattered;
pub mod split;
pub mod training;

/// A name, and what every rank runs.
pub type Case = (&'static str, fn(&dyn Communicator));
