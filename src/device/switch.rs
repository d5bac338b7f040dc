//! Power modes over time: a device that is told to be slower, or may be faster, from some time on.

use super::{Power, Profile};
use crate::units::{Joules, Seconds, Watts};

/// The change to another power mode of the same device.
#[derive(Debug, Clone, PartialEq)]
pub struct Switch {
    /// From when on, in virtual time.
    pub at: Seconds,
    /// The mode's name.
    pub mode: String,
    /// What the mode multiplies all speeds with.
    pub speed: f64,
    /// What the board draws in it.
    pub power: Power,
}

/// A mode and until when it is in force.
struct Piece<'a> {
    speed: f64,
    power: &'a Power,
    until: f64,
}

impl Profile {
    /// The device as it is at some time, in the power mode that is in force then and stays so.
    pub fn at(&self, time: Seconds) -> Self {
        let mut now = Self { switches: Vec::new(), ..self.clone() };
        if let Some(switch) = self.switches[..self.past(time.0)].last() {
            let board = self.name.split_once(':').map_or(self.name.as_str(), |(board, _)| board);
            now.name = format!("{board}:{}", switch.mode);
            (now.speed, now.power) = (switch.speed, switch.power);
        }
        now
    }

    /// The time until work is done that begins at `start` and takes `work` seconds at speed 1.
    ///
    /// # Math
    /// the t with ∫ speed over \[start, start + t\] = work
    pub(super) fn working(&self, start: Seconds, work: f64) -> Seconds {
        let (mut left, mut now, mut taken) = (work, start.0, 0.0);
        loop {
            let Piece { speed, until, .. } = self.piece(now);
            let room = (until - now) * speed;
            if left <= room {
                return Seconds(taken + left / speed);
            }
            (left, taken, now) = (left - room, taken + (until - now), until);
        }
    }

    /// What a time at some watts costs more than in the first mode: nothing where there is no switch.
    ///
    /// # Math
    /// ∫ P(t) − P_first dt
    pub(super) fn beyond(&self, from: Seconds, until: Seconds, watts: impl Fn(&Power) -> Watts) -> Joules {
        let (mut now, mut sum) = (from.0, Joules(0.0));
        while now < until.0 && !self.switches.is_empty() {
            let piece = self.piece(now);
            let end = piece.until.min(until.0);
            sum += (watts(piece.power) - watts(&self.power)) * Seconds(end - now);
            now = end;
        }
        sum
    }

    /// What the mode in force draws more than the first one.
    pub(super) fn above_first(&self, time: Seconds, watts: impl Fn(&Power) -> Watts) -> Watts {
        watts(self.piece(time.0).power) - watts(&self.power)
    }

    fn piece(&self, time: f64) -> Piece<'_> {
        let past = self.past(time);
        let until = self.switches.get(past).map_or(f64::INFINITY, |next| next.at.0);
        match self.switches[..past].last() {
            Some(switch) => Piece { speed: switch.speed, power: &switch.power, until },
            None => Piece { speed: self.speed, power: &self.power, until },
        }
    }

    /// The switches up to a time, including one at it.
    fn past(&self, time: f64) -> usize {
        self.switches.partition_point(|switch| switch.at.0 <= time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Profile {
        let power = |watts: f64| Power { compute: Watts(watts), ..Power::default() };
        let switch = |at, mode: &str, speed| Switch { at: Seconds(at), mode: mode.into(), speed, power: power(speed) };
        Profile {
            power: power(1.0),
            switches: vec![switch(2.0, "half", 0.5), switch(6.0, "fast", 4.0)],
            ..Profile::new("board:whole", 1.0)
        }
    }

    /// Speed 1 until 2 s, 0.5 until 6 s, then 4.
    #[test]
    fn work_is_done_piece_by_piece() {
        for (start, work, time) in [
            (0.0, 2.0, 2.0),
            (0.0, 3.0, 4.0),
            (0.0, 4.0, 6.0),
            (0.0, 8.0, 7.0),
            (2.0, 1.0, 2.0),
            (5.0, 8.5, 3.0),
            (6.0, 8.0, 2.0),
            (1.0, 0.0, 0.0),
        ] {
            assert_eq!(board().working(Seconds(start), work), Seconds(time), "{work} from {start}");
        }
    }

    /// The watts are as the speeds: 1, 0.5, 4. From 1 s to 8 s: 1·0 − 0.5·4 + 3·2 J more than at 1 W.
    #[test]
    fn energy_is_added_up_piece_by_piece() {
        let beyond = |from, until| board().beyond(Seconds(from), Seconds(until), |power| power.compute);
        assert_eq!((beyond(1.0, 8.0), beyond(0.0, 2.0), beyond(2.0, 4.0)), (Joules(4.0), Joules(0.0), Joules(-1.0)));
    }

    #[test]
    fn a_mode_holds_from_its_time_on() {
        for (time, name, speed) in [(1.9, "board:whole", 1.0), (2.0, "board:half", 0.5), (99.0, "board:fast", 4.0)] {
            let now = board().at(Seconds(time));
            assert_eq!((now.name.as_str(), now.speed, now.power.compute.0), (name, speed, speed));
            assert!(now.switches.is_empty());
        }
    }
}
