//! One rank alone.

use super::communicator::Doing;
use super::{Buffer, CommError, Communicator, Kind, Pending, Reduce, Tag, Values};
use std::cell::{Cell, RefCell, RefMut};
use std::collections::HashMap;
use std::time::Duration;

/// The communicator of a program with one rank: collectives do nothing, there is nobody to send to.
#[derive(Debug)]
pub struct Solo {
    scratch: RefCell<Buffer>,
    tickets: Cell<u64>,
    reduced: RefCell<HashMap<u64, Buffer>>,
}

impl Default for Solo {
    fn default() -> Self {
        Self { scratch: RefCell::new(Buffer::new(Kind::U8, 0)), tickets: Cell::default(), reduced: RefCell::default() }
    }
}

impl Solo {
    /// The one rank.
    pub fn new() -> Self {
        Self::default()
    }

    fn nobody(&self, peer: usize, tag: Tag) -> CommError {
        CommError::NoSuchRank { rank: 0, size: 1, peer, tag }
    }
}

impl Communicator for Solo {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn send(&self, to: usize, tag: Tag, _: &mut Buffer) -> Result<(), CommError> {
        Err(self.nobody(to, tag))
    }

    fn await_message(&self, from: Option<usize>, tag: Tag) -> Result<usize, CommError> {
        Err(self.nobody(from.unwrap_or(0), tag))
    }

    fn message_within(&self, from: Option<usize>, tag: Tag, _: Duration) -> Result<Option<usize>, CommError> {
        Err(self.nobody(from.unwrap_or(0), tag))
    }

    fn abandon(&self, pending: Pending) {
        self.reduced.borrow_mut().remove(&pending.ticket);
    }

    fn recv(&self, from: usize, tag: Tag, _: &mut Buffer) -> Result<(), CommError> {
        Err(self.nobody(from, tag))
    }

    fn start_send(&self, to: usize, tag: Tag, _: Buffer) -> Result<Pending, CommError> {
        Err(self.nobody(to, tag))
    }

    fn start_recv(&self, from: usize, tag: Tag, _: Buffer) -> Result<Pending, CommError> {
        Err(self.nobody(from, tag))
    }

    fn test(&self, pending: &Pending) -> Result<bool, CommError> {
        match pending.what {
            Doing::Reduce => Ok(true),
            _ => Err(self.nobody(pending.peer, pending.tag)),
        }
    }

    fn wait(&self, pending: Pending) -> Result<Buffer, CommError> {
        self.reduced.borrow_mut().remove(&pending.ticket).ok_or_else(|| self.nobody(pending.peer, pending.tag))
    }

    fn scratch(&self) -> RefMut<'_, Buffer> {
        self.scratch.borrow_mut()
    }

    fn broadcast(&self, _: usize, _: Values) -> Result<(), CommError> {
        Ok(())
    }

    fn all_reduce(&self, _: Values, _: Reduce) -> Result<(), CommError> {
        Ok(())
    }

    fn start_all_reduce(&self, buffer: Buffer, _: Reduce) -> Result<Pending, CommError> {
        assert!(buffer.kind() != Kind::U8, "bytes are not reduced");
        let ticket = self.tickets.get() + 1;
        self.tickets.set(ticket);
        self.reduced.borrow_mut().insert(ticket, buffer);
        Ok(Pending::reduction(ticket))
    }

    fn all_gather(&self, mine: &[u8], all: &mut [u8]) -> Result<(), CommError> {
        all.copy_from_slice(mine);
        Ok(())
    }
}
