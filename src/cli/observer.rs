//! What listens to a training: logs and terminal at rank 0, signals and planned faults on every rank.

use super::output::Output;
use super::ranks::Ended;
use super::vigil::Watcher;
use crate::comm::{Communicator, Reduce, Values};
use crate::event::{Event, StageLive};
use crate::run::fault::Fault;
use crate::run::live::Live;
use crate::run::power::EnergyMeter;
use crate::run::signals::StopRequest;
use crate::strategy::{Fit, Job, JobError, State, Turn};

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
}

impl<'a> Observer<'a> {
    /// An observer; only rank 0 has an output.
    pub fn new(rank: usize, output: Option<&'a mut Output>, stop: StopRequest, fault: Option<Fault>) -> Self {
        Self { rank, output, stop, fault, live: None, meter: None, watcher: None, steps_per_epoch: 0 }
    }

    /// The same with a file for the live figures of this rank's stage, if it has one.
    pub fn with_live(self, live: Option<Live>) -> Self {
        Self { live, ..self }
    }

    /// The same with what measures the energy of this rank's node, if it is this rank that does.
    pub fn with_meter(self, meter: Option<EnergyMeter>) -> Self {
        Self { meter, ..self }
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
        Ok(if self.stop.signal().is_some() { Turn::Stop } else { Turn::GoOn })
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

/// The ending of a run that a signal stopped: which signal, agreed by all ranks.
pub fn stopped(comm: &dyn Communicator, fit: &Fit, stop: &StopRequest) -> Result<Ended, Ended> {
    let mut signal = [i64::from(stop.signal().unwrap_or(0))];
    comm.all_reduce(Values::I64(&mut signal), Reduce::Max)?;
    let (code, name) = match signal[0] {
        2 => (130, "SIGINT"),
        _ => (143, "SIGTERM"),
    };
    let message = format!(
        "stopped by {name} after step {} (epoch {}); this version writes no checkpoint, start the run again",
        fit.cursor.step,
        fit.cursor.epoch + 1
    );
    Ok(Ended::all(code, message))
}
