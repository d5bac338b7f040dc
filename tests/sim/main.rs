//! The protocols in simulated worlds: the production code, thousands of schedules, whatever goes wrong.
//!
//! `GOAI_SIM_SEEDS=N` sets how many seeds (2,000); `GOAI_SIM_SEED=S` runs one and shows all that happened in it:
//! `GOAI_SIM_SEED=123 cargo test --test sim grid::even -- --nocapture`.

mod check;
mod faults;
mod garbage;
mod grid;
mod job;
mod meddled;
mod mutant;
mod offload;
mod oracle;
mod planted;
mod seeds;
mod setup;
mod split;
mod world;
