//! The threads of a rank, as the network core sees them.

use crate::nn::{Alone, Team};
use rayon::prelude::*;

/// Rayon's threads.
struct Threads;

impl Team for Threads {
    fn size(&self) -> usize {
        rayon::current_num_threads()
    }

    fn run(&self, tasks: usize, work: &(dyn Fn(usize) + Sync)) {
        match tasks {
            0 | 1 => (0..tasks).for_each(work),
            _ => (0..tasks).into_par_iter().with_max_len(1).for_each(work),
        }
    }
}

/// This rank's team: with one thread nothing is handed over at all.
pub(crate) fn team() -> &'static dyn Team {
    match rayon::current_num_threads() {
        0 | 1 => &Alone,
        _ => &Threads,
    }
}
