//! What people see: the terminal, charts, and tables.

mod axis;
pub mod chain;
pub mod chart;
pub mod chrome_trace;
pub mod confusion;
pub mod exits;
pub mod gantt;
mod lines;
pub mod offload;
pub mod speedup;
pub mod splits;
pub mod stages;
pub mod svg;
pub mod terminal;
pub(crate) mod text;
