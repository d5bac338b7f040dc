//! goai-rs trains one neural network every way an MPI cluster can, and says what each way costs.
//!
//! The program `goai-rs` is one call of [`cli::main`]; all of it is here, in storeys. A module imports from lower
//! storeys only, and `tests/it/architecture.rs` reads the sources to see that it does.
//!
//! ```text
//! 5  the outside    cli  config  run  report   what is typed, where it comes from, what a run leaves and shows
//! 4  strategies     strategy                   single, sendrecv, allreduce, behind one door: strategy::fit
//! 3  plans            plan                      pipeline schedules as data, checked and timed; where to cut a chain
//! 2  messages       comm                       ranks that talk: alone, as threads, over MPI
//!    machines       device                     what time it is on a rank; emulated devices, links, energy
//! 1  mathematics    nn  optim                  networks over one flat vector θ, kernels, optimizers
//!    data           data                       tables, splits, the one order of the samples
//! 0  words          units  rng  event          quantities, random streams, what happens in a run
//! ```
//!
//! # The main path
//!
//! `mpirun -n 20 ./goai-rs --mode allreduce`, from the shell to a multiplication, is seven files. [`cli`] parses the
//! arguments and chooses a command; then read, in this order:
//!
//! 1. `cli/train.rs`: the world is chosen (one rank, threads, MPI); on each rank: prepare, open, train, save, close.
//! 2. `cli/prepare.rs`: the ranks agree on command line, configuration, data and instruction set.
//! 3. `strategy/mod.rs`: [`strategy::fit`], the door.
//! 4. `strategy/fit.rs`: epochs and steps; after an epoch validation, records, the comparison of the weights.
//! 5. `strategy/stepper.rs`: one step's sum over the global batch, packed as f32 or order-free as integers.
//! 6. `strategy/learner.rs`: this rank's samples go through the network.
//! 7. `nn/program.rs`: the compiled network, forward, loss and backward.
//!
//! A strategy meets the world at four seams: a [`strategy::Task`] (what to train), a [`comm::Communicator`] (with
//! whom), a [`device::Clock`] (what time it is) and a [`strategy::Job`] (the only way out). ARCHITECTURE.md has the
//! other seams, the messages, the life of a failure, and where to put something new.
#![cfg_attr(docsrs, feature(doc_cfg))]

// 0 words
pub mod event;
pub mod layout;
pub mod rng;
pub mod units;
// 1 mathematics and data
pub mod data;
pub mod nn;
pub mod optim;
// 2 messages and machines
pub mod comm;
pub mod device;
// 3 plans
pub mod plan;
// 4 strategies
pub mod strategy;
// 5 the outside
pub mod cli;
pub mod config;
pub mod fuzz;
pub mod report;
pub mod run;
