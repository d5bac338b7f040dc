//! What a run leaves behind: its directory, its state, its logs, its checkpoints, its model file.
//!
//! Everything here but `live`, `signals`, `watchdog` and `fault` may be called at rank 0 only, and nothing here but
//! `watchdog` knows that other ranks exist.

pub mod checkpoint;
mod cut;
pub mod directory;
pub mod disk;
pub mod error;
pub mod fault;
pub mod file;
pub mod live;
pub mod lock;
pub mod log;
pub mod metrics;
mod model_bytes;
pub mod model_file;
pub mod power;
pub mod signals;
pub mod splits;
pub mod stages;
pub mod state;
pub mod tasks;
pub(crate) mod untrusted;
pub mod watchdog;

pub use directory::{RunDir, run_name};
pub use error::RunError;
pub use file::write_atomic;
