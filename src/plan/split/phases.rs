//! How fast a machine is and what it draws, over time: power modes that switch while it trains.

use crate::device::Power;
use crate::units::{Joules, Seconds, Watts};

/// One power mode, from its time on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Phase {
    /// From when.
    pub from: Seconds,
    /// What it multiplies the speed with that the costs are for.
    pub speed: f64,
    /// What it draws.
    pub power: Power,
}

/// Power modes in the order of their times. The first also holds before its time, the last for ever.
///
/// Work that is under way when the mode switches goes on at the new speed, and energy is charged by what the machine draws
/// at each moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Phases(Vec<Phase>);

/// Whether waiting costs energy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Idle {
    /// As emulated machines do, see [`crate::device::Energy`]: a board draws power all the time, and sending and
    /// receiving are charged with what they draw above idling.
    #[default]
    Charged,
    /// As ARES did: P_compute·t_c + P_send·t_s + P_receive·t_r.
    Free,
}

impl Phases {
    /// One mode for ever.
    pub fn constant(power: Power) -> Self {
        Self(vec![Phase { from: Seconds(0.0), speed: 1.0, power }])
    }

    /// These modes.
    ///
    /// # Panics
    /// If there are none, one computes nothing, or their times do not ascend.
    pub fn new(phases: Vec<Phase>) -> Self {
        assert!(!phases.is_empty(), "a machine is in some mode");
        assert!(phases.iter().all(|phase| phase.speed > 0.0), "a machine that computes nothing has no time");
        assert!(phases.windows(2).all(|pair| pair[0].from.0 < pair[1].from.0), "modes come one after the other");
        Self(phases)
    }

    /// All of them.
    pub fn all(&self) -> &[Phase] {
        &self.0
    }

    /// The mode at a time.
    pub fn at(&self, time: Seconds) -> &Phase {
        &self.0[self.index(time)]
    }

    fn index(&self, time: Seconds) -> usize {
        match self.0.len() {
            1 => 0,
            _ => self.0.partition_point(|phase| phase.from.0 <= time.0).saturating_sub(1),
        }
    }

    /// How long work takes that begins at `start` and would take `work` at speed 1.
    pub(super) fn duration(&self, start: Seconds, work: Seconds) -> Seconds {
        let mut at = self.index(start);
        let (mut now, mut left, mut taken) = (start.0, work.0, 0.0);
        while let Some(next) = self.0.get(at + 1) {
            let room = (next.from.0 - now) * self.0[at].speed;
            if left <= room {
                break;
            }
            (left, taken, now) = (left - room, taken + (next.from.0 - now), next.from.0);
            at += 1;
        }
        Seconds(taken + left / self.0[at].speed)
    }

    /// What some of the power comes to between two times.
    pub(super) fn energy(&self, from: Seconds, to: Seconds, watts: impl Fn(&Power) -> Watts) -> Joules {
        if self.0.len() == 1 {
            return watts(&self.0[0].power) * (to - from);
        }
        let (first, last) = (self.index(from), self.index(to));
        (first..=last)
            .map(|at| {
                let begin = if at == first { from } else { self.0[at].from };
                let end = if at == last { to } else { self.0[at + 1].from };
                watts(&self.0[at].power) * (end - begin)
            })
            .sum()
    }
}

impl Idle {
    /// What computing is charged with beside [`Idle::base`].
    pub(super) fn compute(self, power: &Power) -> Watts {
        match self {
            Self::Charged => power.compute - power.idle,
            Self::Free => power.compute,
        }
    }

    /// The same for sending.
    pub(super) fn send(self, power: &Power) -> Watts {
        self.above(power.send, power)
    }

    /// The same for receiving.
    pub(super) fn receive(self, power: &Power) -> Watts {
        self.above(power.receive, power)
    }

    /// What is charged all the time.
    pub(super) fn base(self, power: &Power) -> Watts {
        match self {
            Self::Charged => power.idle,
            Self::Free => Watts(0.0),
        }
    }

    fn above(self, watts: Watts, power: &Power) -> Watts {
        match self {
            Self::Charged => Watts((watts.0 - power.idle.0).max(0.0)),
            Self::Free => watts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn power(compute: f64, idle: f64) -> Power {
        Power { compute: Watts(compute), idle: Watts(idle), ..Power::default() }
    }

    /// Speed 1 until 2 s, half of it until 6 s, double from there. Work of 5 s from 1 s on: 1 in 1 s, 2 in 4 s, 2 in 1 s.
    #[test]
    fn work_goes_on_at_the_new_speed() {
        let phase = |from, speed, watts| Phase { from: Seconds(from), speed, power: power(watts, 1.0) };
        let phases = Phases::new(vec![phase(0.0, 1.0, 8.0), phase(2.0, 0.5, 4.0), phase(6.0, 2.0, 10.0)]);
        for (start, work, duration) in
            [(1.0, 5.0, 6.0), (0.0, 2.0, 2.0), (-1.0, 1.0, 1.0), (7.0, 4.0, 2.0), (3.0, 0.0, 0.0)]
        {
            assert_eq!(phases.duration(Seconds(start), Seconds(work)), Seconds(duration), "{start} {work}");
        }
        let compute = |from, to| phases.energy(Seconds(from), Seconds(to), |power| power.compute);
        assert_eq!(compute(1.0, 7.0), Joules(8.0 + 16.0 + 10.0));
        assert_eq!(compute(-1.0, 1.0), Joules(16.0));
        assert_eq!(compute(7.0, 8.0), Joules(10.0));
        assert_eq!(phases.energy(Seconds(1.0), Seconds(7.0), |power| Idle::Charged.compute(power)), Joules(28.0));
        assert_eq!(
            Phases::constant(power(8.0, 2.0)).energy(Seconds(1.0), Seconds(7.0), |p| Idle::Charged.base(p)),
            Joules(12.0)
        );
    }
}
