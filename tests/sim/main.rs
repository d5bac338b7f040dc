//! The protocols in simulated worlds: the production code, thousands of schedules, whatever goes wrong.

mod world;
