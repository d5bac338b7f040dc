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
    /// Scales of the order-free sum; empty without `--deterministic`.
    pub scales: &'a [f32],
    /// 1 for each chunk of the running epoch that is applied, 0 for the others; empty where steps come in order.
    pub applied: &'a [f32],
    /// The optimizer, whose vectors are aligned with θ.
    pub optimizer: &'a dyn Optimizer,
}

impl State<'_> {
    /// All slices by name.
    pub fn slices(&self) -> Vec<(&'static str, &[f32])> {
        let mut slices =
            vec![("theta", self.theta), ("sigma", self.sigma), ("scales", self.scales), ("applied", self.applied)];
        slices.extend(self.optimizer.state());
        slices
    }

    /// A copy that outlives the step.
    pub fn snapshot(&self) -> Snapshot {
        let copy = |(name, slice): (&'static str, &[f32])| (name.to_string(), slice.to_vec());
        Snapshot { cursor: self.cursor, slices: self.slices().into_iter().map(copy).collect() }
    }
}

/// A state to go on from: training continues with the same bits as if it had never stopped.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Where training stood.
    pub cursor: Cursor,
    /// Every slice of the state by its name.
    pub slices: Vec<(String, Vec<f32>)>,
}

impl Snapshot {
    /// The same for ranks that all hold one network of so many parameters: what the optimizers of several devices
    /// remember, one behind the other, becomes its mean.
    pub fn of_one(mut self, theta_len: usize) -> Self {
        let several = |len: usize| theta_len > 0 && len > theta_len && len.is_multiple_of(theta_len);
        let vectors = self.slices.iter_mut().filter(|(name, slice)| name != "applied" && several(slice.len()));
        for (_, slice) in vectors {
            let devices = slice.len() / theta_len;
            let mean = |i: usize| slice[i..].iter().step_by(theta_len).sum::<f32>() / devices as f32;
            *slice = (0..theta_len).map(mean).collect();
        }
        self
    }

    /// Copies the slice of this name.
    ///
    /// # Errors
    /// When it is missing or has another length: the snapshot is of another network or optimizer.
    pub fn restore(&self, name: &str, to: &mut [f32]) -> Result<(), String> {
        match self.slices.iter().find(|(known, _)| known == name) {
            Some((_, slice)) if slice.len() == to.len() => {
                to.copy_from_slice(slice);
                Ok(())
            }
            Some((_, slice)) => Err(format!("its {name} has {} elements, this training's {}", slice.len(), to.len())),
            None => Err(format!("it holds no {name}")),
        }
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
    /// Have this rank go, and the others train on. In lock-step nobody can go alone: there it counts as [`Turn::Stop`].
    Leave,
    /// Save the state and stop.
    Stop,
}

impl Turn {
    /// What a wish comes to where all ranks do the same.
    pub fn in_lock_step(self) -> Self {
        if self == Self::Leave { Self::Stop } else { self }
    }
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
    /// ranks stop at one step; where ranks take steps by themselves, in their next averaging, and until then the state is
    /// this rank's own. Called on every rank; must not allocate where training must not.
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

    /// Whether [`Job::epoch_ended`] wants the state behind every epoch. The same on all ranks.
    fn keeps_epochs(&self) -> bool {
        false
    }

    /// Sees the state behind an epoch whose record it has heard; every rank calls it where [`Job::keeps_epochs`].
    ///
    /// # Errors
    /// Ends the job.
    fn epoch_ended(&mut self, _state: &State) -> Result<(), JobError> {
        Ok(())
    }

    /// Joules that this rank's node has used so far, measured; nothing where nothing measures them, and on all ranks of
    /// a node but one.
    fn energy_j(&self) -> Option<f64> {
        None
    }

    /// Resident memory of this rank in MiB, 0 when unknown.
    fn memory_mb(&self) -> f64 {
        0.0
    }
}
