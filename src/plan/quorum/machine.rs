//! The state machine: what each event does to workers, chunks and the step.

use super::ledger::Ledger;
use super::worker::{Presence, Worker};
use super::{Action, Event, Job, Tally, Terms, TermsError, Why};
use crate::units::Seconds;
use std::collections::VecDeque;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// No pass runs.
    Over,
    /// Results are collected.
    Collecting,
    /// The quorum is there; whether it was applied is not known yet.
    Closed,
}

/// Which worker computes which chunk, when a step closes, what is dropped. See [the module](super).
///
/// It allocates in [`Quorum::new`] alone, so long as actions are drained after each event.
#[derive(Debug, Clone)]
pub struct Quorum {
    pub(super) terms: Terms,
    pub(super) ledger: Ledger,
    pub(super) workers: Vec<Worker>,
    actions: VecDeque<Action>,
    pub(super) phase: Phase,
    pub(super) version: u64,
    pub(super) attempt: u32,
    /// Chunks taken and their workers, in the order in which they came.
    pub(super) collected: Vec<(usize, usize)>,
    /// How many of them belong to the closed step.
    closed: usize,
    /// The chunks of a fixed step, ascending; empty where the step is open to every chunk.
    pub(super) step: Vec<usize>,
    /// The shortest time a chunk took in this pass.
    pub(super) fastest: Option<Seconds>,
    /// [`Action::NobodyLeft`] was said.
    deserted: bool,
}

impl Quorum {
    /// A quorum of workers 0 to `workers`, all live, on these terms, at version 0, with no pass running.
    ///
    /// # Errors
    ///
    /// Those of [`Terms::check`].
    pub fn new(terms: Terms, workers: usize) -> Result<Self, TermsError> {
        terms.check(workers)?;
        Ok(Self {
            terms,
            ledger: Ledger::new(terms.chunks),
            workers: vec![Worker::new(); workers],
            actions: VecDeque::with_capacity(2 * workers + 4),
            phase: Phase::Over,
            version: 0,
            attempt: 0,
            collected: Vec::with_capacity(terms.chunks),
            closed: 0,
            step: Vec::with_capacity(terms.chunks),
            fastest: None,
            deserted: false,
        })
    }

    /// The same at another version: that of a checkpoint.
    #[must_use]
    pub fn at_version(self, version: u64) -> Self {
        Self { version, ..self }
    }

    /// Begins a pass, of which the marked chunks are applied already (from a checkpoint; empty = none). What a pass
    /// before it had not finished is called off.
    ///
    /// # Panics
    ///
    /// If there are marks, but not one for each chunk.
    pub fn begin_pass(&mut self, applied: &[bool], now: Seconds) {
        self.call_off_all();
        self.workers.iter_mut().for_each(|worker| worker.former = None);
        // Chunks are numbered alike in all passes: what is late from one broken off must not pass for this one's.
        self.attempt += u32::from(self.phase != Phase::Over);
        self.ledger.begin(applied);
        self.collected.clear();
        self.closed = 0;
        self.fastest = None;
        self.deserted = false;
        self.next_step();
        self.settle(now);
    }

    /// Takes in what happened; [`Quorum::next_action`] then says what to do. No event is an error: what does not fit
    /// (a result that nobody asked for, [`Event::Applied`] of an open step) changes nothing.
    pub fn on(&mut self, event: Event, now: Seconds) {
        match event {
            Event::Arrived { worker, chunk, version, attempt } => self.arrived(worker, chunk, version, attempt, now),
            Event::Applied if self.phase == Phase::Closed => self.applied_step(),
            Event::Again if self.phase == Phase::Closed => self.again(),
            Event::Left { worker } | Event::Lost { worker } => self.vanish(worker, Presence::Gone),
            Event::Silent { worker } => self.vanish(worker, Presence::Silent),
            Event::Back { worker } => self.back(worker, now),
            Event::Joined { worker } => self.joined(worker),
            Event::Applied | Event::Again | Event::Tick => {}
        }
        self.settle(now);
    }

    /// The next thing to do; drained after every event.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What a worker computes.
    pub fn busy(&self, worker: usize) -> Option<Job> {
        self.workers.get(worker).and_then(|worker| worker.job)
    }

    /// How many workers are live.
    pub fn live(&self) -> usize {
        self.workers.iter().filter(|worker| worker.live()).count()
    }

    /// Whether this worker is live.
    pub fn is_live(&self, worker: usize) -> bool {
        self.workers.get(worker).is_some_and(Worker::live)
    }

    /// The version of the weights: one more with each step applied.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Which chunks of the pass are applied.
    pub fn applied(&self) -> &[bool] {
        self.ledger.applied()
    }

    /// The version that a chunk of this pass was applied to, if it was (and not before a checkpoint).
    pub fn applied_in(&self, chunk: usize) -> Option<u64> {
        (chunk < self.ledger.len()).then(|| self.ledger.applied_in(chunk)).flatten()
    }

    /// How many live workers compute something now: what is dropped if training ends here.
    pub fn in_flight(&self) -> usize {
        self.workers.iter().filter(|worker| worker.job.is_some()).count()
    }

    /// How many results are taken for the step being collected.
    pub fn collected(&self) -> usize {
        self.collected.len()
    }

    /// Whether every chunk is applied, or no pass has begun.
    pub fn pass_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// What became of a worker's work.
    pub fn tally(&self, worker: usize) -> Tally {
        self.workers.get(worker).map_or_else(Tally::default, |worker| worker.tally)
    }

    /// The terms.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    pub(super) fn push(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    fn arrived(&mut self, worker: usize, chunk: usize, version: u64, attempt: u32, now: Seconds) {
        let asked = chunk < self.ledger.len()
            && self.workers.get(worker).is_some_and(|worker| worker.was_given(chunk, version, attempt));
        if !asked {
            self.push(Action::Drop { worker, chunk, why: Why::Unknown });
            return self.back(worker, now);
        }
        let record = &mut self.workers[worker];
        let former = record.former.take_if(|job| job.is(chunk, version, attempt));
        let current = record.job.take_if(|job| job.is(chunk, version, attempt));
        if current.is_some() {
            record.parked = false;
            self.ledger.give_back(chunk);
        }
        match current.or(former) {
            Some(job) if self.counts(version, attempt) && self.ledger.take(chunk) => self.take(worker, job, now),
            _ => self.drop_result(worker, chunk, version),
        }
        self.back(worker, now);
    }

    fn take(&mut self, worker: usize, job: Job, now: Seconds) {
        let applied_to = self.version + u64::from(self.phase == Phase::Closed);
        let staleness = u32::try_from(applied_to - job.version).unwrap_or(u32::MAX);
        let took = Seconds((now.0 - job.since.0).max(0.0));
        if self.fastest.is_none_or(|fastest| took < fastest) {
            self.fastest = Some(took);
        }
        self.collected.push((job.chunk, worker));
        let record = &mut self.workers[worker];
        record.contributed = true;
        record.tally.taken += 1;
        record.tally.staleness_sum += u64::from(staleness);
        record.tally.staleness_max = record.tally.staleness_max.max(staleness);
        self.push(Action::Take { worker, chunk: job.chunk, staleness });
        for other in 0..self.workers.len() {
            if self.workers[other].job.is_some_and(|copy| copy.chunk == job.chunk) {
                self.call_off(other);
            }
        }
    }

    fn drop_result(&mut self, worker: usize, chunk: usize, version: u64) {
        let old = version < self.version || self.phase != Phase::Collecting;
        let why = match (self.ledger.is_wanted(chunk), old && self.terms.rule.synchronous()) {
            (_, true) => Why::Stale,
            (false, false) => Why::Duplicate,
            (true, false) if old => Why::Stale,
            (true, false) => Why::Cancelled,
        };
        let tally = &mut self.workers[worker].tally;
        *(if why == Why::Duplicate { &mut tally.duplicate } else { &mut tally.stale }) += 1;
        self.push(Action::Drop { worker, chunk, why });
    }

    fn applied_step(&mut self) {
        for &(chunk, _) in &self.collected[..self.closed] {
            self.ledger.apply(chunk, self.version);
        }
        self.collected.drain(..self.closed);
        self.version += 1;
        self.attempt = 0;
        if self.terms.rule.synchronous() {
            self.call_off_all();
        }
        self.next_step();
    }

    fn again(&mut self) {
        self.attempt += 1;
        self.call_off_all();
        self.step.clear();
        self.step.extend(self.collected.drain(..self.closed).map(|(chunk, _)| chunk));
        self.step.sort_unstable();
        for &chunk in &self.step {
            self.ledger.untake(chunk);
        }
        self.workers.iter_mut().for_each(|worker| worker.former = None);
        self.mark_contributors();
        self.phase = Phase::Collecting;
    }

    /// What was taken since the close belongs to the step that begins, and so do its workers.
    fn mark_contributors(&mut self) {
        self.workers.iter_mut().for_each(|worker| worker.contributed = false);
        for &(_, worker) in &self.collected {
            self.workers[worker].contributed = true;
        }
    }

    fn next_step(&mut self) {
        self.mark_contributors();
        self.workers.iter_mut().for_each(|worker| worker.member = false);
        self.step.clear();
        if self.ledger.left() == 0 {
            self.phase = Phase::Over;
            self.call_off_all();
            return self.push(Action::PassOver);
        }
        if self.terms.fixed || self.terms.rule == super::Rule::Shards {
            self.ledger.next_left(self.terms.k, &mut self.step);
        }
        self.phase = Phase::Collecting;
    }

    fn vanish(&mut self, worker: usize, presence: Presence) {
        let Some(record) = self.workers.get_mut(worker) else { return };
        if record.presence == Presence::Gone || record.presence == presence {
            return;
        }
        let job = record.job.take();
        record.former = job.filter(|_| presence == Presence::Silent);
        (record.presence, record.member) = (presence, false);
        if let Some(job) = job {
            self.ledger.give_back(job.chunk);
        }
    }

    /// Counts on a silent worker again. It most likely goes on with what it had, so that is what it is given, if it is
    /// still of use: given to another worker meanwhile, it is a copy.
    fn back(&mut self, worker: usize, now: Seconds) {
        let Some(record) = self.workers.get_mut(worker) else { return };
        if record.presence != Presence::Silent {
            return;
        }
        (record.presence, record.parked) = (Presence::Live, false);
        let Some(job) = record.former.take() else { return };
        let same = (job.version, job.attempt) == (self.version, self.attempt) && self.phase == Phase::Collecting;
        if same && self.ledger.is_wanted(job.chunk) && self.may_work(worker) {
            self.assign(worker, job.chunk, now);
        }
    }

    fn joined(&mut self, worker: usize) {
        self.vanish(worker, Presence::Gone);
        if let Some(record) = self.workers.get_mut(worker) {
            (record.presence, record.former, record.parked) = (Presence::Live, None, false);
        }
    }

    fn call_off(&mut self, worker: usize) {
        if let Some(job) = self.workers[worker].job.take() {
            self.ledger.give_back(job.chunk);
            self.workers[worker].parked = false;
            self.workers[worker].tally.cancelled += 1;
        }
    }

    fn call_off_all(&mut self) {
        (0..self.workers.len()).for_each(|worker| self.call_off(worker));
    }

    /// Closes the step if its quorum is there, else gives out work.
    fn settle(&mut self, now: Seconds) {
        let deserted = self.phase != Phase::Over && self.live() == 0;
        if deserted && !self.deserted {
            self.push(Action::NobodyLeft);
        }
        self.deserted = deserted;
        if self.phase == Phase::Collecting && self.complete() {
            self.phase = Phase::Closed;
            self.closed = self.collected.len();
            self.push(Action::Close { version: self.version, contributions: self.closed });
        } else if self.phase == Phase::Collecting {
            self.give_out(now);
        }
    }
}
