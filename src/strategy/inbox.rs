//! A server's post: which message it takes next.

use crate::comm::{Buffer, CommError, Communicator, Kind, Life, Note, Tag};
use crate::device::{Clock, Machine};
use std::time::Duration;

/// A message that was taken.
pub(super) struct Post {
    /// Its sender, from 0: rank 1.
    pub worker: usize,
    pub buffer: Buffer,
}

/// Messages as they come; or, where machines are emulated, in the order of their virtual arrival.
///
/// In virtual time the next message is known only when every worker that owes one has sent it: then the smallest
/// (arrival, rank) is the next. One that is called off before its time is thrown away unread, as if it had never been
/// sent. Machines that keep real time need none of that: what comes first is first.
pub(super) struct Inbox<'a> {
    comm: &'a dyn Communicator,
    clock: &'a dyn Clock,
    tag: Tag,
    kind: Kind,
    /// Whether a message is heard at once, whoever owes others: it was not asked for.
    urgent: fn(Note) -> bool,
    ordered: bool,
    /// Whether a long message of a rank that has fallen silent is waited for.
    patient: bool,
    /// By worker: whether it owes a report, and the report that waits for its time.
    owes: Vec<bool>,
    held: Vec<Option<Buffer>>,
    spare: Vec<Buffer>,
}

impl<'a> Inbox<'a> {
    /// An inbox for messages of this kind on this channel, from all ranks but 0.
    pub fn new(
        comm: &'a dyn Communicator,
        clock: &'a dyn Clock,
        tag: Tag,
        kind: Kind,
        urgent: fn(Note) -> bool,
    ) -> Self {
        let workers = comm.size() - 1;
        let ordered = clock.machine().is_some_and(|machine| !machine.is_paced());
        let held = (0..workers).map(|_| None).collect();
        let owes = vec![false; workers];
        Self { comm, clock, tag, kind, urgent, ordered, patient: false, owes, held, spare: Vec::new() }
    }

    /// Lets no message get lost whose sender falls silent in the middle of it and comes back: for whoever asks nobody else
    /// instead.
    #[must_use]
    pub fn patient(self) -> Self {
        Self { patient: true, ..self }
    }

    /// A worker was given something to answer. What it may have answered before is called off.
    pub fn expect(&mut self, worker: usize) {
        self.forget(worker);
        self.owes[worker] = true;
    }

    /// Whether a worker owes a report.
    pub fn owes(&self, worker: usize) -> bool {
        self.owes[worker]
    }

    /// A worker owes nothing any longer.
    pub fn forget(&mut self, worker: usize) {
        self.owes[worker] = false;
        if let Some(buffer) = self.held[worker].take() {
            self.give_back(buffer);
        }
    }

    /// Takes the memory of a report that is done with.
    pub fn give_back(&mut self, buffer: Buffer) {
        self.spare.push(buffer);
    }

    /// The next report, or nothing when none was there in time.
    pub fn next(&mut self, patience: Duration) -> Result<Option<Post>, CommError> {
        if !self.ordered {
            let from = self.comm.message_within(None, self.tag, patience)?;
            return self.take_of(from);
        }
        for worker in 0..self.owes.len() {
            if !self.owes[worker] || self.held[worker].is_some() {
                continue;
            }
            // Its time is not known before it is there: it must not move this machine yet.
            match self.comm.message_within(Some(worker + 1), self.tag, patience) {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(None),
                Err(CommError::PeerLost { .. }) => {
                    // It will never come, and the others' need not wait for it.
                    self.owes[worker] = false;
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
            let Some(post) = aside(self.clock.machine(), || self.take(worker))? else { return Ok(None) };
            if (self.urgent)(post.buffer.note) {
                return Ok(Some(post));
            }
            self.held[worker] = Some(post.buffer);
        }
        let arrival = |(worker, held): (usize, &Option<Buffer>)| Some((held.as_ref()?.note.time, worker));
        let times = self.held.iter().enumerate().filter_map(arrival);
        let Some((_, worker)) = times.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))) else {
            // Nobody owes anything: only wishes may come.
            let from = self.comm.message_within(None, self.tag, patience)?;
            return self.take_of(from);
        };
        let buffer = self.held[worker].take().expect("it was there");
        self.owes[worker] = false;
        self.comm.account(worker + 1, &buffer);
        Ok(Some(Post { worker, buffer }))
    }

    /// Takes the report that a rank has sent.
    fn take_of(&mut self, rank: Option<usize>) -> Result<Option<Post>, CommError> {
        rank.map_or(Ok(None), |rank| self.take(rank - 1))
    }

    /// Takes a report, or nothing where its sender has ended, or is not waited for, before all of it was here.
    fn take(&mut self, worker: usize) -> Result<Option<Post>, CommError> {
        let mut buffer = self.spare.pop().unwrap_or_else(|| Buffer::open(self.kind));
        buffer.reopen(self.kind);
        let (comm, tag, from) = (self.comm, self.tag, worker + 1);
        let living = || match comm.life(from) {
            Life::Alive => true,
            Life::Silent => self.patient,
            Life::Lost => false,
        };
        let buffer = match comm.recv_while(from, tag, buffer, &living) {
            Ok(Some(buffer)) => buffer,
            Ok(None) | Err(CommError::PeerLost { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        self.owes[worker] &= self.ordered;
        Ok(Some(Post { worker, buffer }))
    }
}

/// Runs what does not move a machine yet.
fn aside<T>(machine: Option<&Machine>, work: impl FnOnce() -> T) -> T {
    let held = machine.is_some_and(Machine::is_held);
    machine.inspect(|machine| machine.hold(true));
    let done = work();
    machine.inspect(|machine| machine.hold(held));
    done
}
