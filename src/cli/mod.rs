//! (under construction)
pub mod args;
mod usage;

#[cfg(test)]
mod args_tests;
