//! The protocols in simulated worlds: the production code, thousands of schedules, whatever goes wrong.

mod check;
mod garbage;
mod grid;
mod job;
mod mutant;
mod oracle;
mod planted;
mod setup;
mod world;
