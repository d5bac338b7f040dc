//! A parameter server whose workers may be slow, leave, freeze or die: training goes on.
//!
//! Rank 0 is the server: it alone holds the weights and the optimizer. A pass over the training part is cut into chunks; a
//! worker gets a chunk and the weights, and answers with what the chunk says about them. Which worker computes what, when
//! a step closes and what is thrown away is decided by a [`Quorum`](crate::plan::quorum::Quorum), which knows no message;
//! here are the messages. From the first task to the last nothing is collective, no wait is without an end, and
//! nothing is expected of a worker but what it was asked for.
//!
//! # Messages
//! | | from | holds |
//! |---|---|---|
//! | task | server | an order; `[θ \| σ \| scales \| rate]` where the worker lacks these weights |
//! | report | worker | `[∇ \| moments \| tail]` of a chunk, as integers with `--deterministic`; or `[Δθ \| Δσ \| tail]` of a shard; then the worker's figures |
//! | end | server | the final weights and how it ended; a worker answers with a last report |
//!
//! # References
//! Dutta et al., *Slow and stale gradients can win the race*, AISTATS 2018, arXiv:1803.01113; for shards, McMahan et
//! al., *Communication-efficient learning of deep networks from decentralized data*, AISTATS 2017, arXiv:1602.05629.

mod books;
mod chunks;
mod collect;
mod ending;
mod listen;
mod measure;
mod roster;
mod server;
mod settings;
mod shard;
mod wire;
mod worker;

pub use settings::{Grid, Shards};

use super::modelled::Phases;
use super::{Fit, Job, Task, TrainError};
use crate::comm::{Communicator, Metered};
use crate::device::Clock;
use crate::nn::{Flavor, Program};
use std::time::Duration;

/// How long a rank waits before it looks for signals, lives and deadlines again.
const PATIENCE: Duration = Duration::from_millis(20);

/// Trains: rank 0 serves, all others work.
///
/// # Collective
/// Every rank must call it.
pub(super) fn train(
    task: &Task,
    grid: &Grid,
    comm: &Metered,
    clock: &dyn Clock,
    job: &mut dyn Job,
) -> Result<Fit, TrainError> {
    let program = Program::compile(task.network, Flavor::Fused);
    // The only thing that all do together where time is real, while all are there. Books of machines in virtual time are
    // kept by all together; in real time somebody may be gone by then, and the wall clock tells the seconds.
    let virtual_time = clock.machine().is_some_and(|machine| !machine.is_paced());
    let wanted = Phases::wanted(comm, clock, job)? && virtual_time;
    match comm.rank() {
        0 => server::Server::new(task, grid, &program, comm, clock)?.run(wanted, job),
        _ => worker::Worker::new(task, grid, &program, comm, clock).run(wanted, job),
    }
}

/// Splits a number into floats that hold its bits, and back: payloads are floats.
fn halves(value: f64) -> [f32; 2] {
    let bits = value.to_bits();
    [f32::from_bits((bits >> 32) as u32), f32::from_bits(bits as u32)]
}

fn joined(halves: &[f32]) -> f64 {
    f64::from_bits(u64::from(halves[0].to_bits()) << 32 | u64::from(halves[1].to_bits()))
}
