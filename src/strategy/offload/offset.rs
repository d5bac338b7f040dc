//! One clock for all ranks: how each rank's time is turned into rank 0's.
//!
//! # References
//! Cristian, *Probabilistic clock synchronization*, Distributed Computing 3, 1989.

use crate::comm::{Buffer, CommError, Communicator, Kind, Tag};
use crate::device::Clock;
use crate::units::Seconds;

/// What to add to a rank's time to have rank 0's.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Offset {
    /// At the beginning.
    pub shift: Seconds,
    /// The shift is off by no more than this: half of the quickest exchange.
    pub within: Seconds,
    /// The rank's time at which the shift was measured.
    pub at: Seconds,
    /// By how much the shift grows in a second of the rank's time; 0 where it was measured once.
    pub drift: f64,
}

/// Exchanges of which the quickest counts.
const EXCHANGES: usize = 20;

impl Offset {
    /// A rank's time on rank 0's clock.
    pub fn correct(&self, time: Seconds) -> Seconds {
        Seconds(time.0 + self.shift.0 + self.drift * (time.0 - self.at.0))
    }

    /// The line through this measurement and a later one.
    #[must_use]
    pub fn until(self, later: Self) -> Self {
        let passed = later.at.0 - self.at.0;
        let drift = if passed > 0.0 { (later.shift.0 - self.shift.0) / passed } else { 0.0 };
        Self { drift, within: Seconds(self.within.0.max(later.within.0)), ..self }
    }
}

/// Measures a rank's clock against rank 0's; only rank 0 gets the result.
///
/// # Math
/// shift = (t₀ + t₁)/2 − t_rank, off by at most (t₁ − t₀)/2
///
/// # Collective
/// Rank 0 and `rank` must call it.
///
/// # Errors
/// When the transport fails.
pub(super) fn measure(comm: &dyn Communicator, clock: &dyn Clock, rank: usize) -> Result<Offset, CommError> {
    let mut buffer = Buffer::new(Kind::F64, 1);
    let mut best = Offset { within: Seconds(f64::INFINITY), ..Offset::default() };
    for _ in 0..EXCHANGES {
        if comm.rank() != 0 {
            comm.recv(0, Tag::Report, &mut buffer)?;
            buffer.payload_mut().copy_from_slice(&clock.now().0.to_ne_bytes());
            comm.send(0, Tag::Report, &mut buffer)?;
            continue;
        }
        let sent = clock.now();
        comm.send(rank, Tag::Report, &mut buffer)?;
        comm.recv(rank, Tag::Report, &mut buffer)?;
        let came = clock.now();
        let there = f64::from_ne_bytes(buffer.payload().try_into().expect("one number"));
        let within = Seconds((came.0 - sent.0) / 2.0);
        if within < best.within {
            best = Offset { shift: Seconds((sent.0 + came.0) / 2.0 - there), within, at: Seconds(there), drift: 0.0 };
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comm::{ThreadOptions, run_threads};
    use crate::device::{Machine, Work};

    /// A clock that is ahead.
    struct Ahead(std::time::Instant, f64);

    impl Clock for Ahead {
        fn now(&self) -> Seconds {
            Seconds(self.0.elapsed().as_secs_f64() + self.1)
        }
        fn charge(&self, _: Work) {}
        fn machine(&self) -> Option<&Machine> {
            None
        }
    }

    #[test]
    fn a_clock_that_is_ahead_is_set_back() {
        let start = std::time::Instant::now();
        let offsets = run_threads(2, ThreadOptions::default(), |comm| {
            measure(comm, &Ahead(start, 7.0 * comm.rank() as f64), 1).unwrap()
        });
        let offset = offsets[0];
        assert!((offset.shift.0 + 7.0).abs() <= offset.within.0 + 1e-6, "{offset:?}");
        assert!((offset.correct(Seconds(8.0)).0 - 1.0).abs() < 0.1);
        let later = Offset { shift: Seconds(offset.shift.0 + 0.5), at: Seconds(offset.at.0 + 100.0), ..offset };
        let between = offset.until(later).correct(Seconds(offset.at.0 + 50.0));
        assert!((between.0 - (offset.at.0 + 50.0 + offset.shift.0 + 0.25)).abs() < 1e-9);
    }
}
