//! Messages of a simulated world: on their way, in mailboxes, taken, left.

use super::outcome::Left;
use super::plan::{Fault, Garble};
use super::record::Happened;
use super::world::{Ended, Rank, Wait, What, World, nanoseconds};
use crate::comm::{CommError, Note, Tag};

/// A message on its way or in a mailbox.
pub(super) struct Message {
    from: usize,
    tag: Tag,
    ticket: u64,
    bytes: Vec<u8>,
    step: u32,
}

/// The messages from one rank to another.
#[derive(Default, Clone, Copy)]
pub(super) struct Link {
    /// How many were sent.
    sent: u64,
    /// When the last of them arrives.
    pub last: u64,
}

impl World {
    /// Sends a message; its sending is complete at once, unless it is long and `waits`.
    pub fn post(&mut self, from: usize, to: usize, tag: Tag, mut bytes: Vec<u8>, note: Note, waits: bool) -> u64 {
        let ticket = self.ticket(from);
        let at = from * self.ranks.len() + to;
        self.links[at].sent += 1;
        let (mut delay, number, len) = (self.delay(), self.links[at].sent, bytes.len());
        for fault in &self.plan.faults {
            match fault {
                Fault::SlowLink { from: f, to: t, bytes_per_s } if (*f, *t) == (from, to) => {
                    delay += 1_000_000_000 * len as u64 / bytes_per_s;
                }
                Fault::Outage { from: f, to: t, at, until } if (*f, *t) == (from, to) => {
                    let out = (nanoseconds(*at)..nanoseconds(*until)).contains(&self.now);
                    delay += if out { nanoseconds(*until) - self.now } else { 0 };
                }
                Fault::Garble { from: f, to: t, message, how } if (*f, *t, *message) == (from, to, number) => {
                    garble(&mut bytes, *how);
                }
                _ => {}
            }
        }
        if waits && len > self.plan.eager {
            self.ranks[from].untaken.insert(ticket);
        }
        // Messages of one link keep their order; those of several links have nothing to do with each other.
        let arrival = (self.now + delay).max(self.links[at].last + 1);
        self.links[at].last = arrival;
        self.record.note(self.now, Happened::Sent { from, to, tag, bytes: len, note });
        self.at(arrival, What::Deliver { to, message: Message { from, tag, ticket, bytes, step: note.step } });
        ticket
    }

    /// Now and then a message takes much longer than others.
    fn delay(&mut self) -> u64 {
        let usual = nanoseconds(self.plan.latency).max(2);
        let delay = usual / 2 + self.draws.below(usual);
        if self.draws.once_in(16) { delay * (2 + self.draws.below(60)) } else { delay }
    }

    /// Long messages of a rank that has ended will not be sent any more.
    pub fn withdraw(&mut self, from: usize) {
        let untaken = std::mem::take(&mut self.ranks[from].untaken);
        if !untaken.is_empty() {
            let gone = |message: &Message| message.from == from && untaken.contains(&message.ticket);
            self.ranks.iter_mut().for_each(|rank| rank.mailbox.retain(|message| !gone(message)));
            self.retain(|what| !matches!(what, What::Deliver { message, .. } if gone(message)));
        }
    }

    /// Whether the sending of a message is complete.
    pub fn is_taken(&self, from: usize, ticket: u64) -> bool {
        !self.ranks[from].untaken.contains(&ticket)
    }

    /// Whose message lies there that a receive with this ticket takes, and where.
    pub fn find(&self, rank: usize, from: Option<usize>, tag: Tag, ticket: u64) -> Option<usize> {
        let Rank { mailbox, begun, .. } = &self.ranks[rank];
        let mut seen = vec![0; self.ranks.len()];
        mailbox.iter().position(|message| {
            if message.tag != tag || from.is_some_and(|from| from != message.from) {
                return false;
            }
            let before = begun.iter().filter(|(other, of)| **other < ticket && **of == (message.from, tag)).count();
            seen[message.from] += 1;
            seen[message.from] > before
        })
    }

    pub fn sender(&self, rank: usize, at: usize) -> usize {
        self.ranks[rank].mailbox[at].from
    }

    /// Takes a message out of the mailbox.
    pub fn take(&mut self, rank: usize, at: usize) -> Vec<u8> {
        let message = self.ranks[rank].mailbox.remove(at).expect("it was found there");
        let (from, tag) = (message.from, message.tag);
        self.record.note(self.now, Happened::Received { from, to: rank, tag });
        if self.ranks[from].untaken.remove(&message.ticket)
            && matches!(self.ranks[from].wait, Some(Wait::Taken(to, _)) if to == rank)
        {
            self.wake_soon(from);
        }
        message.bytes
    }

    /// An error for whoever names a rank that it cannot exchange messages with.
    pub fn check(&self, rank: usize, peer: usize, tag: Tag) -> Result<(), CommError> {
        let size = self.ranks.len();
        if peer < size && peer != rank {
            return Ok(());
        }
        Err(CommError::NoSuchRank { rank, size, peer, tag })
    }

    /// A message is there.
    pub fn deliver(&mut self, to: usize, message: Message) {
        let (from, tag) = (message.from, message.tag);
        self.record.note(self.now, Happened::Arrived { from, to, tag });
        if self.ranks[to].ended.is_some() {
            self.leave(to, &message);
            return;
        }
        self.ranks[to].mailbox.push_back(message);
        match self.ranks[to].wait {
            Some(Wait::Message(source, channel)) if channel == tag && source.is_none_or(|source| source == from) => {
                self.wake_soon(to);
            }
            _ => {}
        }
    }

    /// What is left in mailboxes when all have ended.
    pub fn sweep(&mut self) {
        for to in 0..self.ranks.len() {
            for message in std::mem::take(&mut self.ranks[to].mailbox) {
                self.leave(to, &message);
            }
        }
    }

    fn leave(&mut self, to: usize, message: &Message) {
        let returned = |rank: usize| {
            let Rank { ended, aborts, .. } = self.ranks[rank];
            matches!(ended, None | Some(Ended::Returned)) && !aborts
        };
        if returned(to) && returned(message.from) {
            self.left.push(Left { from: message.from, to, tag: message.tag, step: message.step });
        }
    }
}

fn garble(bytes: &mut Vec<u8>, how: Garble) {
    match how {
        Garble::Shorten(len) => bytes.truncate(len),
        Garble::Lengthen(more) => bytes.resize(bytes.len() + more, 0),
        Garble::Flip(at, bits) => {
            let at = at % bytes.len();
            bytes[at] ^= bits;
        }
    }
}
