//! Mode offload: from the checked configuration to requests that are answered.

mod keys;

pub use keys::{KEYS, only_in_offload, trains};
