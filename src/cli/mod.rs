//! (under construction)
pub mod args;
pub mod eval;
pub mod failure;
pub mod model;
mod output;
pub mod predict;
pub mod report;
pub mod show;
pub mod state;
mod usage;

#[cfg(test)]
mod args_tests;
#[cfg(test)]
mod model_tests;
