//! The time of one rank: measured on a real machine, or charged on an emulated one.
//!
//! Strategies and meters read a [`Clock`] and never the system's, so that the same training runs on
//! measured time or on exact virtual time. The two never mix: a rank has one clock.

use crate::units::{Flops, Seconds};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// A rank's time.
pub trait Clock: Send + Sync {
    /// The time since the clock was started.
    fn now(&self) -> Seconds;

    /// Takes note that work of this size was done. A real clock has seen the time pass already.
    fn charge(&self, work: Flops);

    /// A message arrived at this time: the receiver's clock is not behind it. A real clock never is.
    fn arrived(&self, time: Seconds);
}

impl dyn Clock + '_ {
    /// Does work of a known size and charges it.
    pub fn work<T>(&self, size: Flops, work: impl FnOnce() -> T) -> T {
        let result = work();
        self.charge(size);
        result
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

    fn charge(&self, _: Flops) {}

    fn arrived(&self, _: Seconds) {}
}

/// The clock of an emulated machine: it moves only when work is charged or a message arrives, so the same
/// program gives the same times everywhere. Modelled, not measured.
#[derive(Debug)]
pub struct VirtualClock {
    flops_per_second: f64,
    /// The bits of the time in seconds. Only the clock's own rank moves it.
    time: AtomicU64,
}

impl VirtualClock {
    /// A clock at 0 of a machine that does this many operations a second.
    ///
    /// # Panics
    /// If the rate is not above 0.
    pub fn new(flops_per_second: f64) -> Self {
        assert!(flops_per_second > 0.0, "a machine that computes nothing has no time");
        Self { flops_per_second, time: AtomicU64::new(0f64.to_bits()) }
    }

    fn set(&self, time: f64) {
        self.time.store(time.to_bits(), Ordering::Relaxed);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Seconds {
        Seconds(f64::from_bits(self.time.load(Ordering::Relaxed)))
    }

    fn charge(&self, work: Flops) {
        self.set(self.now().0 + work.0 as f64 / self.flops_per_second);
    }

    fn arrived(&self, time: Seconds) {
        self.set(self.now().0.max(time.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two machines, 1 and 2 FLOP/s. The first works 6 FLOP (6 s) and sends, the link takes 0.5 s; the second
    /// has worked 10 FLOP (5 s) and takes the message at 6.5 s, then works 3 FLOP (1.5 s): 8 s.
    #[test]
    fn a_two_stage_chain_by_hand() {
        let (slow, fast) = (VirtualClock::new(1.0), VirtualClock::new(2.0));
        let (slow, fast): (&dyn Clock, &dyn Clock) = (&slow, &fast);
        assert_eq!(slow.work(Flops(6), || 7), 7);
        fast.charge(Flops(10));
        assert_eq!((slow.now(), fast.now()), (Seconds(6.0), Seconds(5.0)));
        fast.arrived(slow.now() + Seconds(0.5));
        fast.charge(Flops(3));
        assert_eq!(fast.now(), Seconds(8.0));
        fast.arrived(Seconds(1.0));
        assert_eq!(fast.now(), Seconds(8.0), "an old message does not turn the clock back");
    }

    #[test]
    fn the_real_clock_moves_by_itself_only() {
        let clock = RealClock::start();
        let before = clock.now();
        clock.charge(Flops(u64::MAX));
        clock.arrived(Seconds(1e9));
        assert!(clock.now().0 - before.0 < 10.0);
    }
}
