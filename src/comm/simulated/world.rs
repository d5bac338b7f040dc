//! The state of a simulated world: its time, what is to happen, and what every rank has and waits for.

use super::draws::Draws;
use super::mail::{Link, Message};
use super::outcome::{Activity, Left, Stuck, Why};
use super::plan::{Fault, Moment, Plan};
use super::record::{Happened, Record};
use crate::comm::{Life, Tag};
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::time::Duration;

/// What a rank waits for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wait {
    /// A message of one rank or of any.
    Message(Option<usize>, Tag),
    /// That a rank takes a message.
    Taken(usize, Tag),
}

pub(super) enum What {
    /// The rank goes on, if it has not done so since.
    Wake {
        rank: usize,
        turn: u64,
    },
    Deliver {
        to: usize,
        message: Message,
    },
    /// It becomes known to a rank that another has ended.
    Detect {
        by: usize,
        lost: usize,
    },
}

struct Event {
    time: u64,
    /// Events of one time happen in an order that is drawn.
    tie: (u64, u64),
    what: What,
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.time, self.tie).cmp(&(other.time, other.tie))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Returned,
    Crashed,
    Panicked,
    Frozen,
    Stuck,
}

#[derive(Default)]
pub(super) struct Rank {
    pub mailbox: VecDeque<Message>,
    /// Receives that were begun and not finished: as in MPI, the first messages are theirs.
    pub begun: BTreeMap<u64, (usize, Tag)>,
    /// Own messages that are to be taken before their sending is complete.
    pub untaken: BTreeSet<u64>,
    pub wait: Option<Wait>,
    /// Counts how often it went on, so that what would wake it a second time does not.
    turn: u64,
    calls: u64,
    saves: u64,
    pub tickets: u64,
    /// Virtual time of what it did since it last gave the baton away.
    debt: u64,
    pub ended: Option<Ended>,
    /// When its body returns, that is no end in order.
    pub aborts: bool,
    /// It is ended from outside when it would go on next.
    pub killed: bool,
    /// When it learned that others have ended.
    lost: BTreeMap<usize, u64>,
}

pub(super) struct World {
    pub plan: Plan,
    pub draws: Draws,
    pub now: u64,
    events: BinaryHeap<Reverse<Event>>,
    happened: u64,
    pub ranks: Vec<Rank>,
    pub links: Vec<Link>,
    /// Who holds the baton.
    pub running: Option<usize>,
    /// Whoever still runs has to end.
    pub over: bool,
    pub stuck: Option<Stuck>,
    pub left: Vec<Left>,
    pub ended_at: u64,
    pub record: Record,
}

impl World {
    pub fn new(size: usize, plan: Plan) -> Self {
        let record = Record { hash: plan.seed, trace: plan.trace.then(Vec::new) };
        let mut world = Self {
            draws: Draws::new(plan.seed, 0),
            plan,
            now: 0,
            events: BinaryHeap::new(),
            happened: 0,
            ranks: (0..size).map(|_| Rank::default()).collect(),
            links: vec![Link::default(); size * size],
            running: None,
            over: false,
            stuck: None,
            left: Vec::new(),
            ended_at: 0,
            record,
        };
        (0..size).for_each(|rank| world.pay(rank));
        world
    }

    /// Lets something happen at a time.
    pub fn at(&mut self, time: u64, what: What) {
        let tie = (self.draws.next(), self.happened);
        self.happened += 1;
        self.events.push(Reverse(Event { time, tie, what }));
    }

    /// Lets only those events happen that are to.
    pub fn retain(&mut self, keep: impl Fn(&What) -> bool) {
        self.events.retain(|Reverse(event)| keep(&event.what));
    }

    /// Lets events happen until a rank goes on; once all have ended, until nothing is on its way.
    pub fn advance(&mut self) {
        self.running = None;
        while !self.over {
            let Some(Reverse(event)) = self.events.pop() else {
                let waits = |rank: usize| self.ranks[rank].ended.is_none() && !self.is_frozen_for_ever(rank);
                if (0..self.ranks.len()).any(waits) {
                    self.stop(Why::Deadlock);
                }
                self.over = true;
                break;
            };
            let all_ended = self.ranks.iter().all(|rank| rank.ended.is_some());
            if event.time > nanoseconds(self.plan.limit) && !all_ended {
                self.stop(Why::Time);
                break;
            }
            if self.happened > self.plan.most_events && !all_ended {
                self.stop(Why::Events);
                break;
            }
            self.now = self.now.max(event.time);
            match event.what {
                What::Wake { rank, turn } => {
                    if self.wakes(rank, turn) {
                        return;
                    }
                }
                What::Deliver { to, message } => self.deliver(to, message),
                What::Detect { by, lost } => self.detect(by, lost),
            }
        }
        // Whoever is left gets the baton to end.
        self.running = self.ranks.iter().position(|rank| rank.ended.is_none());
    }

    fn stop(&mut self, why: Why) {
        self.over = true;
        let doing = |rank: &Rank| match rank.wait {
            None => Activity::Running,
            Some(Wait::Message(from, tag)) => Activity::Receiving(from, tag),
            Some(Wait::Taken(to, tag)) => Activity::Sending(to, tag),
        };
        let ranks = self.ranks.iter().enumerate().filter(|(_, rank)| rank.ended.is_none());
        self.stuck = Some(Stuck { why, ranks: ranks.map(|(number, rank)| (number, doing(rank))).collect() });
    }

    /// Gives a rank the baton, unless it had gone on since or is frozen.
    fn wakes(&mut self, rank: usize, turn: u64) -> bool {
        if self.ranks[rank].turn != turn || self.ranks[rank].ended.is_some() {
            return false;
        }
        if let Some(until) = self.frozen_until(rank, self.now).filter(|_| !self.ranks[rank].killed) {
            self.record.note(self.now, Happened::Frozen { rank, until });
            if until < u64::MAX {
                self.at(until, What::Wake { rank, turn });
            }
            return false;
        }
        self.ranks[rank].turn += 1;
        self.ranks[rank].wait = None;
        self.running = Some(rank);
        true
    }

    fn detect(&mut self, by: usize, lost: usize) {
        self.record.note(self.now, Happened::KnownAsLost { rank: lost, by });
        match self.ranks[by].wait {
            Some(Wait::Message(Some(on), _) | Wait::Taken(on, _)) if on != lost => {}
            Some(_) => self.wake_soon(by),
            None => {}
        }
    }

    /// A waiting rank looks again whether it may go on.
    pub fn wake_soon(&mut self, rank: usize) {
        let (time, turn) = (self.now + self.draws.below(1_000), self.ranks[rank].turn);
        self.at(time, What::Wake { rank, turn });
    }

    /// Ends a rank from outside.
    pub fn kill(&mut self, rank: usize) {
        self.ranks[rank].killed = true;
        self.wake_soon(rank);
    }

    /// Lets pass what a rank has done since, and a call of the communicator.
    pub fn pay(&mut self, rank: usize) {
        let call = (100 + self.draws.below(1_900)) * self.slowness(rank);
        let time = self.now + std::mem::take(&mut self.ranks[rank].debt) + call;
        let turn = self.ranks[rank].turn;
        self.at(time, What::Wake { rank, turn });
    }

    /// Lets a rank wait; with a patience, not longer than that.
    pub fn wait(&mut self, rank: usize, wait: Wait, until: Option<u64>) {
        if let Wait::Message(from, tag) = wait {
            let patience = until.map(|until| until - self.now);
            self.record.note(self.now, Happened::Waits { rank, from, tag, patience });
        }
        self.ranks[rank].wait = Some(wait);
        if let Some(until) = until {
            let turn = self.ranks[rank].turn;
            self.at(until, What::Wake { rank, turn });
        }
    }

    /// Counts a call, and says whether the rank crashes at it.
    pub fn count_call(&mut self, rank: usize) -> Option<Moment> {
        self.ranks[rank].calls += 1;
        let calls = self.ranks[rank].calls;
        self.plan.faults.iter().find_map(|fault| match fault {
            Fault::Crash { rank: who, call, moment } if (*who, *call) == (rank, calls) => Some(*moment),
            _ => None,
        })
    }

    pub fn calls(&self) -> u64 {
        self.ranks.iter().map(|rank| rank.calls).sum()
    }

    /// The rank has ended. Unless that was in order, it becomes known to each of the others at a time of its own.
    pub fn end(&mut self, rank: usize, ended: Ended) {
        if self.ranks[rank].ended.is_some() {
            return;
        }
        let how = match ended {
            Ended::Returned => "returns",
            Ended::Crashed => "crashes",
            Ended::Panicked => "panics",
            Ended::Frozen => "never thawed",
            Ended::Stuck => "is stuck",
        };
        self.record.note(self.now, Happened::Ended { rank, how });
        self.ranks[rank].ended = Some(ended);
        self.ended_at = self.now;
        self.withdraw(rank);
        if ended == Ended::Returned && !self.ranks[rank].aborts {
            return; // it said goodbye, and is not lost
        }
        let latest = nanoseconds(self.plan.heartbeat).max(1);
        for by in (0..self.ranks.len()).filter(|by| *by != rank) {
            // A closed connection is seen at once; a machine that is gone only by its silence.
            let delay = match self.draws.once_in(4) {
                true => self.draws.below(latest),
                false => self.draws.below(latest.min(200_000)),
            };
            let known = self.now + delay;
            self.ranks[by].lost.insert(rank, known);
            self.at(known, What::Detect { by, lost: rank });
        }
    }

    /// Whether it is known to `by` that a rank has ended.
    pub fn is_lost(&self, rank: usize, by: usize) -> bool {
        self.ranks[by].lost.get(&rank).is_some_and(|since| *since <= self.now)
    }

    /// The rank whose end makes a wait hopeless.
    pub fn hopeless(&self, on: Option<usize>, by: usize) -> Option<usize> {
        match on {
            Some(rank) => self.is_lost(rank, by).then_some(rank),
            None => (0..self.ranks.len()).find(|rank| self.is_lost(*rank, by)),
        }
    }

    pub fn life(&self, rank: usize, by: usize) -> Life {
        let (now, heartbeat) = (self.now, nanoseconds(self.plan.heartbeat));
        if self.is_lost(rank, by) {
            Life::Lost
        } else if self.freezes(rank).any(|(from, until)| from.saturating_add(heartbeat) <= now && now < until) {
            Life::Silent
        } else {
            Life::Alive
        }
    }

    fn freezes(&self, rank: usize) -> impl Iterator<Item = (u64, u64)> {
        self.plan.faults.iter().filter_map(move |fault| match fault {
            Fault::Freeze { rank: who, from, until } if *who == rank => Some((nanoseconds(*from), nanoseconds(*until))),
            _ => None,
        })
    }

    fn frozen_until(&self, rank: usize, at: u64) -> Option<u64> {
        self.freezes(rank).filter(|(from, until)| *from <= at && at < *until).map(|(_, until)| until).max()
    }

    pub fn is_frozen_for_ever(&self, rank: usize) -> bool {
        self.frozen_until(rank, self.now) == Some(u64::MAX)
    }

    fn slowness(&self, rank: usize) -> u64 {
        let factors = self.plan.faults.iter().filter_map(|fault| match fault {
            Fault::Slow { rank: who, factor } if *who == rank => Some(*factor),
            _ => None,
        });
        factors.product()
    }

    /// A rank's own time: that of the world, and what it did since.
    pub fn time_of(&self, rank: usize) -> u64 {
        self.now + self.ranks[rank].debt
    }

    /// Looking at the clock takes time too, so that whoever only does that gets on.
    pub fn look_at_clock(&mut self, rank: usize) -> u64 {
        self.ranks[rank].debt += 20;
        self.time_of(rank)
    }

    /// Lets a rank do a piece of work.
    pub fn work(&mut self, rank: usize) {
        let work = nanoseconds(self.plan.work).max(2);
        self.ranks[rank].debt += (work / 2 + self.draws.below(work)) * self.slowness(rank);
    }

    /// Whether this attempt of a rank to save fails.
    pub fn save_fails(&mut self, rank: usize) -> bool {
        self.ranks[rank].saves += 1;
        let fault = Fault::Disk { rank, save: self.ranks[rank].saves };
        self.plan.faults.contains(&fault)
    }

    pub fn ticket(&mut self, rank: usize) -> u64 {
        self.ranks[rank].tickets += 1;
        self.ranks[rank].tickets
    }
}

/// A length of time as the world counts it; what is too long is for ever.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
