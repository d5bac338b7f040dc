//! (under construction)
pub mod args;
pub mod failure;
mod usage;

#[cfg(test)]
mod args_tests;
