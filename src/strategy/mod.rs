//! The strategies: ways to train one network on several ranks, behind one door.
//!
//! [`fit`] is the door. A strategy gets a [`Task`] (what to train), a communicator (with whom), a clock (what
//! time it is) and a [`Job`], its only way out: events, and once a step a turn in which the outside may ask all
//! ranks to save or stop.

mod all_reduce;
mod buckets;
mod closing;
mod error;
mod evaluate;
mod exits;
mod figures;
mod fit;
mod grid;
mod inbox;
mod job;
mod learner;
mod local_sgd;
mod memory;
mod modelled;
pub mod offload;
mod outcome;
mod parcel;
mod pipeline;
mod portion;
mod recovery;
mod sampled;
mod sampling;
mod send_recv;
mod share;
mod single;
mod split;
mod stepper;
mod summing;
mod task;
mod team;

pub use error::TrainError;
pub use exits::{Answer, Exits, Sureness, Way, answer, sweep};
pub use fit::{Ending, Fit};
pub use grid::{Grid, Shards};
pub use job::{Cursor, Job, JobError, Snapshot, State, Turn};
pub use local_sgd::{Local, packing};
pub use memory::predicted_memory;
pub use pipeline::{Learn, Pipeline, Shuttle, cuts_behind_heads, lone_sample};
pub use split::{Adaptive, Protocol, Split, SplitCuts, SplitTerms, cut_costs, device_memory, split_fleet};
pub use stepper::bytes_per_exchange;
pub use task::{Hyper, Task};
pub(crate) use team::team;

use crate::comm::{Communicator, Metered, Reduce, Values};
use crate::device::Clock;
use crate::nn::Network;
use summing::Summing;

/// A way to train.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// One rank, no communication.
    Single,
    /// Rank 0 serves, the others train: a synchronous parameter server.
    SendRecv,
    /// Every rank trains; gradients are reduced over all of them.
    AllReduce,
    /// Every rank is a stage of the network.
    Pipeline,
    /// Rank 0 is a server, every other rank a device that holds the network's first layers.
    Split,
}

impl Strategy {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Strategy::Single => "single",
            Strategy::SendRecv => "sendrecv",
            Strategy::AllReduce => "allreduce",
            Strategy::Pipeline => "pipeline",
            Strategy::Split => "split",
        }
    }

    /// Whether a training goes on without a rank that has died, other than rank 0.
    pub fn outlives(self, task: &Task, comm: &dyn Communicator) -> bool {
        match self {
            Strategy::SendRecv => task.grid.is_some(),
            Strategy::AllReduce => comm.recovers() && task.hyper.local.is_none(),
            Strategy::Split => task.split.is_some_and(|split| split.protocol.outlives_devices()),
            Strategy::Single | Strategy::Pipeline => false,
        }
    }

    /// How many of `ranks` compute gradients.
    ///
    /// # Errors
    /// When there are too few or too many ranks: what is wrong, and the cure.
    pub fn trainers(self, ranks: usize) -> Result<usize, String> {
        match self {
            Strategy::Single if ranks > 1 => Err(format!(
                "single is for one rank, but there are {ranks}; leave --single out, or start without mpirun"
            )),
            Strategy::SendRecv if ranks < 2 => Err(
                "sendrecv needs a server and at least one worker, but there is 1 rank; start with `mpirun -n 4 ./goai-rs --mode sendrecv`, or add `--ranks 4`"
                    .into(),
            ),
            Strategy::Split if ranks < 2 => Err(
                "split needs a server and at least one device, but there is 1 rank; start with `mpirun -n 2 ./goai-rs --mode split`, or add `--ranks 2`"
                    .into(),
            ),
            Strategy::SendRecv | Strategy::Split => Ok(ranks - 1),
            // One chain, as far as anybody knows who does not know the stages.
            Strategy::Pipeline => Ok(1),
            Strategy::Single | Strategy::AllReduce => Ok(ranks),
        }
    }
}

/// How the parts of a sum get together: what the data-parallel strategies differ in.
trait Exchange<'a> {
    /// Which part of each step's global batch this rank computes; a server computes none.
    fn part(&self) -> Option<usize>;

    /// Into how many parts the global batch is cut.
    fn parts(&self) -> usize;

    /// Whether those that are left can go on when a rank has died.
    fn recovers(&self) -> bool {
        false
    }

    /// The packed vector of a step's plain sum, with `rest` elements behind the gradient; unless a strategy has a better
    /// way, one that [`Exchange::combine`] takes whole.
    fn summing(&self, network: &Network, rest: usize) -> Result<Summing<'a>, TrainError> {
        Ok(Summing::OneVector(vec![0.0; network.theta_len() + rest]))
    }

    /// Combines the values of all ranks and leaves the same bits on all of them.
    fn combine(&mut self, values: Values, op: Reduce) -> Result<(), TrainError>;
}

/// Trains.
///
/// # Collective
/// Every rank of `comm` must call it with an equal task.
///
/// # Errors
/// Divergence is found by all ranks at the same step. Communication errors and a [`JobError`] are
/// this rank's own: the caller must end the job.
pub fn fit(
    strategy: Strategy,
    task: &Task,
    comm: &dyn Communicator,
    clock: &dyn Clock,
    job: &mut dyn Job,
) -> Result<Fit, TrainError> {
    let comm = Metered::new(comm, clock);
    match strategy {
        Strategy::Single => fit::train(task, &comm, clock, &mut single::Alone, job),
        Strategy::SendRecv => match task.grid {
            Some(grid) => grid::train(task, grid, &comm, clock, job),
            None => fit::train(task, &comm, clock, &mut send_recv::ParameterServer::new(&comm), job),
        },
        Strategy::Pipeline => pipeline::train(task, &comm, clock, job),
        Strategy::Split => split::train(task, &comm, clock, job),
        Strategy::AllReduce => fit::train(task, &comm, clock, &mut all_reduce::AllReduce::new(&comm), job),
    }
}
