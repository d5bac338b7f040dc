//! Split learning: devices hold the first layers of a network, a server the rest.
//!
//! Rank 0 is the server, every other rank a device. A device sends the activations of its last layer up and gets their
//! gradient back; after a round the networks that came of it are averaged, and cut anew where that is better. From the
//! first round to the last nothing is collective, so that a round goes on without a device that has died, where the
//! protocol allows it.
//!
//! | file | what it is |
//! |---|---|
//! | `settings` | what makes such a training |
//! | `device` | a device's round and steps |
//! | `server`, `round`, `turns` | the server's rounds: orders out, batches served, parts back; whose batch is next |
//! | `merge` | parts become one network, which is cut anew |
//! | `choose`, `costs`, `probe`, `ability` | which cuts are next; what they cost; what links and ranks can do |
//! | `state`, `ending` | the whole state, asked for, saved, restored; the end |
//! | `books` | what rounds and epochs were |
//! | `sides`, `dealer`, `fleet`, `wire` | both sides at every cut; who trains on what; who lives; what is in the messages |
//!
//! # References
//! Samikwa et al., *ARES: Adaptive Resource-Aware Split Learning for Internet of Things*, Computer Networks 218, 2022,
//! 109380; the other protocols: [`Protocol`].

mod ability;
mod books;
mod choose;
mod costs;
mod dealer;
mod device;
mod ending;
mod fleet;
mod merge;
mod probe;
mod round;
mod server;
mod settings;
mod sides;
mod state;
mod turns;
mod wire;

pub use costs::{SplitTerms, cut_costs, device_memory, split_fleet};
pub use settings::{Adaptive, Protocol, Split, SplitCuts};

use super::modelled::together;
use super::{Fit, Job, Task, TrainError};
use crate::comm::{Communicator, Metered};
use crate::device::Clock;
use crate::nn::{Flavor, Program};
use sides::Sides;
use std::time::Duration;

/// The server's rank.
const SERVER: usize = 0;
/// How long a rank waits before it looks for signals, lives and orders again.
const PATIENCE: Duration = Duration::from_millis(20);

/// Trains: rank 0 serves, all others are devices.
///
/// # Collective
/// Every rank must call it.
///
/// # Panics
/// If the task has no [`Split`], or one that does not fit network and ranks.
pub(super) fn train(task: &Task, comm: &Metered, clock: &dyn Clock, job: &mut dyn Job) -> Result<Fit, TrainError> {
    let split = task.split.expect("the configuration was checked");
    let sides = Sides::new(task.network);
    assert!(sides.blocks() <= wire::MOST_BLOCKS, "more blocks than fit a message");
    if let Some(machine) = clock.machine() {
        // The only thing that all do together, while all are there: time begins for all at once.
        together(comm, clock, machine)?;
    }
    match comm.rank() {
        SERVER => {
            let program = Program::compile(task.network, Flavor::Fused);
            server::Server::new(task, split, &program, comm, clock, &sides)?.run(job)
        }
        _ => device::Device::new(task, split, comm, clock, &sides).run(job),
    }
}
