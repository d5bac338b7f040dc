//! A rank of a simulated world, and its clock.

use super::Shared;
use super::world::{Ended, Wait, World, nanoseconds};
use crate::comm::communicator::Doing;
use crate::comm::reductions::{Carrier, Reductions};
use crate::comm::{Buffer, CommError, Communicator, Kind, Life, Pending, Reduce, Tag};
use crate::device::{Clock, Machine, Work};
use crate::units::Seconds;
use std::cell::{RefCell, RefMut};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::plan::{Fault, Moment};

/// One rank of a simulated world.
pub struct SimComm {
    rank: usize,
    size: usize,
    shared: Arc<Shared>,
    under_way: RefCell<HashMap<u64, Buffer>>,
    reductions: RefCell<Reductions>,
    scratch: RefCell<Buffer>,
}

/// What a call comes to for now.
enum Step<T> {
    Done(T),
    Wait(Wait, Option<u64>),
}

impl SimComm {
    pub(super) fn new(rank: usize, size: usize, shared: Arc<Shared>) -> Self {
        Self {
            rank,
            size,
            shared,
            under_way: RefCell::default(),
            reductions: RefCell::default(),
            scratch: RefCell::new(Buffer::new(Kind::U8, 0)),
        }
    }

    /// This rank's clock: virtual time.
    pub fn clock(&self) -> SimClock {
        SimClock { rank: self.rank, shared: Arc::clone(&self.shared) }
    }

    /// Whether the plan has asked this rank to leave by now.
    pub fn leave_wished(&self) -> bool {
        self.wished(|fault| match fault {
            Fault::Leave { rank, at } => Some((*rank, *at)),
            _ => None,
        })
    }

    /// Whether the plan has asked this rank by now to stop all of them.
    pub fn stop_wished(&self) -> bool {
        self.wished(|fault| match fault {
            Fault::Stop { rank, at } => Some((*rank, *at)),
            _ => None,
        })
    }

    fn wished(&self, wish: impl Fn(&Fault) -> Option<(usize, Duration)>) -> bool {
        let world = self.shared.lock();
        let now = world.time_of(self.rank);
        let mut wishes = world.plan.faults.iter().filter_map(wish);
        wishes.any(|(rank, at)| rank == self.rank && nanoseconds(at) <= now)
    }

    /// Counts an attempt of this rank to save, and says whether the plan lets it fail.
    pub fn save_fails(&self) -> bool {
        self.shared.lock().save_fails(self.rank)
    }

    /// Says that this rank's body is about to return out of order: to the others the rank is lost then, as a process is
    /// that ends the job.
    pub fn abort(&self) {
        self.shared.lock().ranks[self.rank].aborts = true;
    }

    /// Ends another rank from outside, even if it is frozen, as a process is killed. One that has returned is not
    /// touched.
    pub fn kill(&self, rank: usize) {
        self.shared.lock().kill(rank);
    }

    /// Puts a line into the world's trace, and into its hash.
    pub fn remark(&self, text: &str) {
        let mut world = self.shared.lock();
        let now = world.time_of(self.rank);
        world.record.remark(now, self.rank, text);
    }

    /// A call of the communicator: time passes, other ranks may go first, and the plan may end this one.
    fn call<T>(
        &self,
        tag: Tag,
        mut step: impl FnMut(&mut World) -> Result<Step<T>, CommError>,
    ) -> Result<T, CommError> {
        if std::thread::panicking() {
            // This rank has ended, and what it drops sends nothing any more.
            return Err(CommError::PeerLost { rank: self.rank, tag });
        }
        let mut world = self.shared.lock();
        let moment = world.count_call(self.rank);
        if moment == Some(Moment::Before) {
            self.shared.crash(world, self.rank);
        }
        world.pay(self.rank);
        world = self.shared.pass_on(world, self.rank);
        if moment == Some(Moment::In) {
            self.shared.crash(world, self.rank);
        }
        let result = loop {
            match step(&mut world) {
                Ok(Step::Done(done)) => break Ok(done),
                Ok(Step::Wait(wait, until)) => world.wait(self.rank, wait, until),
                Err(error) => break Err(error),
            }
            world = self.shared.pass_on(world, self.rank);
        };
        if moment == Some(Moment::After) {
            self.shared.crash(world, self.rank);
        }
        result
    }

    /// Sends a message, and waits until it is taken if that must be.
    fn post(
        &self,
        to: usize,
        tag: Tag,
        message: &mut Buffer,
        waits: bool,
        until_taken: bool,
    ) -> Result<u64, CommError> {
        let rank = self.rank;
        let mut sent = None;
        self.call(tag, |world| {
            world.check(rank, to, tag)?;
            if sent.is_none() {
                if world.is_lost(to, rank) {
                    return Err(CommError::PeerLost { rank: to, tag });
                }
                sent = Some(world.post(rank, to, tag, message.wire(tag).to_vec(), message.note, waits));
            }
            let ticket = sent.expect("it was sent");
            if until_taken {
                return self.taken(world, to, tag, ticket);
            }
            Ok(Step::Done(ticket))
        })
    }

    fn taken(&self, world: &World, to: usize, tag: Tag, ticket: u64) -> Result<Step<u64>, CommError> {
        if world.is_taken(self.rank, ticket) {
            return Ok(Step::Done(ticket));
        }
        match world.is_lost(to, self.rank) {
            true => Err(CommError::PeerLost { rank: to, tag }),
            false => Ok(Step::Wait(Wait::Taken(to, tag), None)),
        }
    }

    /// Receives the message of a receive with this ticket.
    fn receive(&self, from: usize, tag: Tag, ticket: u64, into: &mut Buffer) -> Result<(), CommError> {
        let rank = self.rank;
        let bytes = self.call(tag, |world| {
            world.check(rank, from, tag)?;
            let Some(at) = world.find(rank, Some(from), tag, ticket) else {
                return match world.hopeless(Some(from), rank) {
                    Some(rank) => Err(CommError::PeerLost { rank, tag }),
                    None => Ok(Step::Wait(Wait::Message(Some(from), tag), None)),
                };
            };
            world.ranks[rank].begun.remove(&ticket);
            Ok(Step::Done(world.take(rank, at)))
        });
        let bytes = bytes.inspect_err(|_| {
            self.shared.lock().ranks[rank].begun.remove(&ticket);
        })?;
        into.wire_room(bytes.len()).copy_from_slice(&bytes);
        into.accept(from, tag, bytes.len())
    }

    /// Whether the message of a receive with this ticket is there.
    fn is_here(&self, from: usize, tag: Tag, ticket: u64) -> Result<bool, CommError> {
        self.call(tag, |world| {
            let there = world.find(self.rank, Some(from), tag, ticket).is_some();
            match world.is_lost(from, self.rank) {
                true if !there => Err(CommError::PeerLost { rank: from, tag }),
                _ => Ok(Step::Done(there)),
            }
        })
    }
}

impl Carrier for SimComm {
    fn place(&self) -> (usize, usize) {
        (self.rank, self.size)
    }

    fn give(&self, to: usize, message: &mut Buffer) -> Result<(), CommError> {
        self.post(to, Tag::Reduction, message, false, false).map(drop)
    }

    fn is_there(&self, from: usize) -> Result<bool, CommError> {
        self.is_here(from, Tag::Reduction, u64::MAX)
    }

    fn take(&self, from: usize, into: &mut Buffer) -> Result<(), CommError> {
        self.receive(from, Tag::Reduction, u64::MAX, into)
    }
}

impl Communicator for SimComm {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn send(&self, to: usize, tag: Tag, message: &mut Buffer) -> Result<(), CommError> {
        self.post(to, tag, message, true, true).map(drop)
    }

    fn await_message(&self, from: Option<usize>, tag: Tag) -> Result<usize, CommError> {
        let rank = self.rank;
        self.call(tag, |world| {
            from.map_or(Ok(()), |from| world.check(rank, from, tag))?;
            if let Some(at) = world.find(rank, from, tag, u64::MAX) {
                return Ok(Step::Done(world.sender(rank, at)));
            }
            match world.hopeless(from, rank) {
                Some(rank) => Err(CommError::PeerLost { rank, tag }),
                None => Ok(Step::Wait(Wait::Message(from, tag), None)),
            }
        })
    }

    fn message_within(&self, from: Option<usize>, tag: Tag, patience: Duration) -> Result<Option<usize>, CommError> {
        let rank = self.rank;
        let mut until = None;
        self.call(tag, |world| {
            from.map_or(Ok(()), |from| world.check(rank, from, tag))?;
            let until = *until.get_or_insert(world.now.saturating_add(nanoseconds(patience)));
            if let Some(at) = world.find(rank, from, tag, u64::MAX) {
                return Ok(Step::Done(Some(world.sender(rank, at))));
            }
            match from.filter(|from| world.is_lost(*from, rank)) {
                Some(rank) => Err(CommError::PeerLost { rank, tag }),
                None if until <= world.now => Ok(Step::Done(None)),
                None => Ok(Step::Wait(Wait::Message(from, tag), Some(until))),
            }
        })
    }

    fn life(&self, rank: usize) -> Life {
        self.shared.lock().life(rank, self.rank)
    }

    fn abandon(&self, pending: Pending) {
        if pending.what == Doing::Reduce {
            return; // its messages are nobody's: a reduction without all of its ranks does not end
        }
        self.under_way.borrow_mut().remove(&pending.ticket);
        self.shared.lock().ranks[self.rank].begun.remove(&pending.ticket);
    }

    fn recv(&self, from: usize, tag: Tag, into: &mut Buffer) -> Result<(), CommError> {
        self.receive(from, tag, u64::MAX, into)
    }

    fn start_send(&self, to: usize, tag: Tag, mut message: Buffer) -> Result<Pending, CommError> {
        let ticket = self.post(to, tag, &mut message, true, false)?;
        self.under_way.borrow_mut().insert(ticket, message);
        Ok(Pending { ticket, peer: to, tag, what: Doing::Send })
    }

    fn start_recv(&self, from: usize, tag: Tag, into: Buffer) -> Result<Pending, CommError> {
        assert!(!into.is_open(), "a receive under way needs its length");
        let ticket = self.call(tag, |world| {
            world.check(self.rank, from, tag)?;
            let ticket = world.ticket(self.rank);
            world.ranks[self.rank].begun.insert(ticket, (from, tag));
            Ok(Step::Done(ticket))
        })?;
        self.under_way.borrow_mut().insert(ticket, into);
        Ok(Pending { ticket, peer: from, tag, what: Doing::Receive })
    }

    fn start_all_reduce(&self, buffer: Buffer, op: Reduce) -> Result<Pending, CommError> {
        let ticket = self.shared.lock().ticket(self.rank);
        self.reductions.borrow_mut().start(self, ticket, buffer, op)?;
        Ok(Pending::reduction(ticket))
    }

    fn test(&self, pending: &Pending) -> Result<bool, CommError> {
        let Pending { ticket, peer, tag, what } = *pending;
        match what {
            Doing::Reduce => self.reductions.borrow_mut().test(self, ticket),
            Doing::Receive => self.is_here(peer, tag, ticket),
            Doing::Send => self.call(tag, |world| match self.taken(world, peer, tag, ticket)? {
                Step::Done(_) => Ok(Step::Done(true)),
                Step::Wait(..) => Ok(Step::Done(false)),
            }),
        }
    }

    fn wait(&self, pending: Pending) -> Result<Buffer, CommError> {
        let Pending { ticket, peer, tag, what } = pending;
        if what == Doing::Reduce {
            return self.reductions.borrow_mut().wait(self, ticket);
        }
        let buffer = self.under_way.borrow_mut().remove(&ticket);
        let mut buffer = buffer.expect("a pending operation belongs to the communicator that began it");
        match what {
            Doing::Send => drop(self.call(tag, |world| self.taken(world, peer, tag, ticket))?),
            _ => self.receive(peer, tag, ticket, &mut buffer)?,
        }
        Ok(buffer)
    }

    fn scratch(&self) -> RefMut<'_, Buffer> {
        self.scratch.borrow_mut()
    }
}

/// The clock of a rank of a simulated world: virtual time, which passes in calls of the communicator and in work.
#[derive(Clone)]
pub struct SimClock {
    rank: usize,
    shared: Arc<Shared>,
}

impl Clock for SimClock {
    fn now(&self) -> Seconds {
        Seconds(self.shared.lock().look_at_clock(self.rank) as f64 * 1e-9)
    }

    fn charge(&self, _: Work) {
        self.shared.lock().work(self.rank);
    }

    fn machine(&self) -> Option<&Machine> {
        None
    }
}

impl Shared {
    /// The end of this rank: its stack unwinds, and nothing that it would have done happens.
    pub(super) fn crash(&self, mut world: std::sync::MutexGuard<World>, rank: usize) -> ! {
        world.end(rank, Ended::Crashed);
        drop(world);
        super::unwind()
    }
}
