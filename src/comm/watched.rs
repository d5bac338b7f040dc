//! A communicator that knows which ranks live, around any other one.

use super::{Buffer, CommError, Communicator, Life, Pending, Pulse, Reduce, SharedVector, Tag, Values, Vitals};
use std::cell::RefMut;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a wait for one rank goes on before a look at whether that rank lives.
const LOOK: Duration = Duration::from_millis(50);

/// Passes everything on, answers [`Communicator::life`] from the vitals, and notes there when this rank waits.
pub struct Watched<'a> {
    inner: &'a dyn Communicator,
    vitals: Arc<Vitals>,
    pulse: Pulse,
}

impl<'a> Watched<'a> {
    /// `inner`, with what the vitals know of its ranks.
    ///
    /// # Panics
    /// If the vitals are of another number of ranks.
    pub fn new(inner: &'a dyn Communicator, vitals: &Arc<Vitals>) -> Self {
        assert_eq!(inner.size(), vitals.size());
        Self { inner, vitals: Arc::clone(vitals), pulse: vitals.pulse(inner.rank()) }
    }

    /// Work that may wait for other ranks.
    fn wait<T>(&self, work: impl FnOnce() -> T) -> T {
        self.pulse.waits(true);
        let result = work();
        self.pulse.waits(false);
        result
    }
}

impl Communicator for Watched<'_> {
    fn rank(&self) -> usize {
        self.inner.rank()
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn world_rank(&self, rank: usize) -> usize {
        self.inner.world_rank(rank)
    }

    fn life(&self, rank: usize) -> Life {
        match self.inner.life(rank) {
            Life::Alive => self.vitals.life(self.world_rank(rank)),
            known => known,
        }
    }

    fn recovers(&self) -> bool {
        self.inner.recovers()
    }

    fn recover(&self) -> Result<Option<Vec<usize>>, CommError> {
        self.wait(|| self.inner.recover())
    }

    fn send(&self, to: usize, tag: Tag, message: &mut Buffer) -> Result<(), CommError> {
        self.wait(|| self.inner.send(to, tag, message))
    }

    fn await_message(&self, from: Option<usize>, tag: Tag) -> Result<usize, CommError> {
        self.wait(|| self.inner.await_message(from, tag))
    }

    /// Finds a lost rank while it waits for that one, which a transport that reports no failures cannot.
    fn message_within(&self, from: Option<usize>, tag: Tag, patience: Duration) -> Result<Option<usize>, CommError> {
        let Some(rank) = from else { return self.wait(|| self.inner.message_within(None, tag, patience)) };
        let start = Instant::now();
        self.wait(|| {
            loop {
                // Asked before looking: what the rank sent in its life has the time of a look to arrive.
                let lost = self.life(rank) == Life::Lost;
                let left = patience.saturating_sub(start.elapsed());
                let found = self.inner.message_within(from, tag, left.min(LOOK))?;
                match found {
                    None if lost => return Err(CommError::PeerLost { rank: self.world_rank(rank), tag }),
                    None if left > LOOK => {}
                    found => return Ok(found),
                }
            }
        })
    }

    fn recv(&self, from: usize, tag: Tag, into: &mut Buffer) -> Result<(), CommError> {
        self.wait(|| self.inner.recv(from, tag, into))
    }

    fn recv_while(
        &self,
        from: usize,
        tag: Tag,
        into: Buffer,
        living: &dyn Fn() -> bool,
    ) -> Result<Option<Buffer>, CommError> {
        self.wait(|| self.inner.recv_while(from, tag, into, living))
    }

    fn recv_any(&self, tag: Tag, into: &mut Buffer) -> Result<usize, CommError> {
        self.wait(|| self.inner.recv_any(tag, into))
    }

    fn start_send(&self, to: usize, tag: Tag, message: Buffer) -> Result<Pending, CommError> {
        self.inner.start_send(to, tag, message)
    }

    fn start_recv(&self, from: usize, tag: Tag, into: Buffer) -> Result<Pending, CommError> {
        self.inner.start_recv(from, tag, into)
    }

    fn test(&self, pending: &Pending) -> Result<bool, CommError> {
        self.inner.test(pending)
    }

    fn wait(&self, pending: Pending) -> Result<Buffer, CommError> {
        Watched::wait(self, || self.inner.wait(pending))
    }

    fn abandon(&self, pending: Pending) {
        self.inner.abandon(pending);
    }

    fn retract(&self) {
        self.inner.retract();
    }

    fn account(&self, from: usize, message: &Buffer) {
        self.inner.account(from, message);
    }

    fn scratch(&self) -> RefMut<'_, Buffer> {
        self.inner.scratch()
    }

    fn barrier(&self) -> Result<(), CommError> {
        self.wait(|| self.inner.barrier())
    }

    fn broadcast(&self, root: usize, values: Values) -> Result<(), CommError> {
        self.wait(|| self.inner.broadcast(root, values))
    }

    fn all_reduce(&self, values: Values, op: Reduce) -> Result<(), CommError> {
        self.wait(|| self.inner.all_reduce(values, op))
    }

    fn start_all_reduce(&self, buffer: Buffer, op: Reduce) -> Result<Pending, CommError> {
        self.inner.start_all_reduce(buffer, op)
    }

    fn shared_vector(&self, len: usize) -> Result<Option<Box<dyn SharedVector + '_>>, CommError> {
        let inner = self.inner.shared_vector(len)?;
        Ok(inner.map(|inner| Box::new(WatchedVector { inner, pulse: &self.pulse }) as Box<dyn SharedVector>))
    }

    fn all_gather(&self, mine: &[u8], all: &mut [u8]) -> Result<(), CommError> {
        self.wait(|| self.inner.all_gather(mine, all))
    }
}

/// A shared vector whose rank is known to wait while it sums.
struct WatchedVector<'a> {
    inner: Box<dyn SharedVector + 'a>,
    pulse: &'a Pulse,
}

impl SharedVector for WatchedVector<'_> {
    fn values(&self) -> &[f32] {
        self.inner.values()
    }

    fn values_mut(&mut self) -> &mut [f32] {
        self.inner.values_mut()
    }

    fn all_reduce(&mut self, met: &mut dyn FnMut()) -> Result<(), CommError> {
        self.pulse.waits(true);
        let result = self.inner.all_reduce(met);
        self.pulse.waits(false);
        result
    }
}
