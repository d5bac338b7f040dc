//! The integration tests: what several modules promise together.

#[path = "../cases/mod.rs"]
mod cases;

mod architecture;
mod comm_threads;
mod delayed;
mod emulated;
mod faults_comm;
mod fuzz;
mod golden;
mod golden_img;
mod grid;
mod offload_full;
mod pipeline;
mod pipeline_local;
mod pipeline_virtual;
mod recovery;
mod saved;
mod simulated;
mod split_virtual;
mod strategies;
mod teams;
