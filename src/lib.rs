//! goai-rs trains one neural network every way an MPI cluster can, and says what each way costs.
#![cfg_attr(docsrs, feature(doc_cfg))]

// 0 words
pub mod event;
pub mod rng;
pub mod units;
// 1 mathematics and data
pub mod data;
pub mod nn;
pub mod optim;
// 2 messages and machines
pub mod comm;
pub mod device;
// 4 strategies
pub mod strategy;
// 5 the outside
pub mod cli;
pub mod config;
pub mod report;
pub mod run;
