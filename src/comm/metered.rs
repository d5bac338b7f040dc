//! Counts what communication costs, around any communicator.

use super::communicator::Doing;
use super::{Buffer, CommError, Communicator, Life, Pending, Reduce, SharedVector, Tag, Values};
use crate::device::Clock;
use crate::units::{Bytes, Seconds};
use std::cell::{Cell, RefMut};
use std::time::Duration;

/// What one rank's communication has cost so far, in the time of the clock it was metered by.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Traffic {
    /// Bytes given to the transport, headers included; in a collective, the rank's own vector once.
    pub sent: Bytes,
    /// Bytes taken from it, likewise.
    pub received: Bytes,
    /// Time inside communication other than `waited`. In a collective, waiting cannot be told apart and is in here.
    pub talked: Seconds,
    /// Time blocked until a peer's message was there.
    pub waited: Seconds,
}

impl std::ops::Sub for Traffic {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            sent: self.sent - earlier.sent,
            received: self.received - earlier.received,
            talked: self.talked - earlier.talked,
            waited: self.waited - earlier.waited,
        }
    }
}

/// A communicator that counts.
pub struct Metered<'a> {
    inner: &'a dyn Communicator,
    clock: &'a dyn Clock,
    traffic: Cell<Traffic>,
}

impl<'a> Metered<'a> {
    /// Counts what goes through `inner` from now on, in the time of `clock`.
    pub fn new(inner: &'a dyn Communicator, clock: &'a dyn Clock) -> Self {
        Self { inner, clock, traffic: Cell::default() }
    }

    /// The counts so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic.get()
    }

    fn count(&self, change: impl FnOnce(&mut Traffic)) {
        let mut traffic = self.traffic.get();
        change(&mut traffic);
        self.traffic.set(traffic);
    }

    fn talk<T>(
        &self,
        sent: usize,
        received: usize,
        work: impl FnOnce() -> Result<T, CommError>,
    ) -> Result<T, CommError> {
        let start = self.clock.now();
        let result = work()?;
        self.count(|traffic| {
            traffic.sent += Bytes(sent as u64);
            traffic.received += Bytes(received as u64);
            traffic.talked += self.clock.now() - start;
        });
        Ok(result)
    }
}

impl Communicator for Metered<'_> {
    fn rank(&self) -> usize {
        self.inner.rank()
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn world_rank(&self, rank: usize) -> usize {
        self.inner.world_rank(rank)
    }

    fn recovers(&self) -> bool {
        self.inner.recovers()
    }

    fn recover(&self) -> Result<Option<Vec<usize>>, CommError> {
        self.inner.recover()
    }

    fn send(&self, to: usize, tag: Tag, message: &mut Buffer) -> Result<(), CommError> {
        self.talk(message.wire_len(), 0, || self.inner.send(to, tag, message))
    }

    fn await_message(&self, from: Option<usize>, tag: Tag) -> Result<usize, CommError> {
        let start = self.clock.now();
        let from = self.inner.await_message(from, tag)?;
        self.count(|traffic| traffic.waited += self.clock.now() - start);
        Ok(from)
    }

    fn message_within(&self, from: Option<usize>, tag: Tag, patience: Duration) -> Result<Option<usize>, CommError> {
        let start = self.clock.now();
        let from = self.inner.message_within(from, tag, patience)?;
        self.count(|traffic| traffic.waited += self.clock.now() - start);
        Ok(from)
    }

    fn life(&self, rank: usize) -> Life {
        self.inner.life(rank)
    }

    fn abandon(&self, pending: Pending) {
        self.inner.abandon(pending);
    }

    fn retract(&self) {
        self.inner.retract();
    }

    fn recv(&self, from: usize, tag: Tag, into: &mut Buffer) -> Result<(), CommError> {
        self.await_message(Some(from), tag)?;
        self.talk(0, 0, || self.inner.recv(from, tag, into))?;
        self.count(|traffic| traffic.received += Bytes(into.wire_len() as u64));
        Ok(())
    }

    fn recv_while(
        &self,
        from: usize,
        tag: Tag,
        into: Buffer,
        living: &dyn Fn() -> bool,
    ) -> Result<Option<Buffer>, CommError> {
        let received = self.talk(0, 0, || self.inner.recv_while(from, tag, into, living))?;
        let bytes = received.as_ref().map_or(0, Buffer::wire_len);
        self.count(|traffic| traffic.received += Bytes(bytes as u64));
        Ok(received)
    }

    fn recv_any(&self, tag: Tag, into: &mut Buffer) -> Result<usize, CommError> {
        let from = self.await_message(None, tag)?;
        self.talk(0, 0, || self.inner.recv(from, tag, into))?;
        self.count(|traffic| traffic.received += Bytes(into.wire_len() as u64));
        Ok(from)
    }

    fn start_send(&self, to: usize, tag: Tag, message: Buffer) -> Result<Pending, CommError> {
        self.talk(message.wire_len(), 0, || self.inner.start_send(to, tag, message))
    }

    fn start_recv(&self, from: usize, tag: Tag, into: Buffer) -> Result<Pending, CommError> {
        self.talk(0, 0, || self.inner.start_recv(from, tag, into))
    }

    fn test(&self, pending: &Pending) -> Result<bool, CommError> {
        self.talk(0, 0, || self.inner.test(pending))
    }

    fn wait(&self, pending: Pending) -> Result<Buffer, CommError> {
        let start = self.clock.now();
        let what = pending.what;
        let buffer = self.inner.wait(pending)?;
        self.count(|traffic| {
            traffic.waited += self.clock.now() - start;
            traffic.received += match what {
                Doing::Send => Bytes(0),
                Doing::Receive => Bytes(buffer.wire_len() as u64),
                Doing::Reduce => Bytes(buffer.payload().len() as u64),
            };
        });
        Ok(buffer)
    }

    fn account(&self, from: usize, message: &Buffer) {
        self.inner.account(from, message);
    }

    fn scratch(&self) -> RefMut<'_, Buffer> {
        self.inner.scratch()
    }

    fn barrier(&self) -> Result<(), CommError> {
        let start = self.clock.now();
        self.inner.barrier()?;
        self.count(|traffic| traffic.waited += self.clock.now() - start);
        Ok(())
    }

    fn broadcast(&self, root: usize, values: Values) -> Result<(), CommError> {
        let bytes = values.bytes().len();
        let (sent, received) = if self.rank() == root { (bytes, 0) } else { (0, bytes) };
        self.talk(sent, received, || self.inner.broadcast(root, values))
    }

    fn all_reduce(&self, values: Values, op: Reduce) -> Result<(), CommError> {
        let bytes = values.bytes().len();
        self.talk(bytes, bytes, || self.inner.all_reduce(values, op))
    }

    /// What it takes while this rank computes is hidden, and counted nowhere: only the time inside the calls is.
    fn start_all_reduce(&self, buffer: Buffer, op: Reduce) -> Result<Pending, CommError> {
        self.talk(buffer.payload().len(), 0, || self.inner.start_all_reduce(buffer, op))
    }

    fn shared_vector(&self, len: usize) -> Result<Option<Box<dyn SharedVector + '_>>, CommError> {
        let inner = self.talk(0, 0, || self.inner.shared_vector(len))?;
        Ok(inner.map(|inner| Box::new(MeteredVector { inner, meter: self }) as Box<dyn SharedVector>))
    }

    fn all_gather(&self, mine: &[u8], all: &mut [u8]) -> Result<(), CommError> {
        self.talk(mine.len(), all.len(), || self.inner.all_gather(mine, all))
    }
}

/// A shared vector whose sums are counted. Here waiting can be told apart: it ends when all ranks have met.
struct MeteredVector<'a> {
    inner: Box<dyn SharedVector + 'a>,
    meter: &'a Metered<'a>,
}

impl SharedVector for MeteredVector<'_> {
    fn values(&self) -> &[f32] {
        self.inner.values()
    }

    fn values_mut(&mut self) -> &mut [f32] {
        self.inner.values_mut()
    }

    fn all_reduce(&mut self, met: &mut dyn FnMut()) -> Result<(), CommError> {
        let bytes = Bytes(size_of_val(self.inner.values()) as u64);
        let (clock, start) = (self.meter.clock, self.meter.clock.now());
        let mut all_there = start;
        self.inner.all_reduce(&mut || {
            all_there = clock.now();
            met();
        })?;
        self.meter.count(|traffic| {
            traffic.sent += bytes;
            traffic.received += bytes;
            traffic.waited += all_there - start;
            traffic.talked += clock.now() - all_there;
        });
        Ok(())
    }
}
