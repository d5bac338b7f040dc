//! Mode offload: from the checked configuration to requests that are answered.

mod arrivals;
mod keys;

pub use arrivals::requests;
pub use keys::{KEYS, only_in_offload, trains};
