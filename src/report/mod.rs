//! What people see: the terminal, charts, and tables.

mod axis;
pub mod chain;
pub mod chart;
pub mod confusion;
pub mod exits;
mod lines;
pub mod speedup;
pub mod splits;
pub mod stages;
pub mod svg;
pub mod terminal;
pub(crate) mod text;
