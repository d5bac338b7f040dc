//! Who helps with a pass: the network core says what may run at the same time, and knows no thread.
//!
//! Work is cut into tasks by the shapes alone, never by the number of threads, and every task writes its own
//! memory: so the bits do not depend on who ran what, or when.

/// Runs the tasks of a pass.
pub trait Team: Sync {
    /// How many tasks can run at the same time.
    fn size(&self) -> usize;

    /// Calls `work` once for each of `0..tasks`, in any order, and returns when all are done.
    fn run(&self, tasks: usize, work: &(dyn Fn(usize) + Sync));
}

/// The caller's own thread.
#[derive(Debug, Clone, Copy)]
pub struct Alone;

impl Team for Alone {
    fn size(&self) -> usize {
        1
    }

    fn run(&self, tasks: usize, work: &(dyn Fn(usize) + Sync)) {
        (0..tasks).for_each(work);
    }
}

/// Elements below which handing work over takes longer than doing it.
const WORTHWHILE: usize = 1 << 14;

/// The team, or nobody else where there is little to do.
pub(super) fn worthwhile(team: &dyn Team, elements: usize) -> &dyn Team {
    if elements < WORTHWHILE { &Alone } else { team }
}
