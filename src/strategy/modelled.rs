//! What emulated machines took and used in the phases of an epoch.

use super::{Job, TrainError};
use crate::comm::{Communicator, Reduce, Values, gather_texts};
use crate::device::{Clock, Ledger, Machine};
use crate::event::{Event, MachineRecord};
use crate::units::Seconds;

/// The phases of an epoch on this rank's machine, and those of all others.
///
/// A phase ends on all machines at once: those that are done wait for the slowest, and use what waiting uses.
#[derive(Clone)]
pub(super) struct Phases<'a> {
    comm: &'a dyn Communicator,
    clock: &'a dyn Clock,
    /// Whether any rank emulates a machine or measures what its node uses.
    wanted: bool,
    began: Ledger,
    measured: Option<f64>,
    ended: Vec<(&'static str, Vec<MachineRecord>)>,
}

impl<'a> Phases<'a> {
    /// Whether there is anything to tell of phases.
    ///
    /// # Collective
    /// Every rank must call it.
    pub fn wanted(comm: &dyn Communicator, clock: &dyn Clock, job: &dyn Job) -> Result<bool, TrainError> {
        let machine = clock.machine();
        let mut any = [i64::from(machine.is_some() || job.energy_j().is_some())];
        aside(clock, || comm.all_reduce(Values::I64(&mut any), Reduce::Max))?;
        Ok(any[0] > 0)
    }

    /// Begins the first phase.
    pub fn open(comm: &'a dyn Communicator, clock: &'a dyn Clock, job: &dyn Job, wanted: bool) -> Self {
        let began = clock.machine().map(Machine::ledger).unwrap_or_default();
        let measured = if wanted { job.energy_j() } else { None };
        Self { comm, clock, wanted, began, measured, ended: Vec::new() }
    }

    /// Ends a phase and begins the next.
    ///
    /// # Collective
    /// Every rank must call it.
    pub fn end(&mut self, phase: &'static str, job: &dyn Job) -> Result<(), TrainError> {
        if !self.wanted {
            return Ok(());
        }
        let mut mine = MachineRecord { rank: self.comm.world_rank(self.comm.rank()), ..MachineRecord::default() };
        if let Some(machine) = self.clock.machine() {
            together(self.comm, self.clock, machine)?;
            let ledger = machine.ledger();
            mine = record(mine.rank, machine, ledger - self.began);
            self.began = ledger;
        }
        let measured = job.energy_j();
        mine.measured_j = measured.zip(self.measured).map(|(now, before)| now - before);
        self.measured = measured;
        let text = serde_json::to_string(&mine).expect("numbers and texts are JSON");
        let texts = aside(self.clock, || gather_texts(self.comm, &text))?;
        let records = texts.iter().map(|text| serde_json::from_str(text).expect("every rank sent one")).collect();
        self.ended.push((phase, records));
        Ok(())
    }

    fn of(&self, phase: &str) -> Option<&[MachineRecord]> {
        self.ended.iter().find(|(name, _)| *name == phase).map(|(_, records)| records.as_slice())
    }

    /// This rank's record of a phase.
    pub fn mine(&self, phase: &str) -> Option<MachineRecord> {
        self.of(phase).map(|records| records[self.comm.rank()].clone())
    }

    /// The seconds of a phase.
    pub fn longest(&self, phase: &str) -> Option<f64> {
        self.of(phase)?.iter().filter_map(|record| record.modelled_s).reduce(f64::max)
    }

    /// The joules of all machines in a phase.
    pub fn joules(&self, phase: &str) -> Option<f64> {
        self.of(phase)?.iter().map(MachineRecord::modelled_j).sum()
    }

    /// The joules that were measured in a phase, of all nodes together.
    pub fn measured_joules(&self, phase: &str) -> Option<f64> {
        self.of(phase)?.iter().filter_map(|record| record.measured_j).reduce(|a, b| a + b)
    }

    /// Tells the phases.
    pub fn tell(&self, epoch: u64, job: &mut dyn Job) {
        for (phase, machines) in self.ended.clone() {
            job.emit(Event::Energy { epoch, phase, machines });
        }
    }
}

/// Runs what keeps books: it costs the emulated machine nothing.
///
/// # Collective
/// What is exchanged inside has to be exchanged inside on every rank.
pub(super) fn aside<T>(clock: &dyn Clock, work: impl FnOnce() -> T) -> T {
    clock.machine().inspect(|machine| machine.hold(true));
    let done = work();
    clock.machine().inspect(|machine| machine.hold(false));
    done
}

/// Lets the machines wait for the slowest.
///
/// # Collective
/// Every rank must call it.
pub(super) fn together(comm: &dyn Communicator, clock: &dyn Clock, machine: &Machine) -> Result<(), TrainError> {
    let mut latest = [machine.now().0];
    aside(clock, || comm.all_reduce(Values::F64(&mut latest), Reduce::Max))?;
    machine.advance_to(Seconds(latest[0]));
    Ok(())
}

pub(super) fn record(rank: usize, machine: &Machine, spent: Ledger) -> MachineRecord {
    let energy = machine.energy(&spent);
    MachineRecord {
        rank,
        device: machine.profile().name.clone(),
        modelled_s: Some(spent.time.0),
        modelled_compute_s: Some(spent.computing.0),
        modelled_send_s: Some(spent.sending.0),
        modelled_receive_s: Some(spent.receiving.0),
        modelled_compute_j: Some(energy.compute.0),
        modelled_idle_j: Some(energy.idle.0),
        modelled_send_j: Some(energy.send.0),
        modelled_receive_j: Some(energy.receive.0),
        measured_j: None,
    }
}
