//! A strategy's only way out.

use crate::event::Event;
use crate::optim::Optimizer;

/// Where training stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Epochs finished.
    pub epoch: u64,
    /// Steps finished in the running epoch.
    pub step_in_epoch: u64,
    /// Steps finished since the beginning.
    pub step: u64,
    /// Samples trained since the beginning.
    pub samples: u64,
}

/// Everything that a checkpoint must hold, as named flat slices and a cursor. It holds nothing of one rank.
pub struct State<'a> {
    /// Where training stands.
    pub cursor: Cursor,
    /// The parameters.
    pub theta: &'a [f32],
    /// Running statistics, never seen by the optimizer.
    pub sigma: &'a [f32],
    /// The optimizer, whose vectors are aligned with θ.
    pub optimizer: &'a dyn Optimizer,
}

impl State<'_> {
    /// All slices by name.
    pub fn slices(&self) -> Vec<(&'static str, &[f32])> {
        let mut slices = vec![("theta", self.theta), ("sigma", self.sigma)];
        slices.extend(self.optimizer.state());
        slices
    }
}

/// What one rank wants to happen after the coming step. The strongest wish of all ranks counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    /// Nothing.
    #[default]
    GoOn,
    /// Save the state.
    Save,
    /// Save the state and stop.
    Stop,
}

/// Something the outside could not do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct JobError(pub String);

/// The outside of a training: it hears events and has a turn at every step.
pub trait Job {
    /// Hears what happened. Called on every rank.
    fn emit(&mut self, event: Event);

    /// This rank's wish at the beginning of a step. It rides in the step's own reduction, so that all
    /// ranks stop at one step. Called on every rank; must not allocate where training must not.
    ///
    /// # Errors
    /// Ends the job.
    fn turn(&mut self, state: &State) -> Result<Turn, JobError>;

    /// Saves the state: all ranks agreed to, after the same step.
    ///
    /// # Errors
    /// Ends the job.
    fn save(&mut self, _state: &State) -> Result<(), JobError> {
        Ok(())
    }

    /// Resident memory of this rank in MiB, 0 when unknown.
    fn memory_mb(&self) -> f64 {
        0.0
    }
}
