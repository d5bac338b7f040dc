//! Split learning: each device holds the first layers, a server the rest.

mod settings;

pub use settings::{Adaptive, Protocol, Split, SplitCuts};

use super::{Fit, Job, Task, TrainError};
use crate::comm::Metered;
use crate::device::Clock;

/// Trains: rank 0 serves, all others are devices.
///
/// # Collective
/// Every rank must call it.
pub(super) fn train(task: &Task, comm: &Metered, clock: &dyn Clock, job: &mut dyn Job) -> Result<Fit, TrainError> {
    let _ = (task, comm, clock, job);
    unimplemented!("comes with the next commit")
}
