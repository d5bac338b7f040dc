//! What listens to a training: logs and terminal at rank 0, signals and planned faults on every rank.

use super::failure::CHECKPOINTED;
use super::keeper::Keeper;
use super::output::Output;
use super::ranks::Ended;
use super::vigil::Watcher;
use crate::comm::{Communicator, Reduce, Values};
use crate::event::{Event, StageLive};
use crate::run::fault::Fault;
use crate::run::live::Live;
use crate::run::power::EnergyMeter;
use crate::run::signals::{StopRequest, signal_name};
use crate::strategy::{Fit, Job, JobError, State, Turn};
use std::path::PathBuf;

/// The outside of one rank's training.
pub struct Observer<'a> {
    rank: usize,
    output: Option<&'a mut Output>,
    stop: StopRequest,
    fault: Option<Fault>,
    live: Option<Live>,
    meter: Option<EnergyMeter>,
    watcher: Option<Watcher<'a>>,
    steps_per_epoch: u64,
    keeper: Option<Keeper<'a>>,
    keeps_epochs: bool,
}

impl<'a> Observer<'a> {
    /// An observer; only rank 0 has an output.
    pub fn new(rank: usize, output: Option<&'a mut Output>, stop: StopRequest, fault: Option<Fault>) -> Self {
        Self {
            rank,
            output,
            stop,
            fault,
            live: None,
            meter: None,
            watcher: None,
            steps_per_epoch: 0,
            keeper: None,
            keeps_epochs: false,
        }
    }

    /// The same with a file for the live figures of this rank's stage, if it has one.
    pub fn with_live(self, live: Option<Live>) -> Self {
        Self { live, ..self }
    }

    /// The same with what measures the energy of this rank's node, if it is this rank that does.
    pub fn with_meter(self, meter: Option<EnergyMeter>) -> Self {
        Self { meter, ..self }
    }

    /// The same with what keeps checkpoints, at rank 0; `regular`, on all ranks: whether there are others than that of a stop.
    pub fn with_checkpoints(self, keeper: Option<Keeper<'a>>, regular: bool) -> Self {
        Self { keeper, keeps_epochs: regular, ..self }
    }

    /// Waits until all checkpoints are written; file and step of the newest one.
    ///
    /// # Errors
    /// When one could not be written that has to be.
    pub fn finish(&mut self) -> Result<Option<(PathBuf, u64)>, JobError> {
        let (Some(keeper), Some(output)) = (&mut self.keeper, &mut self.output) else { return Ok(None) };
        keeper.finish(output)?;
        Ok(keeper.newest().cloned())
    }

    /// The same with a hand on the watch over the ranks.
    pub fn with_watcher(self, watcher: Watcher<'a>) -> Self {
        Self { watcher: Some(watcher), ..self }
    }

    /// Tells the watch how far this rank is. Behind the epoch's last step samples are measured, which is no stall.
    fn watch(&self, step: u64, last_of_epoch: bool) {
        if let Some(watcher) = &self.watcher {
            watcher.at(step);
            if last_of_epoch {
                watcher.steps_are_made(false);
            }
        }
    }

    /// A rank without an output keeps its trouble to itself: its file is missing, or grows old.
    fn show(&mut self, stage: &StageLive) {
        let trouble = self.live.as_mut().and_then(|live| live.write(stage).err());
        if let (Some(trouble), Some(output)) = (trouble, &mut self.output) {
            output.hear(&Event::Note { text: trouble.to_string() });
        }
    }
}

impl Job for Observer<'_> {
    fn emit(&mut self, event: Event) {
        if let Event::Started { steps_per_epoch, .. } = event {
            self.steps_per_epoch = steps_per_epoch;
        }
        if let (Event::Started { .. } | Event::Epoch(_), Some(watcher)) = (&event, &self.watcher) {
            watcher.steps_are_made(true);
        }
        if let Event::Live(stage) = &event {
            return self.show(stage);
        }
        if let (Event::Epoch(record), Some(keeper)) = (&event, &mut self.keeper) {
            keeper.epoch(record.val_acc);
        }
        if let Some(output) = &mut self.output {
            output.hear(&event);
        }
    }

    fn turn(&mut self, state: &State) -> Result<Turn, JobError> {
        self.watch(state.cursor.step + 1, state.cursor.step_in_epoch + 1 >= self.steps_per_epoch);
        if let Some(fault) = self.fault {
            fault.strike(self.rank, state.cursor.step + 1).map_err(JobError)?;
        }
        if let Some(output) = &mut self.output {
            output.step(&state.cursor, self.steps_per_epoch);
        }
        let wish = self.stop.wish(self.rank);
        let (Some(keeper), Some(output)) = (&mut self.keeper, &mut self.output) else { return Ok(wish) };
        keeper.look(output)?;
        let due = keeper.is_due(state.cursor.step + 1);
        Ok(wish.max(if due { Turn::Save } else { Turn::GoOn }))
    }

    fn save(&mut self, state: &State) -> Result<(), JobError> {
        match (&mut self.keeper, &mut self.output) {
            (Some(keeper), Some(output)) => keeper.save(state, output),
            _ => Ok(()),
        }
    }

    fn keeps_epochs(&self) -> bool {
        self.keeps_epochs
    }

    fn epoch_ended(&mut self, state: &State) -> Result<(), JobError> {
        match (&mut self.keeper, &mut self.output) {
            (Some(keeper), Some(output)) => keeper.epoch_ended(state, output),
            _ => Ok(()),
        }
    }

    fn energy_j(&self) -> Option<f64> {
        Some(self.meter.as_ref()?.joules()?.0)
    }

    fn memory_mb(&self) -> f64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = kib.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
        kib.map_or(0.0, |kib| kib / 1024.0)
    }
}

/// What this rank knows of a stop: which signal, and whether a checkpoint was written.
pub fn told(stop: &StopRequest, written: bool) -> [i64; 2] {
    [i64::from(stop.signal().unwrap_or(0)), i64::from(written)]
}

/// What all ranks know of a stop.
///
/// # Collective
/// Every rank must call it.
pub fn together(comm: &dyn Communicator, mut words: [i64; 2]) -> Result<[i64; 2], Ended> {
    comm.all_reduce(Values::I64(&mut words), Reduce::Max)?;
    Ok(words)
}

/// The ending of a run that a signal stopped. `command`, at rank 0: what goes on from the checkpoint, if one was written.
pub fn stopped(fit: &Fit, words: [i64; 2], command: Option<String>) -> Ended {
    let (signal, written) = (words[0] as i32, words[1] > 0);
    // A worker of a grid says that it is asked to stop, and not by what.
    let name = if signal == 0 { "a signal to another rank" } else { signal_name(signal) };
    let place = format!("{name} after step {}, in epoch {}", fit.cursor.step, fit.cursor.epoch + 1);
    match written {
        true => Ended::all(CHECKPOINTED, format!("{place}; go on with: {}", command.unwrap_or_default())),
        false => {
            let code = u8::try_from(128 + signal).ok().filter(|_| signal > 0).unwrap_or(143);
            Ended::all(code, format!("stopped by {place}; no checkpoint was written, start the run again"))
        }
    }
}
