//! The rules: what counts, when a step is complete, and who gets which chunk.

use super::machine::Phase;
use super::{Action, Job, Quorum};
use crate::units::Seconds;

impl Quorum {
    /// How many contributions close the step that is being collected.
    pub fn quorum(&self) -> usize {
        if !self.step.is_empty() {
            return self.step.len();
        }
        let quorum = self.terms.k.min(self.ledger.left());
        if self.terms.rule.one_each() { quorum.min(self.live().max(1)) } else { quorum }
    }

    /// When a chunk becomes overdue while there is a worker to copy it: [`Event::Tick`](super::Event::Tick) is of use
    /// then, and not before.
    pub fn deadline(&self) -> Option<Seconds> {
        let idle = (0..self.workers.len()).any(|worker| self.may_work(worker));
        if !idle || !self.terms.rule.patient() || self.phase != Phase::Collecting {
            return None;
        }
        let patience = self.patience()?;
        let out = self.out().map(|chunk| self.ledger.out_since(chunk).1.0 + patience.0);
        out.min_by(f64::total_cmp).map(Seconds)
    }

    /// Whether results of this version and attempt are of use now.
    pub(super) fn counts(&self, version: u64, attempt: u32) -> bool {
        if self.terms.rule.synchronous() {
            self.phase == Phase::Collecting && (version, attempt) == (self.version, self.attempt)
        } else {
            self.phase != Phase::Over
        }
    }

    pub(super) fn complete(&self) -> bool {
        if self.step.is_empty() {
            self.collected.len() >= self.quorum()
        } else {
            self.collected.len() >= self.step.len() && self.step.iter().all(|&chunk| self.ledger.is_taken(chunk))
        }
    }

    /// Whether this worker is live, has nothing, and what it delivered would count.
    pub(super) fn may_work(&self, worker: usize) -> bool {
        let record = &self.workers[worker];
        let waits = self.terms.rule.one_each() && self.step.is_empty() && record.contributed;
        let full = || {
            let members = self.workers.iter().filter(|worker| worker.member).count();
            self.terms.max_contributors.is_some_and(|cap| members >= cap)
        };
        record.live() && record.job.is_none() && !waits && (record.member || !full())
    }

    /// Gives every worker that has nothing a chunk, a copy of one, or leave to rest.
    pub(super) fn give_out(&mut self, now: Seconds) {
        for worker in 0..self.workers.len() {
            let chunk = if self.may_work(worker) { self.free_chunk().or_else(|| self.copy(now)) } else { None };
            let record = &mut self.workers[worker];
            match chunk {
                Some(chunk) => self.assign(worker, chunk, now),
                None if record.live() && record.job.is_none() && !record.parked => {
                    record.parked = true;
                    self.push(Action::Park { worker });
                }
                None => {}
            }
        }
    }

    pub(super) fn assign(&mut self, worker: usize, chunk: usize, now: Seconds) {
        let (version, attempt) = (self.version, self.attempt);
        let record = &mut self.workers[worker];
        record.tally.repeated += u64::from(self.ledger.given(chunk) > 0);
        record.give(Job { chunk, version, attempt, since: now });
        self.ledger.give(chunk, now);
        self.push(Action::Assign { worker, chunk, version, attempt });
    }

    fn free_chunk(&mut self) -> Option<usize> {
        if self.step.is_empty() {
            return self.ledger.smallest_free();
        }
        self.step.iter().copied().find(|&chunk| self.ledger.is_free(chunk))
    }

    /// The chunk that an idle worker computes as well as those who have it: of those with the fewest holders, the one
    /// that is out longest.
    fn copy(&self, now: Seconds) -> Option<usize> {
        let patience = if self.terms.rule.patient() { Some(self.patience()?) } else { None };
        let late = |chunk: usize| {
            let (_, last) = self.ledger.out_since(chunk);
            patience.is_none_or(|patience| now.0 >= last.0 + patience.0)
        };
        self.out().filter(|&chunk| late(chunk)).min_by(|&a, &b| {
            let (holders, since) = (|c| self.ledger.holders(c), |c| self.ledger.out_since(c).0.0);
            holders(a).cmp(&holders(b)).then(since(a).total_cmp(&since(b))).then(a.cmp(&b))
        })
    }

    /// The chunks that are out, once for each holder.
    fn out(&self) -> impl Iterator<Item = usize> {
        self.workers.iter().filter_map(|worker| worker.job).map(|job| job.chunk)
    }

    /// How long a chunk may be out before it is copied, where that matters and is known.
    fn patience(&self) -> Option<Seconds> {
        Some(Seconds(self.terms.straggler_factor? * self.fastest?.0))
    }
}
