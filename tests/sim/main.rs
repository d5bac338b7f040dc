//! The protocols in simulated worlds: the production code, thousands of schedules, whatever goes wrong.

mod check;
mod grid;
mod job;
mod oracle;
mod setup;
mod world;
