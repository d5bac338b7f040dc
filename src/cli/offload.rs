//! Mode offload: from the checked configuration to requests that are answered.

mod decide;
mod inputs;
mod keys;
mod measured;
mod network;
mod orders;
mod results;
mod run;

pub use keys::{KEYS, only_in_offload, trains};
pub use run::{Setting, run};
