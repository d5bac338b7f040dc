//! What people see: the terminal, charts, and tables.

pub mod chart;
pub mod confusion;
mod lines;
pub mod speedup;
pub mod svg;
pub mod terminal;
mod text;
