//! Reductions under way between ranks that pass messages: what a transport without native ones does.
//!
//! Ranks send their vectors to rank 0 when a reduction begins. Rank 0 adds them in rank order, one reduction after the
//! other in the order in which they began, whenever it tests or waits, and sends the sums back.

use super::{Buffer, CommError, Kind, Reduce};
use std::collections::VecDeque;

/// What reductions need of the transport. Nothing here waits but `take`.
pub(super) trait Carrier {
    /// This rank and the number of ranks.
    fn place(&self) -> (usize, usize);

    /// Sends without waiting for the receiver.
    fn give(&self, to: usize, message: &mut Buffer) -> Result<(), CommError>;

    /// Whether the next message from a rank is there; an error when it will never be.
    fn is_there(&self, from: usize) -> Result<bool, CommError>;

    /// Waits for the next message from a rank, of the buffer's kind and length.
    fn take(&self, from: usize, into: &mut Buffer) -> Result<(), CommError>;
}

#[derive(Debug)]
struct Reduction {
    ticket: u64,
    op: Reduce,
    buffer: Buffer,
    done: bool,
}

/// The reductions of one rank that were begun and not yet waited for, in the order in which they began.
#[derive(Debug)]
pub(super) struct Reductions {
    queue: VecDeque<Reduction>,
    /// What rank 0 receives into.
    theirs: Buffer,
}

impl Default for Reductions {
    fn default() -> Self {
        Self { queue: VecDeque::new(), theirs: Buffer::new(Kind::U8, 0) }
    }
}

impl Reductions {
    /// Begins one.
    pub fn start(
        &mut self,
        carrier: &dyn Carrier,
        ticket: u64,
        mut buffer: Buffer,
        op: Reduce,
    ) -> Result<(), CommError> {
        assert!(buffer.kind() != Kind::U8, "bytes are not reduced");
        let (rank, size) = carrier.place();
        if rank > 0 {
            carrier.give(0, &mut buffer)?;
        }
        self.queue.push_back(Reduction { ticket, op, buffer, done: size == 1 });
        Ok(())
    }

    /// Goes on with what can be done without waiting, and says whether this one is done.
    pub fn test(&mut self, carrier: &dyn Carrier, ticket: u64) -> Result<bool, CommError> {
        let (rank, size) = carrier.place();
        let sources = if rank == 0 { 1..size } else { 0..1 };
        for reduction in self.queue.iter_mut().filter(|reduction| !reduction.done) {
            for from in sources.clone() {
                if !carrier.is_there(from)? {
                    return Ok(self.is_done(ticket));
                }
            }
            reduction.finish(carrier, &mut self.theirs)?;
        }
        Ok(self.is_done(ticket))
    }

    /// Finishes this one, and before it those that began earlier.
    pub fn wait(&mut self, carrier: &dyn Carrier, ticket: u64) -> Result<Buffer, CommError> {
        let at = self.queue.iter().position(|reduction| reduction.ticket == ticket);
        let at = at.expect("a pending operation belongs to the communicator that began it");
        for reduction in self.queue.iter_mut().take(at + 1).filter(|reduction| !reduction.done) {
            reduction.finish(carrier, &mut self.theirs)?;
        }
        Ok(self.queue.remove(at).expect("it was found there").buffer)
    }

    fn is_done(&self, ticket: u64) -> bool {
        self.queue.iter().any(|reduction| reduction.ticket == ticket && reduction.done)
    }
}

impl Reduction {
    fn finish(&mut self, carrier: &dyn Carrier, theirs: &mut Buffer) -> Result<(), CommError> {
        let (rank, size) = carrier.place();
        if rank > 0 {
            carrier.take(0, &mut self.buffer)?;
        } else {
            for from in 1..size {
                theirs.reshape(self.buffer.kind(), self.buffer.len());
                carrier.take(from, theirs)?;
                self.buffer.values().combine(theirs.payload(), self.op);
            }
            (1..size).try_for_each(|to| carrier.give(to, &mut self.buffer))?;
        }
        self.done = true;
        Ok(())
    }
}
