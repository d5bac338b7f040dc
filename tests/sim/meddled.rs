//! Bugs from outside: a communicator that does to messages what a wrong program would do.

use goai::comm::simulated::SimComm;
use goai::comm::{Buffer, CommError, Communicator, Life, Pending, Reduce, Tag};
use std::cell::RefMut;
use std::time::Duration;

/// What is done to messages.
pub trait Meddle {
    /// Whether a message that is sent at once is not.
    fn keeps_back(&self, _to: usize, _tag: Tag, _message: &Buffer) -> bool {
        false
    }

    /// A message begins to be sent; whether it is sent twice.
    fn out(&self, _to: usize, _tag: Tag, _message: &mut Buffer) -> bool {
        false
    }

    /// A message was received.
    fn came(&self, _from: usize, _tag: Tag, _message: &mut Buffer) {}

    /// Whether a message that was received while its sender lived is lost.
    fn loses(&self, _from: usize, _message: &Buffer) -> bool {
        false
    }

    /// What is said of a rank's life.
    fn life(&self, life: Life) -> Life {
        life
    }
}

/// A rank whose messages are meddled with.
pub struct Meddled<'a, M> {
    inner: &'a SimComm,
    meddle: M,
}

impl<'a, M: Meddle> Meddled<'a, M> {
    pub fn with(inner: &'a SimComm, meddle: M) -> Self {
        Self { inner, meddle }
    }
}

impl<M: Meddle> Communicator for Meddled<'_, M> {
    fn rank(&self) -> usize {
        self.inner.rank()
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn send(&self, to: usize, tag: Tag, message: &mut Buffer) -> Result<(), CommError> {
        if self.meddle.keeps_back(to, tag, message) { Ok(()) } else { self.inner.send(to, tag, message) }
    }

    fn await_message(&self, from: Option<usize>, tag: Tag) -> Result<usize, CommError> {
        self.inner.await_message(from, tag)
    }

    fn message_within(&self, from: Option<usize>, tag: Tag, patience: Duration) -> Result<Option<usize>, CommError> {
        self.inner.message_within(from, tag, patience)
    }

    fn life(&self, rank: usize) -> Life {
        self.meddle.life(self.inner.life(rank))
    }

    fn recv(&self, from: usize, tag: Tag, into: &mut Buffer) -> Result<(), CommError> {
        self.inner.recv(from, tag, into)?;
        self.meddle.came(from, tag, into);
        Ok(())
    }

    fn recv_while(
        &self,
        from: usize,
        tag: Tag,
        mut into: Buffer,
        _: &dyn Fn() -> bool,
    ) -> Result<Option<Buffer>, CommError> {
        self.recv(from, tag, &mut into)?;
        Ok(Some(into).filter(|message| !self.meddle.loses(from, message)))
    }

    fn start_send(&self, to: usize, tag: Tag, mut message: Buffer) -> Result<Pending, CommError> {
        if self.meddle.out(to, tag, &mut message) {
            let again = self.inner.start_send(to, tag, message.clone())?;
            self.inner.abandon(again);
        }
        self.inner.start_send(to, tag, message)
    }

    fn start_recv(&self, from: usize, tag: Tag, into: Buffer) -> Result<Pending, CommError> {
        self.inner.start_recv(from, tag, into)
    }

    fn test(&self, pending: &Pending) -> Result<bool, CommError> {
        self.inner.test(pending)
    }

    fn wait(&self, pending: Pending) -> Result<Buffer, CommError> {
        self.inner.wait(pending)
    }

    fn abandon(&self, pending: Pending) {
        self.inner.abandon(pending);
    }

    fn scratch(&self) -> RefMut<'_, Buffer> {
        self.inner.scratch()
    }

    fn start_all_reduce(&self, buffer: Buffer, op: Reduce) -> Result<Pending, CommError> {
        self.inner.start_all_reduce(buffer, op)
    }
}
