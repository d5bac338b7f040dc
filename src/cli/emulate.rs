//! Training on the machines that the ranks are, or on those that they emulate.

use super::prepare::Prepared;
use super::ranks::Ended;
use crate::comm::{Communicator, Emulated};
use crate::config::ClockKind;
use crate::device::{EmulatedClock, Machine, Pace, RealClock};
use crate::event::Event;
use crate::strategy::{self, Fit, Job, Task};

/// Trains; with a device file every rank is the machine that the file lists for it.
///
/// # Collective
/// Every rank must call it.
pub fn fit(prepared: &Prepared, task: &Task, comm: &dyn Communicator, job: &mut dyn Job) -> Result<Fit, Ended> {
    let Some(devices) = &prepared.devices else {
        return Ok(strategy::fit(prepared.strategy, task, comm, &RealClock::start(), job)?);
    };
    let machine = Machine::new(devices.profile(comm.rank()), &prepared.config.model.to_string());
    let pace = match prepared.config.clock {
        ClockKind::Virtual => Pace::Virtual,
        ClockKind::Real => Pace::Real,
    };
    let clock = EmulatedClock::start(machine, pace);
    let machine = crate::device::Clock::machine(&clock).expect("it was made with one");
    let emulated = Emulated::new(comm, machine, devices);
    let fit = strategy::fit(prepared.strategy, task, &emulated, &clock, job)?;
    if comm.rank() == 0
        && let Some(text) = devices.outlived(machine.now())
    {
        job.emit(Event::Note { text });
    }
    Ok(fit)
}
