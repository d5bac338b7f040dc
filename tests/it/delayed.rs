//! A communicator whose ranks dawdle: messages come late, in real time, and nothing else is different.

use goai::comm::{Buffer, CommError, Communicator, Pending, Tag};
use std::cell::{Cell, RefMut};
use std::time::Duration;

/// Sleeps up to so many milliseconds before every message that goes out or is waited for; the same in every run.
pub struct Delayed<'a> {
    inner: &'a dyn Communicator,
    most_ms: u64,
    state: Cell<u64>,
}

impl<'a> Delayed<'a> {
    pub fn new(inner: &'a dyn Communicator, most_ms: u64) -> Self {
        Self { inner, most_ms, state: Cell::new(inner.rank() as u64 + 1) }
    }

    fn dawdle(&self) {
        if self.most_ms > 0 {
            let mixed =
                self.state.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            self.state.set(mixed);
            std::thread::sleep(Duration::from_millis((mixed >> 33) % (self.most_ms + 1)));
        }
    }
}

impl Communicator for Delayed<'_> {
    fn rank(&self) -> usize {
        self.inner.rank()
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn send(&self, to: usize, tag: Tag, message: &mut Buffer) -> Result<(), CommError> {
        self.dawdle();
        self.inner.send(to, tag, message)
    }

    fn await_message(&self, from: Option<usize>, tag: Tag) -> Result<usize, CommError> {
        self.inner.await_message(from, tag)
    }

    fn message_within(&self, from: Option<usize>, tag: Tag, patience: Duration) -> Result<Option<usize>, CommError> {
        self.inner.message_within(from, tag, patience)
    }

    fn abandon(&self, pending: Pending) {
        self.inner.abandon(pending);
    }

    fn recv(&self, from: usize, tag: Tag, into: &mut Buffer) -> Result<(), CommError> {
        self.dawdle();
        self.inner.recv(from, tag, into)
    }

    fn start_send(&self, to: usize, tag: Tag, message: Buffer) -> Result<Pending, CommError> {
        self.dawdle();
        self.inner.start_send(to, tag, message)
    }

    fn start_recv(&self, from: usize, tag: Tag, into: Buffer) -> Result<Pending, CommError> {
        self.inner.start_recv(from, tag, into)
    }

    fn start_all_reduce(&self, buffer: Buffer, op: goai::comm::Reduce) -> Result<Pending, CommError> {
        self.inner.start_all_reduce(buffer, op)
    }

    fn test(&self, pending: &Pending) -> Result<bool, CommError> {
        self.inner.test(pending)
    }

    fn wait(&self, pending: Pending) -> Result<Buffer, CommError> {
        self.dawdle();
        self.inner.wait(pending)
    }

    fn scratch(&self) -> RefMut<'_, Buffer> {
        self.inner.scratch()
    }
}
