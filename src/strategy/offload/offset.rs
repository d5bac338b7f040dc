//! One clock for all ranks: how each rank's time is turned into rank 0's.
//!
//! # References
//! Cristian, *Probabilistic clock synchronization*, Distributed Computing 3, 1989.

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

/// What time it is there, between two moments here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exchange {
    pub asked: Seconds,
    pub there: Seconds,
    pub heard: Seconds,
}

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

/// The best of some exchanges of a rank's clock against rank 0's: nothing where one of them fails.
///
/// # Math
/// shift = (t₀ + t₁)/2 − t_rank, off by at most (t₁ − t₀)/2
///
/// # Errors
/// When an exchange does.
pub(super) fn measure<E>(exchange: &mut dyn FnMut() -> Result<Option<Exchange>, E>) -> Result<Option<Offset>, E> {
    let mut best = Offset { within: Seconds(f64::INFINITY), ..Offset::default() };
    for _ in 0..EXCHANGES {
        let Some(Exchange { asked, there, heard }) = exchange()? else { return Ok(None) };
        let within = Seconds((heard.0 - asked.0) / 2.0);
        if within < best.within {
            best = Offset { shift: Seconds((asked.0 + heard.0) / 2.0 - there.0), within, at: there, drift: 0.0 };
        }
    }
    Ok(Some(best))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_ahead_is_set_back() {
        // The way there takes 3 ms, and back 1 ms, but for the quickest exchange.
        let mut now = 0.0;
        let mut exchange = || -> Result<_, std::convert::Infallible> {
            let slow = if now < 0.04 { 1.0 } else { 0.1 };
            let (asked, there, heard) = (now, now + 0.003 * slow + 7.0, now + 0.004 * slow);
            now += 0.01;
            Ok(Some(Exchange { asked: Seconds(asked), there: Seconds(there), heard: Seconds(heard) }))
        };
        let offset = measure(&mut exchange).unwrap().unwrap();
        assert!(offset.within.0 < 0.000_21);
        assert!((offset.shift.0 + 7.0).abs() <= offset.within.0 + 1e-6, "{offset:?}");
        assert!((offset.correct(Seconds(8.0)).0 - 1.0).abs() < 0.1);
        assert_eq!(measure::<()>(&mut || Ok(None)), Ok(None));
        let later = Offset { shift: Seconds(offset.shift.0 + 0.5), at: Seconds(offset.at.0 + 100.0), ..offset };
        let between = offset.until(later).correct(Seconds(offset.at.0 + 50.0));
        assert!((between.0 - (offset.at.0 + 50.0 + offset.shift.0 + 0.25)).abs() < 1e-9);
    }
}
