//! Offloading: requests come up at some ranks, and each task of the network runs where a plan says.
//!
//! [`serve`] is the door. On emulated machines ranks follow a [`Script`], the simulation's own: times and joules are
//! modelled, the same everywhere. Else each rank takes of its tasks whichever may run (`live`), and times are measured.
//! Either way tensors travel without replies, once to each rank that needs them, and a join waits for all its inputs by
//! (request, tensor) in the header. The answers are those of the whole network on one rank.

mod crew;
mod follow;
mod graph;
mod home;
mod live;
mod loss;
mod offset;
mod post;
mod shelf;
mod told;
mod worker;

pub use crew::{Weights, task_times};
pub use graph::{Granularity, OffloadGraph};
pub use offset::Offset;

use crate::comm::Communicator;
use crate::device::Clock;
use crate::nn::Network;
use crate::plan::placement::Plan;
use crate::plan::placement::simulate::{Request, RequestId, Script};
use crate::strategy::TrainError;
use crate::units::Seconds;

/// Makes the input of a request, in C, H, W order.
pub type Input<'a> = dyn Fn(RequestId) -> Vec<f32> + Sync + 'a;

/// Plans anew for the requests of a source, without the ranks that are not alive: nothing where that cannot be.
pub type Replan<'a> = dyn Fn(usize, &[bool]) -> Option<Plan> + Sync + 'a;

/// What is served, the same on every rank.
#[derive(Clone, Copy)]
pub struct Offload<'a> {
    /// The whole network.
    pub network: &'a Network,
    /// Its tasks.
    pub work: &'a OffloadGraph,
    /// Where the weights come from.
    pub weights: Weights<'a>,
    /// Where the inputs come from.
    pub input: &'a Input<'a>,
    /// Who asks when.
    pub requests: &'a [Request],
    /// The plans.
    pub plans: &'a [Plan],
    /// By request: its plan.
    pub choice: &'a [usize],
    /// The most unanswered requests of a source under way.
    pub queue: usize,
    /// What emulated machines follow.
    pub script: Option<&'a Script>,
    /// What is done about a rank that is lost.
    pub replan: Option<&'a Replan<'a>>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Served {
    /// What each rank did and when, on one clock: modelled where machines are emulated, else measured and corrected.
    pub record: Script,
    /// By request: the network's last output; nothing where its source was lost.
    pub answers: Vec<Option<Vec<f32>>>,
    /// By rank: how its clock was brought to rank 0's; none where machines are emulated.
    pub offsets: Vec<Offset>,
    /// Ranks that were lost on the way: ended, or not heard of for longer than they should.
    pub lost: Vec<usize>,
    /// Requests that were planned anew because of that.
    pub replanned: usize,
}

/// Answers all requests. Rank 0 gets the record of all ranks.
///
/// # Collective
/// Every rank of `comm` must call it with the same offload.
///
/// # Errors
/// When a message is wrong, rank 0 is lost, or no plan is left for a lost rank's tasks. Where machines are emulated, when any
/// rank is lost.
pub fn serve(offload: &Offload, comm: &dyn Communicator, clock: &dyn Clock) -> Result<Option<Served>, TrainError> {
    let crew = crew::Crew::assemble(offload, comm.rank())?;
    match offload.script {
        Some(script) => follow::follow(offload, script, crew, comm, clock),
        None => live::live(offload, crew, comm, clock),
    }
}

/// The time after which a rank looks around although nobody sent it anything.
const GLANCE: Seconds = Seconds(0.02);
