//! What emulated machines took and used in the phases of an epoch.

use super::{Job, TrainError};
use crate::comm::{Communicator, Reduce, Values, gather_texts};
use crate::device::{Clock, Ledger, Machine};
use crate::event::{Event, MachineRecord};
use crate::units::Seconds;

/// The phases of an epoch on this rank's machine, and those of all others.
///
/// A phase ends on all machines at once: those that are done wait for the slowest, and use what waiting uses.
pub(super) struct Phases<'a> {
    comm: &'a dyn Communicator,
    clock: &'a dyn Clock,
    began: Ledger,
    ended: Vec<(&'static str, Vec<MachineRecord>)>,
}

impl<'a> Phases<'a> {
    /// Begins the first phase.
    pub fn open(comm: &'a dyn Communicator, clock: &'a dyn Clock) -> Self {
        let began = clock.machine().map(Machine::ledger).unwrap_or_default();
        Self { comm, clock, began, ended: Vec::new() }
    }

    /// Ends a phase and begins the next.
    ///
    /// # Collective
    /// Every rank must call it.
    pub fn end(&mut self, phase: &'static str) -> Result<(), TrainError> {
        let Some(machine) = self.clock.machine() else { return Ok(()) };
        machine.hold(true);
        let mut latest = [machine.now().0];
        let met = self.comm.all_reduce(Values::F64(&mut latest), Reduce::Max);
        machine.hold(false);
        met?;
        machine.advance_to(Seconds(latest[0]));
        let ledger = machine.ledger();
        let mine = record(self.comm.rank(), machine, ledger - self.began);
        self.began = ledger;
        machine.hold(true);
        let text = serde_json::to_string(&mine).expect("numbers and texts are JSON");
        let texts = gather_texts(self.comm, &text);
        machine.hold(false);
        let records = texts?.iter().map(|text| serde_json::from_str(text).expect("every rank sent one")).collect();
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

    /// Tells the phases.
    pub fn tell(&self, epoch: u64, job: &mut dyn Job) {
        for (phase, machines) in self.ended.clone() {
            job.emit(Event::Energy { epoch, phase, machines });
        }
    }
}

fn record(rank: usize, machine: &Machine, spent: Ledger) -> MachineRecord {
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
