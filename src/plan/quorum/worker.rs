//! What a quorum knows of one worker.

use crate::units::Seconds;

/// What a worker was told to compute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Job {
    /// The chunk.
    pub chunk: usize,
    /// The version of the weights.
    pub version: u64,
    /// The attempt at the step.
    pub attempt: u32,
    /// When it was told.
    pub since: Seconds,
}

impl Job {
    pub(super) fn is(&self, chunk: usize, version: u64, attempt: u32) -> bool {
        (self.chunk, self.version, self.attempt) == (chunk, version, attempt)
    }
}

/// What became of one worker's work, over all passes.
///
/// `taken`, `stale` and `duplicate` count results that arrived; `cancelled` counts assignments that were called off
/// before their result was there, which may still arrive as stale; `repeated` counts assignments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Results that became part of a step.
    pub taken: u64,
    /// Results dropped because their step, or their attempt at it, was over.
    pub stale: u64,
    /// Results dropped because another result of the chunk came first.
    pub duplicate: u64,
    /// Assignments called off.
    pub cancelled: u64,
    /// Assignments of chunks that had been given out before in this pass, to anybody.
    pub repeated: u64,
    /// The staleness of all results taken, summed.
    pub staleness_sum: u64,
    /// The largest staleness of a result taken.
    pub staleness_max: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Live,
    /// Not heard of; it may come back.
    Silent,
    Gone,
}

/// How many assignments of a worker are remembered, to tell a late result from one that nobody asked for.
const REMEMBERED: usize = 8;

#[derive(Debug, Clone)]
pub(super) struct Worker {
    pub(super) presence: Presence,
    pub(super) job: Option<Job>,
    /// What it had when it fell silent: its result may still be of use.
    pub(super) former: Option<Job>,
    /// A result of it is part of this step.
    pub(super) contributed: bool,
    /// It was given a shard of this step.
    pub(super) member: bool,
    /// It was told that there is nothing to do.
    pub(super) parked: bool,
    pub(super) tally: Tally,
    /// Its newest assignments, `newest` being the place of the next one.
    given: [Option<Job>; REMEMBERED],
    newest: usize,
}

impl Worker {
    pub(super) fn new() -> Self {
        Self {
            presence: Presence::Live,
            job: None,
            former: None,
            contributed: false,
            member: false,
            parked: false,
            tally: Tally::default(),
            given: [None; REMEMBERED],
            newest: 0,
        }
    }

    pub(super) fn live(&self) -> bool {
        self.presence == Presence::Live
    }

    pub(super) fn give(&mut self, job: Job) {
        self.given[self.newest] = Some(job);
        self.newest = (self.newest + 1) % REMEMBERED;
        self.job = Some(job);
        self.former = None;
        self.member = true;
        self.parked = false;
    }

    /// Whether it was ever told so. Of what is older than all that is remembered, that is assumed: such a result is
    /// dropped either way.
    pub(super) fn was_given(&self, chunk: usize, version: u64, attempt: u32) -> bool {
        let oldest = self.given[self.newest];
        oldest.is_some_and(|oldest| (version, attempt) <= (oldest.version, oldest.attempt))
            || self.given.iter().flatten().any(|job| job.is(chunk, version, attempt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_given_is_told_from_what_is_late() {
        let mut worker = Worker::new();
        assert!(!worker.was_given(0, 0, 0));
        for version in 0..20 {
            let chunk = 100 + version as usize;
            worker.give(Job { chunk, version, attempt: 0, since: Seconds(0.0) });
            assert!(worker.was_given(chunk, version, 0));
            assert!(!worker.was_given(chunk, version, 1) && !worker.was_given(chunk + 1, version, 0));
            assert!(worker.was_given(100, 0, 0));
        }
    }
}
