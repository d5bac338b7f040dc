//! Mode offload: from the checked configuration to requests that are answered.

mod arrivals;
mod counting;
mod decide;
mod inputs;
mod keys;
mod measured;
mod network;
mod orders;
mod results;
mod run;

pub use arrivals::requests;
pub use keys::{KEYS, only_in_offload, trains};
pub use run::{Setting, run};
