//! A communicator whose ranks reach no common memory, as on several nodes: the other way of every strategy that has one.

use goai::comm::{Buffer, CommError, Communicator, Pending, Reduce, Tag, Values};
use std::cell::RefMut;
use std::time::Duration;

/// All of a communicator but its shared vectors.
pub struct Scattered<'a>(pub &'a dyn Communicator);

impl Communicator for Scattered<'_> {
    fn rank(&self) -> usize {
        self.0.rank()
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn send(&self, to: usize, tag: Tag, message: &mut Buffer) -> Result<(), CommError> {
        self.0.send(to, tag, message)
    }

    fn await_message(&self, from: Option<usize>, tag: Tag) -> Result<usize, CommError> {
        self.0.await_message(from, tag)
    }

    fn message_within(&self, from: Option<usize>, tag: Tag, patience: Duration) -> Result<Option<usize>, CommError> {
        self.0.message_within(from, tag, patience)
    }

    fn abandon(&self, pending: Pending) {
        self.0.abandon(pending);
    }

    fn recv(&self, from: usize, tag: Tag, into: &mut Buffer) -> Result<(), CommError> {
        self.0.recv(from, tag, into)
    }

    fn start_send(&self, to: usize, tag: Tag, message: Buffer) -> Result<Pending, CommError> {
        self.0.start_send(to, tag, message)
    }

    fn start_recv(&self, from: usize, tag: Tag, into: Buffer) -> Result<Pending, CommError> {
        self.0.start_recv(from, tag, into)
    }

    fn test(&self, pending: &Pending) -> Result<bool, CommError> {
        self.0.test(pending)
    }

    fn wait(&self, pending: Pending) -> Result<Buffer, CommError> {
        self.0.wait(pending)
    }

    fn scratch(&self) -> RefMut<'_, Buffer> {
        self.0.scratch()
    }

    fn barrier(&self) -> Result<(), CommError> {
        self.0.barrier()
    }

    fn broadcast(&self, root: usize, values: Values) -> Result<(), CommError> {
        self.0.broadcast(root, values)
    }

    fn all_reduce(&self, values: Values, op: Reduce) -> Result<(), CommError> {
        self.0.all_reduce(values, op)
    }

    fn start_all_reduce(&self, buffer: Buffer, op: Reduce) -> Result<Pending, CommError> {
        self.0.start_all_reduce(buffer, op)
    }

    fn all_gather(&self, mine: &[u8], all: &mut [u8]) -> Result<(), CommError> {
        self.0.all_gather(mine, all)
    }
}
