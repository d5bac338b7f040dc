//! Tensors on their way: sent without waiting, told apart by what their headers say.

use super::shelf::{Shelf, Ticket};
use crate::comm::{Buffer, CommError, Communicator, Life, Note, Pending, Tag};
use crate::plan::placement::TensorId;
use std::time::Duration;

/// A message that is not a tensor: the number in its `edge` says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Word {
    /// A source's request has this plan from now on: ranks and places of all tasks.
    Planned = u32::MAX,
    /// A source has all its answers.
    Done = u32::MAX - 1,
    /// All sources have: go home.
    Stop = u32::MAX - 2,
}

impl Word {
    fn of(edge: u32) -> Option<Self> {
        [Self::Planned, Self::Done, Self::Stop].into_iter().find(|word| *word as u32 == edge)
    }
}

/// A message that was taken.
pub(super) struct Came {
    pub from: usize,
    pub ticket: Ticket,
    /// A tensor, or a word.
    pub what: Result<TensorId, Word>,
    pub buffer: Buffer,
}

/// A rank's letter box. All messages are of floats on one channel, so that one wait hears them all.
pub(super) struct Post<'a> {
    comm: &'a dyn Communicator,
    sending: Vec<(usize, Pending)>,
}

impl<'a> Post<'a> {
    pub fn new(comm: &'a dyn Communicator) -> Self {
        Self { comm, sending: Vec::new() }
    }

    /// Begins to send a tensor or a word. Who is lost gets nothing, and that is found out elsewhere.
    pub fn send(
        &mut self,
        to: usize,
        ticket: Ticket,
        what: Result<TensorId, Word>,
        mut buffer: Buffer,
    ) -> Result<(), CommError> {
        if self.comm.life(to) == Life::Lost {
            return Ok(());
        }
        let edge = what.map_or_else(|word| word as u32, |tensor| tensor as u32);
        buffer.note = Note { step: ticket.plan, micro: ticket.request as u32, edge, rows: 1, time: 0.0 };
        match self.comm.start_send(to, Tag::Tensor, buffer) {
            Ok(pending) => self.sending.push((to, pending)),
            Err(error) if error.is_death() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Takes the memory of what has been sent back.
    pub fn sweep(&mut self, shelf: &mut Shelf) -> Result<(), CommError> {
        let mut at = 0;
        while at < self.sending.len() {
            let done = match self.comm.test(&self.sending[at].1) {
                Ok(done) => done,
                Err(error) if error.is_death() => {
                    self.comm.abandon(self.sending.swap_remove(at).1);
                    continue;
                }
                Err(error) => return Err(error),
            };
            match done {
                true => shelf.give_back(self.comm.wait(self.sending.swap_remove(at).1)?),
                false => at += 1,
            }
        }
        Ok(())
    }

    /// Waits until all that lives has what it was sent.
    pub fn finish(self) -> Result<(), CommError> {
        for (to, pending) in self.sending {
            match self.comm.life(to) {
                Life::Alive => drop(self.comm.wait(pending)?),
                Life::Silent | Life::Lost => self.comm.abandon(pending),
            }
        }
        Ok(())
    }

    /// The next message of one rank or of any, or nothing when none came in time.
    pub fn take(&self, from: Option<usize>, patience: Duration, shelf: &mut Shelf) -> Result<Option<Came>, CommError> {
        let from = match self.comm.message_within(from, Tag::Tensor, patience) {
            Ok(Some(from)) => from,
            Ok(None) => return Ok(None),
            Err(error) => return Err(error),
        };
        let living = || self.comm.life(from) != Life::Lost;
        match self.comm.recv_while(from, Tag::Tensor, shelf.open(), &living) {
            Ok(Some(buffer)) => {
                let Note { step, micro, edge, .. } = buffer.note;
                let what = Word::of(edge).map_or(Ok(edge as TensorId), Err);
                Ok(Some(Came { from, ticket: Ticket { request: micro as usize, plan: step }, what, buffer }))
            }
            Ok(None) => Ok(None),
            Err(error) if error.is_death() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
