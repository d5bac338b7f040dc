//! A clock that tells the watchdog of each task: where a rank stands still it can say whether the others go on.

use crate::cli::vigil::Watcher;
use crate::device::{Clock, Machine, Work};
use crate::units::Seconds;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Another clock, whose rank is at one step more with every task.
pub struct Counting<'a, C> {
    clock: &'a C,
    watcher: Watcher<'a>,
    tasks: AtomicU64,
}

impl<'a, C: Clock> Counting<'a, C> {
    /// `clock`, as this rank's hand on the watch has it.
    pub fn new(clock: &'a C, watcher: Watcher<'a>) -> Self {
        Self { clock, watcher, tasks: AtomicU64::new(0) }
    }
}

impl<C: Clock> Clock for Counting<'_, C> {
    fn now(&self) -> Seconds {
        self.clock.now()
    }

    fn charge(&self, work: Work) {
        self.watcher.at(self.tasks.fetch_add(1, Relaxed) + 1);
        self.clock.charge(work);
    }

    fn machine(&self) -> Option<&Machine> {
        self.clock.machine()
    }
}
