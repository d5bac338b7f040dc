//! Ranks as threads of one process: every mode without MPI, and the stricter runner of its tests.
//!
//! Stricter than MPI in three ways: a send can be forced to wait for its receive (rendezvous), every
//! wait can have a deadline, and a rank that ends wakes whoever waits for it.
//!
//! Who waits looks for a moment before it sleeps: a step of a small network is shorter than it takes to be woken, and whether
//! and how late a rank then wakes up is the scheduler's mood.

use super::communicator::Doing;
use super::reductions::{Carrier, Reductions};
use super::{Buffer, CommError, Communicator, Kind, Life, Pending, Reduce, Tag};
use std::cell::{Cell, RefCell, RefMut};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How strict the threads are.
#[derive(Debug, Clone, Copy, Default)]
pub struct ThreadOptions {
    /// A send returns only when its message was received, as MPI may do for large ones.
    pub rendezvous: bool,
    /// The longest wait for a message.
    pub deadline: Option<Duration>,
}

struct Message {
    from: usize,
    tag: Tag,
    ticket: u64,
    bytes: Vec<u8>,
}

#[derive(Default)]
struct Queue {
    messages: VecDeque<Message>,
    /// Memory of received messages, to be used again.
    spare: Vec<Vec<u8>>,
}

#[derive(Default)]
struct Mailbox {
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Counts the changes, for who looks and does not sleep.
    changes: AtomicU64,
}

/// How long who waits looks before it sleeps: about as long as it takes to be woken. Longer work hides the waking.
const LOOK: Duration = Duration::from_micros(50);

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A rank that panicked while holding the lock left a consistent queue: pushes and pops are whole.
        self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Tells all who wait here that there is something new.
    fn tell(&self) {
        self.changes.fetch_add(1, Ordering::Release);
        self.changed.notify_all();
    }

    /// Waits for a change, at most so long; at first awake, unless that was done in vain.
    fn wait<'a>(
        &'a self,
        queue: MutexGuard<'a, Queue>,
        left: Option<Duration>,
        look: &mut bool,
    ) -> MutexGuard<'a, Queue> {
        if std::mem::take(look) {
            let (start, before) = (Instant::now(), self.changes.load(Ordering::Acquire));
            let most = left.map_or(LOOK, |left| left.min(LOOK));
            drop(queue);
            while !*look && start.elapsed() < most {
                // Whoever shares the core may be the one that is waited for.
                std::thread::yield_now();
                *look = self.changes.load(Ordering::Acquire) != before;
            }
            return self.lock();
        }
        match left {
            None => self.changed.wait(queue).unwrap_or_else(std::sync::PoisonError::into_inner),
            Some(left) => self.changed.wait_timeout(queue, left).unwrap_or_else(std::sync::PoisonError::into_inner).0,
        }
    }
}

struct World {
    options: ThreadOptions,
    /// Whether each rank may have a core: only then it can look at its mailbox without keeping others from work.
    looks: bool,
    boxes: Vec<Mailbox>,
    gone: Vec<AtomicBool>,
}

/// A non-blocking operation.
struct UnderWay {
    buffer: Buffer,
    /// What a receive waits for: the sender and the channel.
    receive: Option<(usize, Tag)>,
}

/// A rank that is a thread.
pub struct ThreadComm {
    rank: usize,
    world: Arc<World>,
    tickets: Cell<u64>,
    under_way: RefCell<HashMap<u64, UnderWay>>,
    reductions: RefCell<Reductions>,
    scratch: RefCell<Buffer>,
}

impl ThreadComm {
    /// A world of `size` ranks, to be handed to as many threads.
    pub fn world(size: usize, options: ThreadOptions) -> Vec<Self> {
        let world = Arc::new(World {
            options,
            looks: std::thread::available_parallelism().is_ok_and(|cores| cores.get() >= size),
            boxes: (0..size).map(|_| Mailbox::default()).collect(),
            gone: (0..size).map(|_| AtomicBool::new(false)).collect(),
        });
        (0..size)
            .map(|rank| Self {
                rank,
                world: Arc::clone(&world),
                tickets: Cell::new(0),
                under_way: RefCell::default(),
                reductions: RefCell::default(),
                scratch: RefCell::new(Buffer::new(Kind::U8, 0)),
            })
            .collect()
    }

    fn check(&self, peer: usize, tag: Tag) -> Result<(), CommError> {
        if peer < self.size() && peer != self.rank {
            return Ok(());
        }
        Err(CommError::NoSuchRank { rank: self.rank, size: self.size(), peer, tag })
    }

    fn ticket(&self) -> u64 {
        self.tickets.set(self.tickets.get() + 1);
        self.tickets.get()
    }

    /// Whether a rank has ended.
    fn is_gone(&self, rank: usize) -> bool {
        self.world.gone[rank].load(Ordering::SeqCst)
    }

    /// Waits at a mailbox until `ready` gives something, the rank `on` (or every other rank) is gone, or the deadline passes.
    fn wait_at<T>(
        &self,
        mailbox: usize,
        on: Option<usize>,
        tag: Tag,
        mut ready: impl FnMut(&mut Queue) -> Option<T>,
    ) -> Result<T, CommError> {
        let start = Instant::now();
        let mailbox = &self.world.boxes[mailbox];
        let (mut queue, mut look) = (mailbox.lock(), self.world.looks);
        loop {
            if let Some(found) = ready(&mut queue) {
                return Ok(found);
            }
            if let Some(rank) = self.lost(on) {
                return Err(CommError::PeerLost { rank, tag });
            }
            let Some(deadline) = self.world.options.deadline else {
                queue = mailbox.wait(queue, None, &mut look);
                continue;
            };
            let Some(left) = deadline.checked_sub(start.elapsed()) else {
                let from = on.map_or("any rank".into(), |rank| format!("rank {rank}"));
                return Err(CommError::Deadline { rank: self.rank, from, tag, seconds: deadline.as_secs() });
            };
            queue = mailbox.wait(queue, Some(left), &mut look);
        }
    }

    /// The rank whose end makes a wait hopeless.
    fn lost(&self, on: Option<usize>) -> Option<usize> {
        match on {
            Some(rank) => self.is_gone(rank).then_some(rank),
            // One dead peer ends an any-source wait too: the message may be the one it owed.
            None => (0..self.size()).find(|rank| *rank != self.rank && self.is_gone(*rank)),
        }
    }

    fn post(&self, to: usize, tag: Tag, message: &mut Buffer) -> Result<u64, CommError> {
        self.check(to, tag)?;
        if self.world.gone[to].load(Ordering::SeqCst) {
            return Err(CommError::PeerLost { rank: to, tag });
        }
        let ticket = self.ticket();
        let mailbox = &self.world.boxes[to];
        let mut queue = mailbox.lock();
        let mut bytes = queue.spare.pop().unwrap_or_default();
        bytes.clear();
        bytes.extend_from_slice(message.wire(tag));
        queue.messages.push_back(Message { from: self.rank, tag, ticket, bytes });
        drop(queue);
        mailbox.tell();
        Ok(ticket)
    }

    /// How many receives from a rank were begun before the one with this ticket, and are not finished: as in MPI,
    /// the first messages are theirs.
    fn begun(&self, from: usize, tag: Tag, before: u64) -> usize {
        let under_way = self.under_way.borrow();
        under_way.iter().filter(|(ticket, op)| **ticket < before && op.receive == Some((from, tag))).count()
    }

    /// Where the message lies that a receive with this ticket takes.
    fn find(&self, queue: &Queue, from: Option<usize>, tag: Tag, ticket: u64) -> Option<usize> {
        let messages = &queue.messages;
        (0..messages.len()).find(|at| {
            let sender = messages[*at].from;
            let fits = |m: &Message| m.tag == tag && m.from == sender;
            let ahead = || messages.iter().take(*at).filter(|m| fits(m)).count();
            fits(&messages[*at])
                && from.is_none_or(|from| from == sender)
                && match self.begun(sender, tag, ticket) {
                    0 => true,
                    begun => ahead() >= begun,
                }
        })
    }

    fn receive(&self, from: usize, tag: Tag, ticket: u64, into: &mut Buffer) -> Result<(), CommError> {
        let bytes = self.wait_at(self.rank, Some(from), tag, |queue| {
            let at = self.find(queue, Some(from), tag, ticket)?;
            queue.messages.remove(at).map(|m| m.bytes)
        })?;
        let accepted = into.take(from, tag, &bytes);
        let mailbox = &self.world.boxes[self.rank];
        mailbox.lock().spare.push(bytes);
        if self.world.options.rendezvous {
            mailbox.tell();
        }
        accepted
    }

    /// In rendezvous mode, waits until the receiver took the message.
    fn taken(&self, to: usize, tag: Tag, ticket: u64) -> Result<(), CommError> {
        if !self.world.options.rendezvous {
            return Ok(());
        }
        self.wait_at(to, Some(to), tag, |queue| {
            let waiting = queue.messages.iter().any(|m| m.from == self.rank && m.ticket == ticket);
            (!waiting).then_some(())
        })
    }
}

impl Drop for ThreadComm {
    fn drop(&mut self) {
        self.world.gone[self.rank].store(true, Ordering::SeqCst);
        for mailbox in &self.world.boxes {
            // Taking the lock makes sure that nobody is between its check and its wait.
            drop(mailbox.lock());
            mailbox.tell();
        }
    }
}

impl Carrier for ThreadComm {
    fn place(&self) -> (usize, usize) {
        (self.rank, self.size())
    }

    fn give(&self, to: usize, message: &mut Buffer) -> Result<(), CommError> {
        self.post(to, Tag::Reduction, message).map(drop)
    }

    fn is_there(&self, from: usize) -> Result<bool, CommError> {
        let queue = self.world.boxes[self.rank].lock();
        let there = self.find(&queue, Some(from), Tag::Reduction, u64::MAX).is_some();
        match self.lost(Some(from)) {
            Some(rank) if !there => Err(CommError::PeerLost { rank, tag: Tag::Reduction }),
            _ => Ok(there),
        }
    }

    fn take(&self, from: usize, into: &mut Buffer) -> Result<(), CommError> {
        self.receive(from, Tag::Reduction, u64::MAX, into)
    }
}

impl Communicator for ThreadComm {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.world.boxes.len()
    }

    fn send(&self, to: usize, tag: Tag, message: &mut Buffer) -> Result<(), CommError> {
        let ticket = self.post(to, tag, message)?;
        self.taken(to, tag, ticket)
    }

    fn await_message(&self, from: Option<usize>, tag: Tag) -> Result<usize, CommError> {
        if let Some(from) = from {
            self.check(from, tag)?;
        }
        self.wait_at(self.rank, from, tag, |queue| {
            self.find(queue, from, tag, u64::MAX).map(|at| queue.messages[at].from)
        })
    }

    fn message_within(&self, from: Option<usize>, tag: Tag, patience: Duration) -> Result<Option<usize>, CommError> {
        if let Some(from) = from {
            self.check(from, tag)?;
        }
        let (start, mailbox) = (Instant::now(), &self.world.boxes[self.rank]);
        let (mut queue, mut look) = (mailbox.lock(), self.world.looks);
        loop {
            if let Some(at) = self.find(&queue, from, tag, u64::MAX) {
                return Ok(Some(queue.messages[at].from));
            }
            if let Some(rank) = from.filter(|from| self.is_gone(*from)) {
                return Err(CommError::PeerLost { rank, tag });
            }
            let Some(left) = patience.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) else {
                return Ok(None);
            };
            queue = mailbox.wait(queue, Some(left), &mut look);
        }
    }

    fn life(&self, rank: usize) -> Life {
        if self.is_gone(rank) { Life::Lost } else { Life::Alive }
    }

    fn abandon(&self, pending: Pending) {
        match pending.what {
            Doing::Reduce => {} // its messages are nobody's: a reduction without all of its ranks does not end
            _ => drop(self.under_way.borrow_mut().remove(&pending.ticket)),
        }
    }

    fn recv(&self, from: usize, tag: Tag, into: &mut Buffer) -> Result<(), CommError> {
        self.check(from, tag)?;
        self.receive(from, tag, u64::MAX, into)
    }

    fn start_send(&self, to: usize, tag: Tag, mut message: Buffer) -> Result<Pending, CommError> {
        let ticket = self.post(to, tag, &mut message)?;
        self.under_way.borrow_mut().insert(ticket, UnderWay { buffer: message, receive: None });
        Ok(Pending { ticket, peer: to, tag, what: Doing::Send })
    }

    fn start_recv(&self, from: usize, tag: Tag, into: Buffer) -> Result<Pending, CommError> {
        self.check(from, tag)?;
        assert!(!into.is_open(), "a receive under way needs its length");
        let ticket = self.ticket();
        self.under_way.borrow_mut().insert(ticket, UnderWay { buffer: into, receive: Some((from, tag)) });
        Ok(Pending { ticket, peer: from, tag, what: Doing::Receive })
    }

    fn start_all_reduce(&self, buffer: Buffer, op: Reduce) -> Result<Pending, CommError> {
        let ticket = self.ticket();
        self.reductions.borrow_mut().start(self, ticket, buffer, op)?;
        Ok(Pending::reduction(ticket))
    }

    fn test(&self, pending: &Pending) -> Result<bool, CommError> {
        if pending.what == Doing::Reduce {
            return self.reductions.borrow_mut().test(self, pending.ticket);
        }
        let sending = pending.what == Doing::Send;
        if sending && !self.world.options.rendezvous {
            return Ok(true);
        }
        let own = if sending { pending.peer } else { self.rank };
        let queue = self.world.boxes[own].lock();
        let done = match sending {
            true => !queue.messages.iter().any(|m| m.from == self.rank && m.ticket == pending.ticket),
            false => self.find(&queue, Some(pending.peer), pending.tag, pending.ticket).is_some(),
        };
        match self.lost(Some(pending.peer)) {
            // Whoever polls would poll for ever. A rank posts before it is gone: what is not there will not come.
            Some(rank) if !done => Err(CommError::PeerLost { rank, tag: pending.tag }),
            _ => Ok(done),
        }
    }

    fn wait(&self, pending: Pending) -> Result<Buffer, CommError> {
        if pending.what == Doing::Reduce {
            return self.reductions.borrow_mut().wait(self, pending.ticket);
        }
        let under_way = self.under_way.borrow_mut().remove(&pending.ticket);
        let mut buffer = under_way.expect("a pending operation belongs to the communicator that began it").buffer;
        if pending.what == Doing::Send {
            self.taken(pending.peer, pending.tag, pending.ticket)?;
        } else {
            self.receive(pending.peer, pending.tag, pending.ticket, &mut buffer)?;
        }
        Ok(buffer)
    }

    fn scratch(&self) -> RefMut<'_, Buffer> {
        self.scratch.borrow_mut()
    }
}

/// Runs `body` on `size` ranks, each a thread, and returns what they return, in rank order.
///
/// # Panics
/// When a rank panicked, after all have ended.
pub fn run_threads<T: Send>(size: usize, options: ThreadOptions, body: impl Fn(&ThreadComm) -> T + Sync) -> Vec<T> {
    let body = &body;
    std::thread::scope(|scope| {
        let ranks: Vec<_> = ThreadComm::world(size, options)
            .into_iter()
            .map(|comm| {
                let name = format!("rank {}", comm.rank);
                let thread = std::thread::Builder::new().name(name);
                thread.spawn_scoped(scope, move || body(&comm)).expect("the system has threads left")
            })
            .collect();
        let results: Vec<_> = ranks.into_iter().map(|rank| rank.join()).collect();
        results.into_iter().map(|r| r.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rank of two that is alone from the start: rank 1 has ended.
    fn survivor(options: ThreadOptions) -> ThreadComm {
        let mut world = ThreadComm::world(2, options);
        drop(world.pop());
        world.remove(0)
    }

    #[test]
    fn every_wait_for_a_lost_rank_ends() {
        for rendezvous in [false, true] {
            let comm = survivor(ThreadOptions { rendezvous, deadline: None });
            let message = || Buffer::new(Kind::F32, 1);
            let pending = comm.start_recv(1, Tag::Push, message()).unwrap();
            let lost = CommError::PeerLost { rank: 1, tag: Tag::Push };
            assert_eq!(comm.test(&pending).unwrap_err(), lost);
            assert_eq!(comm.wait(pending).unwrap_err(), lost);
            assert_eq!(comm.recv(1, Tag::Push, &mut message()).unwrap_err(), lost);
            assert_eq!(comm.recv_any(Tag::Push, &mut message()).unwrap_err(), lost);
            assert_eq!(comm.send(1, Tag::Push, &mut message()).unwrap_err(), lost);
            assert!(comm.barrier().is_err());
            let lost = CommError::PeerLost { rank: 1, tag: Tag::Reduction };
            let pending = comm.start_all_reduce(message(), Reduce::Sum).unwrap();
            assert_eq!(comm.test(&pending).unwrap_err(), lost);
            assert_eq!(comm.wait(pending).unwrap_err(), lost);
        }
    }

    #[test]
    fn what_a_rank_sent_before_it_was_gone_still_arrives() {
        let mut world = ThreadComm::world(2, ThreadOptions::default());
        let (sender, comm) = (world.pop().unwrap(), world.remove(0));
        sender.send(0, Tag::Push, &mut Buffer::new(Kind::F32, 3)).unwrap();
        drop(sender);
        let pending = comm.start_recv(1, Tag::Push, Buffer::new(Kind::F32, 3)).unwrap();
        assert!(comm.test(&pending).unwrap());
        assert_eq!(comm.wait(pending).unwrap().f32s(), [0.0; 3]);
    }

    #[test]
    fn a_rendezvous_that_will_not_happen_is_no_wait() {
        let mut world = ThreadComm::world(2, ThreadOptions { rendezvous: true, deadline: None });
        let (peer, comm) = (world.pop().unwrap(), world.remove(0));
        let pending = comm.start_send(1, Tag::Push, Buffer::new(Kind::F32, 1)).unwrap();
        assert!(!comm.test(&pending).unwrap());
        drop(peer);
        assert!(matches!(comm.test(&pending), Err(CommError::PeerLost { rank: 1, .. })));
        assert!(comm.wait(pending).is_err());
    }
}
