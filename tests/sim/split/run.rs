//! A split training in a simulated world, on machines of their own time where the case says so.

use super::super::job::{Book, Ended, Outside, Run, Wrap};
use super::super::setup::World;
use super::case::Case;
use goai::comm::simulated::{Plan, SimClock, run_simulated};
use goai::comm::{Communicator, Emulated};
use goai::device::{Clock, Devices, Link, Machine, Profile, Work};
use goai::strategy::{Snapshot, Strategy, fit};
use goai::units::Seconds;
use std::sync::Mutex;

/// The world's clock, with an emulated machine beside it.
struct Beside {
    sim: SimClock,
    machine: Option<Machine>,
}

impl Clock for Beside {
    fn now(&self) -> Seconds {
        self.sim.now()
    }

    fn charge(&self, work: Work) {
        self.machine.iter().for_each(|machine| machine.charge(&work));
        self.sim.charge(work);
    }

    fn machine(&self) -> Option<&Machine> {
        self.machine.as_ref()
    }
}

/// Trains, from the beginning or from a state.
pub fn run(case: &Case, world: &World, plan: Plan, resume: Option<&Snapshot>, wrap: Wrap) -> Run {
    let book = Mutex::new(Book::default());
    // Each device is slower than the one before, behind a thinner link.
    let profiles = (0..case.ranks).map(|rank| Profile::new("toy", 1e6 / (1 + rank) as f64)).collect();
    let devices = Devices::new("toys", profiles, Link::new(1e5, Seconds(1e-3)));
    let devices = devices.with_link(1, 0, Link::new(2e4, Seconds(5e-3)));
    let outcome = run_simulated(case.ranks, plan, |sim| {
        let machine = case.emulated.then(|| Machine::new(devices.profile(sim.rank()), "toy"));
        let (task, clock) = (case.task(world, resume), Beside { sim: sim.clock(), machine });
        let mut outside = Outside { comm: sim, book: &book, save_every: case.save_every, turns: 0 };
        let result = wrap(sim, &mut outside, &mut |comm, job| {
            let emulated = clock.machine.as_ref().map(|machine| Emulated::new(comm, machine, &devices));
            let comm = emulated.as_ref().map_or(comm, |emulated| emulated as &dyn Communicator);
            let fit = fit(Strategy::Split, &task, comm, &clock, job)?;
            if comm.rank() == 0 {
                fit.lost.iter().for_each(|rank| sim.kill(*rank));
            }
            Ok(Ended { ending: fit.ending, cursor: fit.cursor, theta: fit.theta })
        });
        result.map_err(|error| {
            if !error.is_agreed() {
                sim.abort();
            }
            error.to_string()
        })
    });
    Run { outcome, book: book.into_inner().unwrap() }
}
