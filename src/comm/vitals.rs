//! What a rank knows of all ranks: whether they live, how far they are, whether they wait.
//!
//! Written by [`Heartbeat`](super::Heartbeat) where ranks are processes, and by the ranks themselves where they are
//! threads; read by whoever waits for a rank, and by the watchdog. Nothing here blocks.

use super::Life;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU64, Ordering::Relaxed};

/// What is known of every rank.
#[derive(Debug)]
pub struct Vitals {
    ranks: Box<[Slot]>,
    /// [`NONE`], or the exit code with which a rank ends the job.
    ending: AtomicU16,
}

const NONE: u16 = u16::MAX;

#[derive(Debug, Default)]
struct Slot {
    step: AtomicU64,
    waiting: AtomicBool,
    condition: AtomicU8,
}

/// How a rank is, finer than [`Life`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Condition {
    /// It is not watched, so it is never judged.
    Unknown,
    /// It beats.
    Here,
    /// It has not beaten for the timeout.
    Silent,
    /// It ended without a goodbye.
    Lost,
    /// It said goodbye.
    Left,
}

impl Vitals {
    /// Nothing is known of any of these ranks yet.
    pub fn new(ranks: usize) -> Arc<Self> {
        Arc::new(Self { ranks: (0..ranks).map(|_| Slot::default()).collect(), ending: AtomicU16::new(NONE) })
    }

    /// Ranks that are threads of this process: each has its [`Pulse`], none can be lost alone.
    pub fn of_threads(ranks: usize) -> Arc<Self> {
        let vitals = Self::new(ranks);
        (0..ranks).for_each(|rank| vitals.set(rank, Condition::Here));
        vitals
    }

    /// The number of ranks.
    pub fn size(&self) -> usize {
        self.ranks.len()
    }

    /// Whether the rank lives, as far as is known.
    ///
    /// # Panics
    /// If there is no such rank; so do the others.
    pub fn life(&self, rank: usize) -> Life {
        match self.condition(rank) {
            Condition::Silent => Life::Silent,
            Condition::Lost => Life::Lost,
            _ => Life::Alive,
        }
    }

    /// The step that the rank was last known to be at, as its [`Pulse`] said it.
    pub fn step(&self, rank: usize) -> u64 {
        self.ranks[rank].step.load(Relaxed)
    }

    /// Whether the rank was last known to wait for another one.
    pub fn waiting(&self, rank: usize) -> bool {
        self.ranks[rank].waiting.load(Relaxed)
    }

    /// Whether the rank is judged: watched, and not gone in order.
    pub fn watched(&self, rank: usize) -> bool {
        !matches!(self.condition(rank), Condition::Unknown | Condition::Left)
    }

    /// The exit code with which another rank ends the job, once one does.
    pub fn ending(&self) -> Option<u8> {
        u8::try_from(self.ending.load(Relaxed)).ok()
    }

    /// The hand with which this rank tells how far it is.
    pub fn pulse(self: &Arc<Self>, rank: usize) -> Pulse {
        assert!(rank < self.size());
        Pulse { vitals: Arc::clone(self), rank }
    }

    pub(super) fn condition(&self, rank: usize) -> Condition {
        match self.ranks[rank].condition.load(Relaxed) {
            1 => Condition::Here,
            2 => Condition::Silent,
            3 => Condition::Lost,
            4 => Condition::Left,
            _ => Condition::Unknown,
        }
    }

    pub(super) fn set(&self, rank: usize, condition: Condition) {
        self.ranks[rank].condition.store(condition as u8, Relaxed);
    }

    /// Another rank ends the job: the first one's code counts.
    pub(super) fn end(&self, code: u8) {
        let _ = self.ending.compare_exchange(NONE, code.into(), Relaxed, Relaxed);
    }

    /// What the rank said in its last beat.
    pub(super) fn note(&self, rank: usize, step: u64, waiting: bool) {
        self.ranks[rank].step.store(step, Relaxed);
        self.ranks[rank].waiting.store(waiting, Relaxed);
    }
}

/// Tells how far a rank is. Two stores a step, no lock: a training step may call it.
#[derive(Debug, Clone)]
pub struct Pulse {
    vitals: Arc<Vitals>,
    rank: usize,
}

impl Pulse {
    /// The rank is at this step now.
    pub fn at(&self, step: u64) {
        self.vitals.ranks[self.rank].step.store(step, Relaxed);
    }

    /// Whether the rank waits for another one now.
    pub fn waits(&self, waiting: bool) {
        self.vitals.ranks[self.rank].waiting.store(waiting, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_told_as_lives() {
        let vitals = Vitals::new(2);
        for (condition, life, watched) in [
            (Condition::Unknown, Life::Alive, false),
            (Condition::Here, Life::Alive, true),
            (Condition::Silent, Life::Silent, true),
            (Condition::Lost, Life::Lost, true),
            (Condition::Left, Life::Alive, false),
        ] {
            vitals.set(1, condition);
            assert_eq!((vitals.condition(1), vitals.life(1), vitals.watched(1)), (condition, life, watched));
        }
        assert_eq!(vitals.life(0), Life::Alive);
        assert_eq!(vitals.ending(), None);
        [7, 5].into_iter().for_each(|code| vitals.end(code));
        assert_eq!(vitals.ending(), Some(7));
    }

    #[test]
    fn a_pulse_moves_its_own_rank_only() {
        let vitals = Vitals::of_threads(3);
        let pulse = vitals.pulse(1);
        pulse.at(7);
        pulse.waits(true);
        assert_eq!([0, 1, 2].map(|rank| vitals.step(rank)), [0, 7, 0]);
        assert_eq!([0, 1, 2].map(|rank| vitals.waiting(rank)), [false, true, false]);
        assert!((0..3).all(|rank| vitals.watched(rank)));
    }
}
