//! Any schedule: random events against a second, simpler account of what is allowed and what is owed.

use super::*;
use crate::units::Seconds;
use proptest::prelude::*;

type Report = (usize, usize, u64, u32);

/// The world around a quorum, and what must hold in it.
struct World {
    quorum: Quorum,
    now: f64,
    live: Vec<bool>,
    silent: Vec<bool>,
    /// What each live worker was last told and has neither delivered nor was called off.
    told: Vec<Option<Report>>,
    /// Results not handed in yet, those called off among them: they arrive in any order, or never.
    mail: Vec<Report>,
    /// All that was ever asked for.
    asked: Vec<Report>,
    taken: Vec<(usize, usize)>,
    /// How many of them belong to the closed step; `None` while a step is open.
    closed: Option<usize>,
    /// Taken before the step began.
    carried: usize,
    applied: Vec<u32>,
    version: u64,
    attempt: u32,
    /// The version at which the pass began.
    pass_from: u64,
    /// The chunks that the step must have.
    set: Option<Vec<usize>>,
    over: bool,
}

impl World {
    fn new(terms: Terms, workers: usize) -> Self {
        let mut world = Self {
            quorum: Quorum::new(terms, workers).unwrap(),
            now: 0.0,
            live: vec![true; workers],
            silent: vec![false; workers],
            told: vec![None; workers],
            mail: Vec::new(),
            asked: Vec::new(),
            taken: Vec::new(),
            closed: None,
            carried: 0,
            applied: vec![0; terms.chunks],
            version: 0,
            attempt: 0,
            pass_from: 0,
            set: None,
            over: false,
        };
        world.begin_step();
        world.quorum.begin_pass(&[], Seconds(0.0));
        world.check(None, None);
        world
    }

    fn terms(&self) -> Terms {
        *self.quorum.terms()
    }

    fn left(&self) -> usize {
        self.applied.iter().filter(|&&times| times == 0).count()
    }

    fn begin_step(&mut self) {
        let fixed = self.terms().fixed || self.terms().rule == Rule::Shards;
        let next = (0..self.applied.len()).filter(|&chunk| self.applied[chunk] == 0).take(self.terms().k);
        self.set = fixed.then(|| next.collect());
        (self.closed, self.carried) = (None, self.taken.len());
    }

    fn on(&mut self, event: Event) {
        let mut result = None;
        let mut resumes = None;
        match event {
            Event::Arrived { worker, chunk, version, attempt } => result = Some((worker, chunk, version, attempt)),
            Event::Applied => {
                for (_, chunk) in self.taken.drain(..self.closed.unwrap()) {
                    self.applied[chunk] += 1;
                }
                (self.version, self.attempt) = (self.version + 1, 0);
                if self.terms().rule.synchronous() {
                    self.told.fill(None);
                }
                self.begin_step();
            }
            Event::Again => {
                let mut again: Vec<usize> = self.taken.drain(..self.closed.unwrap()).map(|(_, chunk)| chunk).collect();
                again.sort_unstable();
                (self.set, self.attempt, self.closed) = (Some(again), self.attempt + 1, None);
                self.carried = self.taken.len();
                self.told.fill(None);
            }
            Event::Left { worker } | Event::Lost { worker } => {
                (self.live[worker], self.silent[worker], self.told[worker]) = (false, false, None);
            }
            Event::Silent { worker } if self.live[worker] => {
                (self.live[worker], self.silent[worker], self.told[worker]) = (false, true, None);
            }
            Event::Back { worker } if self.silent[worker] => {
                (self.live[worker], self.silent[worker]) = (true, false);
                resumes = Some(worker);
            }
            Event::Joined { worker } => {
                (self.live[worker], self.silent[worker], self.told[worker]) = (true, false, None);
            }
            Event::Tick | Event::Silent { .. } | Event::Back { .. } => {}
        }
        self.quorum.on(event, Seconds(self.now));
        self.check(result, resumes);
    }

    /// Follows the actions and checks each, then what must hold once all are done.
    fn check(&mut self, result: Option<Report>, mut resumes: Option<usize>) {
        let mut owed = None;
        if let Some((worker, chunk, version, attempt)) = result {
            let owes = self.told.get(worker).is_some_and(|told| *told == result)
                && (self.closed.is_none() || !self.terms().rule.synchronous());
            owed = Some(owes);
            if let Some(told) = self.told.get_mut(worker) {
                told.take_if(|told| *told == (worker, chunk, version, attempt));
            }
            if self.silent.get(worker) == Some(&true) {
                (self.live[worker], self.silent[worker]) = (true, false);
                resumes = Some(worker);
            }
        }
        let mut nobody = false;
        while let Some(action) = self.quorum.next_action() {
            match action {
                Action::Assign { worker, chunk, version, attempt } => {
                    assert!(self.live[worker], "{action:?} to one who is not live");
                    assert!(self.told[worker].is_none(), "{action:?} for no reason");
                    assert_eq!((version, attempt), (self.version, self.attempt));
                    assert!(self.wanted(chunk) && self.closed.is_none() && !self.over, "{action:?} in vain");
                    assert!(self.set.as_ref().is_none_or(|set| set.contains(&chunk)), "{action:?} out of the step");
                    let smaller = (0..chunk).find(|&other| self.free(other));
                    assert!(
                        !self.free(chunk) || smaller.is_none() || resumes == Some(worker),
                        "{action:?}: {smaller:?}"
                    );
                    let job = (worker, chunk, version, attempt);
                    self.told[worker] = Some(job);
                    self.mail.push(job);
                    self.asked.push(job);
                }
                Action::Take { worker, chunk, staleness } => {
                    let (from, what, version, attempt) = result.expect("a result");
                    assert_eq!((worker, chunk), (from, what));
                    assert!(owed.take().is_some() && self.asked.contains(&result.unwrap()) && self.live[worker]);
                    assert!(self.wanted(chunk), "{action:?} twice");
                    assert!(version >= self.pass_from, "{action:?} of the pass before");
                    let open = self.set.is_none();
                    let distinct = self.taken[self.closed.unwrap_or(0)..].iter().all(|(other, _)| *other != worker);
                    assert!(!self.terms().rule.one_each() || !open || distinct, "{action:?}: it has contributed");
                    if self.terms().rule.synchronous() {
                        assert_eq!((version, attempt, self.closed), (self.version, self.attempt, None));
                    }
                    let applied_to = self.version + u64::from(self.closed.is_some());
                    assert_eq!(u64::from(staleness), applied_to - version);
                    self.taken.push((worker, chunk));
                    for told in &mut self.told {
                        told.take_if(|told| told.1 == chunk);
                    }
                }
                Action::Drop { worker, chunk, why } => {
                    let (from, what, ..) = result.expect("a result");
                    assert_eq!((worker, chunk), (from, what));
                    assert_eq!(owed.take(), Some(false), "{action:?}, which was wanted");
                    let asked = self.asked.contains(&result.unwrap());
                    // Of what lies far back it is not remembered whether it was asked for.
                    let far_back = self.asked.iter().filter(|job| job.0 == worker).count() >= 8;
                    assert!(asked || far_back || why == Why::Unknown, "{action:?}");
                    assert!(why != Why::Unknown || !asked, "{action:?}");
                    assert!(why != Why::Duplicate || !self.wanted(chunk), "{action:?}");
                }
                Action::Close { version, contributions } => {
                    assert!(self.closed.is_none() && version == self.version && contributions == self.taken.len());
                    self.closed = Some(contributions);
                    self.check_close(contributions);
                }
                Action::PassOver => {
                    assert!(self.applied.iter().all(|&times| times == 1) && !self.over);
                    self.over = true;
                }
                Action::Park { worker } => assert!(self.live[worker] && self.told[worker].is_none()),
                Action::NobodyLeft => nobody = true,
            }
        }
        assert!(owed.is_none(), "a result that is neither taken nor dropped");
        assert!(!nobody || !self.live.contains(&true));
        self.check_rest();
    }

    fn check_close(&self, contributions: usize) {
        let (terms, live) = (self.terms(), self.live.iter().filter(|live| **live).count());
        let full = terms.k.min(self.left());
        if let Some(set) = &self.set {
            let mut chunks: Vec<usize> = self.taken[self.carried..].iter().map(|(_, chunk)| *chunk).collect();
            chunks.sort_unstable();
            assert_eq!(&chunks, set);
            return;
        }
        let enough = if terms.rule.one_each() { full.min(live) } else { full };
        assert!(contributions >= enough.max(1) && contributions <= full.max(self.carried), "{contributions}");
    }

    /// What holds when all actions are done: the books agree, nobody rests who could work.
    fn check_rest(&self) {
        let applied: Vec<bool> = self.applied.iter().map(|times| *times == 1).collect();
        assert_eq!((self.quorum.applied(), self.quorum.version()), (&applied[..], self.version));
        assert_eq!(self.over, self.left() == 0);
        for (worker, told) in self.told.iter().enumerate() {
            let busy = self.quorum.busy(worker).map(|job| (worker, job.chunk, job.version, job.attempt));
            assert_eq!(busy, *told);
        }
        if self.over || self.closed.is_some() || !self.live.contains(&true) {
            return;
        }
        let terms = self.terms();
        let patient = terms.rule == Rule::Shards || !terms.rule.synchronous();
        let free = (0..terms.chunks).any(|chunk| self.free(chunk));
        let out = (0..terms.chunks).any(|chunk| self.wanted(chunk) && !self.free(chunk) && self.in_step(chunk));
        for worker in (0..self.live.len()).filter(|&worker| self.live[worker] && self.told[worker].is_none()) {
            let contributed = self.taken.iter().any(|(other, _)| *other == worker);
            let waits = terms.rule.one_each() && self.set.is_none() && contributed;
            let capped = terms.max_contributors.is_some();
            assert!(waits || capped || (!free && (patient || !out)), "worker {worker} rests");
        }
        assert!(!free || self.told.iter().any(Option::is_some) || terms.rule.one_each(), "nobody works");
    }

    fn wanted(&self, chunk: usize) -> bool {
        self.applied[chunk] == 0 && self.taken.iter().all(|(_, taken)| *taken != chunk)
    }

    fn in_step(&self, chunk: usize) -> bool {
        self.set.as_ref().is_none_or(|set| set.contains(&chunk))
    }

    fn free(&self, chunk: usize) -> bool {
        self.wanted(chunk) && self.in_step(chunk) && self.told.iter().flatten().all(|told| told.1 != chunk)
    }

    /// One event, chosen by three numbers.
    fn disturb(&mut self, [kind, who, what]: [usize; 3]) {
        self.now += (what % 4) as f64 * 0.5;
        let worker = who % self.live.len();
        let event = match (kind, self.closed) {
            (0..=3, Some(_)) => Event::Applied,
            (4, Some(_)) => Event::Again,
            (0..=5, _) if !self.mail.is_empty() => return self.deliver(who % self.mail.len()),
            (6, _) => Event::Silent { worker },
            (7, _) => Event::Back { worker },
            (8, _) => [Event::Lost { worker }, Event::Left { worker }][what % 2],
            (9, _) => Event::Joined { worker },
            (10, _) if !self.asked.is_empty() => {
                let (worker, chunk, version, attempt) = self.asked[what % self.asked.len()];
                Event::Arrived { worker, chunk: chunk + who % 2, version, attempt: attempt + (who as u32 / 2) % 2 }
            }
            _ => Event::Tick,
        };
        self.on(event);
    }

    fn deliver(&mut self, at: usize) {
        let (worker, chunk, version, attempt) = self.mail.remove(at);
        self.on(Event::Arrived { worker, chunk, version, attempt });
    }

    /// Nothing bad happens any more: the pass must end, soon.
    fn finish(&mut self) {
        if !self.live.contains(&true) {
            self.on(Event::Joined { worker: 0 });
        }
        for _ in 0..4 * self.applied.len() + 8 {
            if self.over {
                return;
            }
            let current = self.mail.iter().position(|mail| self.told[mail.0] == Some(*mail));
            match (self.closed, current) {
                (Some(_), _) => self.on(Event::Applied),
                (None, Some(at)) => self.deliver(at),
                (None, None) => panic!("nobody computes, and the pass is not over"),
            }
        }
        panic!("the pass does not end");
    }
}

fn any_terms() -> impl Strategy<Value = (Terms, usize)> {
    let numbers = (1usize..6, 1usize..6, 0usize..12, 0usize..5);
    let options = (any::<bool>(), proptest::option::of(1usize..4), proptest::option::of(1.0f64..3.0));
    (numbers, options).prop_map(|((workers, k, more, rule), (fixed, cap, straggler_factor))| {
        let rule = Rule::ALL[rule];
        let fixed = fixed && rule.synchronous();
        let k = if rule.one_each() && !fixed { k.min(workers) } else { k };
        let max_contributors = cap.filter(|_| rule == Rule::Shards);
        (Terms { rule, k, chunks: k + more, fixed, max_contributors, straggler_factor }, workers)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_chunk_is_applied_once_whatever_happens(
        (terms, workers) in any_terms(),
        events in proptest::collection::vec([0usize..12, 0usize..60, 0usize..60], 0..80),
        second in any::<bool>(),
    ) {
        let mut world = World::new(terms, workers);
        for event in events {
            if world.over {
                break;
            }
            world.disturb(event);
        }
        world.finish();
        let taken: u64 = (0..workers).map(|worker| world.quorum.tally(worker).taken).sum();
        assert!(taken >= terms.chunks as u64);
        if second {
            // Late results of this pass do no harm in the next.
            world.applied.fill(0);
            world.told.fill(None);
            world.over = false;
            world.pass_from = world.version;
            world.begin_step();
            world.quorum.begin_pass(&[], Seconds(world.now));
            world.check(None, None);
            while !world.mail.is_empty() && world.closed.is_none() {
                world.deliver(0);
            }
            world.finish();
        }
    }

    #[test]
    fn what_a_fixed_step_applies_depends_on_nothing_that_happens(
        (terms, workers) in any_terms(),
        events in proptest::collection::vec([0usize..12, 0usize..60, 0usize..60], 0..80),
    ) {
        let rule = if terms.rule.synchronous() { terms.rule } else { Rule::KBatch };
        let terms = Terms { rule, fixed: true, ..terms };
        let mut world = World::new(terms, workers);
        for event in events {
            if !world.over {
                world.disturb(event);
            }
        }
        world.finish();
        for chunk in 0..terms.chunks {
            assert_eq!(world.quorum.applied_in(chunk), Some((chunk / terms.k) as u64));
        }
    }
}
