//! The time of one rank: measured, and beside it, on an emulated machine, modelled.
//!
//! Strategies and meters read a [`Clock`] and never the system's. What they measure with [`Clock::now`] is always real;
//! what a machine would have taken is in its [`Machine`], so that the two never share a column.

use super::{Machine, Work};
use crate::units::Seconds;
use std::time::Instant;

/// A rank's time.
pub trait Clock: Send + Sync {
    /// The time since the clock was started, measured.
    fn now(&self) -> Seconds;

    /// Takes note that this work was done. A real clock has seen the time pass already.
    fn charge(&self, work: Work);

    /// The emulated machine, if the rank is one.
    fn machine(&self) -> Option<&Machine>;
}

impl dyn Clock + '_ {
    /// Does work of a known size and charges it.
    ///
    /// It is charged first: what is sent from inside the work departs when all of it is done, never before any of it.
    /// That a real program sends while it works is not modelled.
    pub fn work<T>(&self, size: impl IntoIterator<Item = Work>, work: impl FnOnce() -> T) -> T {
        size.into_iter().for_each(|size| self.charge(size));
        work()
    }
}

/// The machine's own monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct RealClock(Instant);

impl RealClock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for RealClock {
    fn now(&self) -> Seconds {
        Seconds::since(self.0)
    }

    fn charge(&self, _: Work) {}

    fn machine(&self) -> Option<&Machine> {
        None
    }
}

/// How fast an emulated machine's program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As fast as it can.
    Virtual,
    /// No faster than the machine that it emulates, for a live demonstration: whenever the machine's time moves, the
    /// rank sleeps until the real time has caught up with it.
    Real,
}

/// The clock of a rank that emulates a machine.
#[derive(Debug)]
pub struct EmulatedClock {
    start: Instant,
    machine: Machine,
}

impl EmulatedClock {
    /// A clock that starts now.
    pub fn start(machine: Machine, pace: Pace) -> Self {
        let start = Instant::now();
        let machine = match pace {
            Pace::Virtual => machine,
            Pace::Real => machine.paced(start),
        };
        Self { start, machine }
    }
}

impl Clock for EmulatedClock {
    fn now(&self) -> Seconds {
        Seconds::since(self.start)
    }

    fn charge(&self, work: Work) {
        self.machine.charge(&work);
    }

    fn machine(&self) -> Option<&Machine> {
        Some(&self.machine)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Pass, Profile};
    use super::*;
    use crate::units::Flops;

    fn work(flops: u64) -> Work {
        Work { flops: Flops(flops), blocks: 0..1, rows: 1, pass: Pass::Forward }
    }

    fn emulated(flops_per_s: f64, pace: Pace) -> EmulatedClock {
        EmulatedClock::start(Machine::new(&Profile::new("toy", flops_per_s), "mlp"), pace)
    }

    #[test]
    fn real_clocks_move_by_themselves_only() {
        for clock in [&RealClock::start() as &dyn Clock, &emulated(1.0, Pace::Virtual)] {
            let before = clock.now();
            assert_eq!(clock.work([work(u64::MAX), work(1)], || 7), 7);
            assert!(clock.now().0 - before.0 < 10.0);
        }
    }

    /// 3 FLOP and 5 FLOP at 2 FLOP/s are 4 s, and what the work itself sees is the end of it.
    #[test]
    fn work_is_charged_to_the_machine_before_it_is_done() {
        let clock = emulated(2.0, Pace::Virtual);
        let inside = (&clock as &dyn Clock).work([work(3), work(5)], || clock.machine().unwrap().now());
        assert_eq!(inside, Seconds(4.0));
        assert!(RealClock::start().machine().is_none());
    }

    #[test]
    fn a_paced_clock_is_never_behind_its_machine() {
        let clock = emulated(1000.0, Pace::Real);
        let machine = clock.machine().unwrap();
        clock.charge(work(20));
        assert!(clock.now() >= Seconds(0.02));
        machine.arrived(Seconds(0.04), Seconds(0.001));
        assert!(clock.now() >= Seconds(0.04));
        machine.advance_to(Seconds(0.05));
        assert!(clock.now() >= Seconds(0.05));
        assert_eq!(machine.now(), Seconds(0.05), "sleeping does not move the machine");
    }
}
