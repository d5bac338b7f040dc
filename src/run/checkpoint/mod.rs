//! Checkpoints: from where a training goes on as if it had never stopped.
//!
//! `format` turns a state into a file's bytes and back, `store` keeps the last two files of a run whole whatever
//! happens to the machine, `writer` writes beside the training. A checkpoint holds nothing of one rank: any number of
//! ranks may go on from it.

pub mod format;
pub mod store;
pub mod writer;

#[cfg(test)]
mod tests;

pub use format::{Checkpoint, CheckpointMeta, Loaded};
pub use store::{Newest, Refused, Saved, Store, load, newest_valid};
pub use writer::{Writer, Written};
