//! What people see: the terminal, charts, and tables.

mod axis;
pub mod chart;
pub mod confusion;
mod lines;
pub mod speedup;
pub mod svg;
pub mod terminal;
pub(crate) mod text;
