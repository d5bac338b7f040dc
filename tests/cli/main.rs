//! The program as its users meet it: the built binary, driven from outside.
//!
//! `bad_input` is one table of what users get wrong, `good` and its neighbours are what has to work.
//! Where MPI cannot be had (no mpirun, or a build without it) those cases say SKIP and why.

mod bad_input;
mod bench_offload;
mod chain;
mod commands;
mod exits;
mod files;
mod grid;
mod memory;
mod modes;
mod pictures;
mod plan;
mod resume;
mod run;
mod terminal;
