//! The seam between strategies and whatever carries their messages.

use super::{Buffer, CommError, Kind, Reduce, Tag, Values};
use std::cell::RefMut;
use std::time::Duration;

/// A non-blocking operation under way. The communicator owns its buffer until [`Communicator::wait`].
#[derive(Debug)]
#[must_use = "a message is only finished when it was waited for"]
pub struct Pending {
    pub(super) ticket: u64,
    pub(super) peer: usize,
    pub(super) tag: Tag,
    pub(super) what: Doing,
}

/// What is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Send,
    Receive,
    Reduce,
}

impl Pending {
    /// The reduction with this ticket; it has no peer, all ranks take part.
    pub(super) fn reduction(ticket: u64) -> Self {
        Self { ticket, peer: 0, tag: Tag::Reduction, what: Doing::Reduce }
    }
}

/// What is known of another rank's process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Life {
    /// It lives, as far as anybody knows.
    #[default]
    Alive,
    /// It has not been heard of for longer than it should; it may come back.
    Silent,
    /// It has ended.
    Lost,
}

/// A vector that all ranks sum again and again, in memory that each of them reaches.
pub trait SharedVector {
    /// This rank's values.
    fn values(&self) -> &[f32];

    /// This rank's values, to write.
    fn values_mut(&mut self) -> &mut [f32];

    /// Adds the vectors of all ranks, in rank order, and leaves the same bits in all of them. Calls `met` when all
    /// ranks have come: what passed until then was waiting.
    ///
    /// # Collective
    /// Every rank must call it for the same vector.
    ///
    /// # Errors
    /// When the transport fails.
    fn all_reduce(&mut self, met: &mut dyn FnMut()) -> Result<(), CommError>;
}

/// One rank's end of a group of ranks.
///
/// Messages of one sender on one channel arrive in order. Lengths and element types are checked on
/// every message: a mismatch is an error that names the peer, never a truncated read.
pub trait Communicator {
    /// This rank, below [`Communicator::size`].
    fn rank(&self) -> usize;

    /// The number of ranks.
    fn size(&self) -> usize;

    /// The number that a rank has in the whole world, by which errors and logs name it: its own, except in a group.
    fn world_rank(&self, rank: usize) -> usize {
        rank
    }

    /// Sends a message; may wait until the receiver takes it.
    ///
    /// # Collective
    /// Not collective.
    ///
    /// # Errors
    /// When the rank does not exist, has ended, or the transport fails.
    fn send(&self, to: usize, tag: Tag, message: &mut Buffer) -> Result<(), CommError>;

    /// Waits until a message is there, from one rank or (`None`) from any, and says whose it is.
    ///
    /// # Collective
    /// Not collective.
    ///
    /// # Errors
    /// When the peer has ended without one, or a deadline passes.
    fn await_message(&self, from: Option<usize>, tag: Tag) -> Result<usize, CommError>;

    /// Waits for a message as [`Communicator::await_message`] does, but not longer than `patience`; with none at all it
    /// only looks. That a rank has ended is an error only for whoever waits for that one: messages of any rank may
    /// still come from the others.
    ///
    /// Long waits cost little processor time.
    ///
    /// # Collective
    /// Not collective.
    ///
    /// # Errors
    /// When the one rank that is waited for has ended without a message, or the transport fails.
    fn message_within(&self, from: Option<usize>, tag: Tag, patience: Duration) -> Result<Option<usize>, CommError>;

    /// What is known of a rank, without asking it.
    ///
    /// # Collective
    /// Not collective.
    fn life(&self, _rank: usize) -> Life {
        Life::Alive
    }

    /// Whether ranks that do everything together can go on without those that have ended: see [`Communicator::recover`].
    fn recovers(&self) -> bool {
        false
    }

    /// Goes on without the ranks that have ended, after an operation failed for that. Those that are left are all the ranks
    /// there are from then on: [`Communicator::rank`] and [`Communicator::size`] change, the order stays. Gives the ranks
    /// that are gone, as [`Communicator::world_rank`] names them; nothing, and changes nothing, where it cannot.
    ///
    /// # Collective
    /// Every rank that lives must call it. They all get there: once one has called it, every operation on which another
    /// waits fails. Operations under way are lost.
    ///
    /// # Errors
    /// When the transport fails otherwise.
    fn recover(&self) -> Result<Option<Vec<usize>>, CommError> {
        Ok(None)
    }

    /// Receives a message of the buffer's kind and length (any length, when the buffer is open).
    ///
    /// # Collective
    /// Not collective.
    ///
    /// # Errors
    /// As [`Communicator::await_message`], and when the message is not what the buffer expects.
    fn recv(&self, from: usize, tag: Tag, into: &mut Buffer) -> Result<(), CommError>;

    /// Receives a message that is there, or nothing when `living` says no before all of it has come: a long message
    /// comes only as fast as its sender lives. Transports whose messages are whole when they are there need not ask.
    ///
    /// # Collective
    /// Not collective.
    ///
    /// # Errors
    /// As [`Communicator::recv`].
    fn recv_while(
        &self,
        from: usize,
        tag: Tag,
        mut into: Buffer,
        _living: &dyn Fn() -> bool,
    ) -> Result<Option<Buffer>, CommError> {
        self.recv(from, tag, &mut into)?;
        Ok(Some(into))
    }

    /// Receives from whoever sends first and says who it was.
    ///
    /// # Collective
    /// Not collective.
    ///
    /// # Errors
    /// As [`Communicator::recv`].
    fn recv_any(&self, tag: Tag, into: &mut Buffer) -> Result<usize, CommError> {
        let from = self.await_message(None, tag)?;
        self.recv(from, tag, into)?;
        Ok(from)
    }

    /// Begins to send; the buffer comes back from [`Communicator::wait`].
    ///
    /// # Collective
    /// Not collective.
    ///
    /// # Errors
    /// As [`Communicator::send`].
    fn start_send(&self, to: usize, tag: Tag, message: Buffer) -> Result<Pending, CommError>;

    /// Begins to receive what the buffer expects. Messages go to receives in the order in which these began.
    ///
    /// # Collective
    /// Not collective.
    ///
    /// # Errors
    /// As [`Communicator::recv`].
    ///
    /// # Panics
    /// If the buffer is open: memory for the message must be there before it comes.
    fn start_recv(&self, from: usize, tag: Tag, into: Buffer) -> Result<Pending, CommError>;

    /// Whether the operation is complete, without waiting.
    ///
    /// # Collective
    /// Not collective.
    ///
    /// # Errors
    /// As [`Communicator::recv`].
    fn test(&self, pending: &Pending) -> Result<bool, CommError>;

    /// Waits for completion and gives the buffer back.
    ///
    /// # Collective
    /// Not collective.
    ///
    /// # Errors
    /// As [`Communicator::recv`].
    fn wait(&self, pending: Pending) -> Result<Buffer, CommError>;

    /// Gives up an operation under way whose peer has ended or is not waited for any longer. A message that it sends may
    /// still arrive; its memory is not used again before that.
    ///
    /// # Collective
    /// Not collective.
    fn abandon(&self, pending: Pending);

    /// Takes the last message that this rank sent out of the books of its emulated transmitter: it was sent by work
    /// that, in virtual time, was called off before. Of no meaning to any other communicator.
    ///
    /// # Collective
    /// Not collective.
    fn retract(&self) {}

    /// Takes a message into account that was received while this rank's emulated machine was held, to know when it
    /// arrives: the machine waits for it now. Of no meaning to any other communicator.
    ///
    /// # Collective
    /// Not collective.
    fn account(&self, _from: usize, _message: &Buffer) {}

    /// Memory for the portable collectives.
    fn scratch(&self) -> RefMut<'_, Buffer>;

    /// Waits until every rank has called it.
    ///
    /// # Collective
    /// Every rank must call it.
    ///
    /// # Errors
    /// As [`Communicator::recv`].
    fn barrier(&self) -> Result<(), CommError> {
        self.all_reduce(Values::I64(&mut [0]), Reduce::Sum)
    }

    /// Copies the root's values to every rank.
    ///
    /// # Collective
    /// Every rank must call it with the same root, kind and length.
    ///
    /// # Errors
    /// As [`Communicator::recv`].
    fn broadcast(&self, root: usize, mut values: Values) -> Result<(), CommError> {
        let mut buffer = self.scratch();
        buffer.reshape(values.kind(), values.len());
        if self.rank() == root {
            buffer.payload_mut().copy_from_slice(values.bytes());
            let others = (0..self.size()).filter(|rank| *rank != root);
            others.into_iter().try_for_each(|rank| self.send(rank, Tag::Collective, &mut buffer))
        } else {
            self.recv(root, Tag::Collective, &mut buffer)?;
            values.bytes_mut().copy_from_slice(buffer.payload());
            Ok(())
        }
    }

    /// Combines the values of all ranks and gives every rank the same bits.
    ///
    /// The portable form adds in rank order; MPI's keeps the library's order, which repeats for the
    /// same ranks and lengths.
    ///
    /// # Collective
    /// Every rank must call it with the same kind, length and operation.
    ///
    /// # Errors
    /// As [`Communicator::recv`].
    fn all_reduce(&self, values: Values, op: Reduce) -> Result<(), CommError> {
        all_reduce_at_zero(self, values, op)
    }

    /// Begins to combine the buffers of all ranks; the combined one comes back from [`Communicator::wait`].
    ///
    /// Reductions under way are matched in the order in which they began, may be waited for in any order, and move on
    /// only inside [`Communicator::test`] and [`Communicator::wait`] where the transport has no thread of its own.
    /// Every rank gets the same bits, and the same ranks give the same bits again; over MPI they may be other bits
    /// than those of [`Communicator::all_reduce`], which may add in another order.
    ///
    /// # Collective
    /// Every rank must call it with the same kind, length and operation, all of them in the same order.
    ///
    /// # Errors
    /// As [`Communicator::send`].
    ///
    /// # Panics
    /// If the buffer holds bytes, which are not reduced.
    fn start_all_reduce(&self, buffer: Buffer, op: Reduce) -> Result<Pending, CommError>;

    /// A vector of zeros in memory that all ranks reach, where they run on one node; else nothing, on every rank.
    ///
    /// Its sum moves each value once, where messages copy it several times.
    ///
    /// # Collective
    /// Every rank must call it with the same length.
    ///
    /// # Errors
    /// When the transport fails.
    fn shared_vector(&self, _len: usize) -> Result<Option<Box<dyn SharedVector + '_>>, CommError> {
        Ok(None)
    }

    /// Collects `mine` of every rank, in rank order, on every rank.
    ///
    /// # Collective
    /// Every rank must call it with the same length; `all` has `size` times that length.
    ///
    /// # Errors
    /// As [`Communicator::recv`].
    ///
    /// # Panics
    /// If `all` has another length.
    fn all_gather(&self, mine: &[u8], all: &mut [u8]) -> Result<(), CommError> {
        assert_eq!(all.len(), mine.len() * self.size());
        if mine.is_empty() {
            return Ok(());
        }
        if self.rank() == 0 {
            let mut buffer = self.scratch();
            all[..mine.len()].copy_from_slice(mine);
            for (rank, part) in all.chunks_exact_mut(mine.len()).enumerate().skip(1) {
                buffer.reshape(Kind::U8, mine.len());
                self.recv(rank, Tag::Collective, &mut buffer)?;
                part.copy_from_slice(buffer.payload());
            }
        } else {
            let mut buffer = self.scratch();
            buffer.reshape(Kind::U8, mine.len());
            buffer.payload_mut().copy_from_slice(mine);
            self.send(0, Tag::Collective, &mut buffer)?;
        }
        self.broadcast(0, Values::U8(all))
    }
}

/// Combines at rank 0, in rank order, and broadcasts: what [`Communicator::all_reduce`] does without anything better.
pub(super) fn all_reduce_at_zero<C: Communicator + ?Sized>(
    comm: &C,
    mut values: Values,
    op: Reduce,
) -> Result<(), CommError> {
    if comm.rank() == 0 {
        let mut buffer = comm.scratch();
        for rank in 1..comm.size() {
            buffer.reshape(values.kind(), values.len());
            comm.recv(rank, Tag::Collective, &mut buffer)?;
            values.combine(buffer.payload(), op);
        }
    } else {
        let mut buffer = comm.scratch();
        buffer.reshape(values.kind(), values.len());
        buffer.payload_mut().copy_from_slice(values.bytes());
        comm.send(0, Tag::Collective, &mut buffer)?;
    }
    comm.broadcast(0, values)
}
