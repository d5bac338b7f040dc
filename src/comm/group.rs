//! Some of the ranks as a world of their own: the replicas of a stage, the stages of a replica.

use super::communicator::{Doing, Pending, all_reduce_at_zero};
use super::{Buffer, CommError, Communicator, Kind, Life, Reduce, Tag, Values};
use std::cell::{Cell, RefCell, RefMut};
use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

/// A vector of at least this many bytes is reduced in slices, one a rank; a shorter one costs more in messages.
const SLICED: usize = 16 * 1024;

/// A communicator over some ranks of another one, numbered from 0 in the order in which they are named.
///
/// Messages are the inner communicator's: nothing is agreed on when a group is made, groups may overlap, and other groups
/// and the inner communicator may be used at the same time. Two ranks that meet on one channel in several groups must do
/// so in the same order on both sides.
///
/// Errors name ranks as the innermost communicator does, as logs do; only [`CommError::NoSuchRank`] speaks of the
/// group's numbers. [`Communicator::world_rank`] translates.
///
/// A wait for any rank ([`Communicator::await_message`] with `None`) is the inner communicator's: it ends with
/// [`CommError::Stranger`] when the next message on this channel is not a member's, and ends as lost where the inner
/// communicator sees any rank gone, a member or not.
pub struct Group<'a> {
    inner: &'a dyn Communicator,
    ranks: Vec<usize>,
    rank: usize,
    scratch: RefCell<Buffer>,
    /// Memory of messages that were sent.
    spare: RefCell<Vec<Buffer>>,
    tickets: Cell<u64>,
    reduced: RefCell<HashMap<u64, Buffer>>,
}

impl<'a> Group<'a> {
    /// These ranks of `inner`, in this order.
    ///
    /// # Collective
    /// Not collective: no message is sent. Every member must name the same ranks in the same order.
    ///
    /// # Panics
    /// If this rank is not among them, one is named twice, or one does not exist.
    pub fn new(inner: &'a dyn Communicator, ranks: Vec<usize>) -> Self {
        let rank = ranks.iter().position(|rank| *rank == inner.rank());
        let rank = rank.unwrap_or_else(|| panic!("rank {} is not in its group {ranks:?}", inner.rank()));
        let mut sorted = ranks.clone();
        sorted.sort_unstable();
        assert!(sorted.is_sorted_by(|a, b| a < b), "a rank stands twice in the group {ranks:?}");
        assert!(sorted.iter().all(|rank| *rank < inner.size()), "{ranks:?} of {} ranks", inner.size());
        Self {
            inner,
            ranks,
            rank,
            scratch: RefCell::new(Buffer::new(Kind::U8, 0)),
            spare: RefCell::default(),
            tickets: Cell::default(),
            reduced: RefCell::default(),
        }
    }

    /// The inner communicator's number of a member.
    fn inner_rank(&self, peer: usize, tag: Tag) -> Result<usize, CommError> {
        let (rank, size) = (self.rank, self.ranks.len());
        let nobody = CommError::NoSuchRank { rank, size, peer, tag };
        if peer == rank { Err(nobody) } else { self.ranks.get(peer).copied().ok_or(nobody) }
    }

    /// Sends a copy of these values without waiting.
    fn post(&self, to: usize, mut values: Values) -> Result<Pending, CommError> {
        let mut message = self.spare.borrow_mut().pop().unwrap_or_else(|| Buffer::new(Kind::U8, 0));
        message.reshape(values.kind(), values.len());
        message.payload_mut().copy_from_slice(values.bytes_mut());
        self.start_send(to, Tag::Collective, message)
    }

    fn finish(&self, sends: Vec<Pending>) -> Result<(), CommError> {
        for pending in sends {
            let message = self.wait(pending)?;
            self.spare.borrow_mut().push(message);
        }
        Ok(())
    }

    /// The other ranks, this one's successor first: not everybody begins with the same one.
    fn others(&self) -> impl Iterator<Item = usize> {
        let (rank, size) = (self.rank, self.ranks.len());
        (1..size).map(move |ahead| (rank + ahead) % size)
    }

    /// Every rank adds one slice of all, in rank order, and gives it to the others: each sends and receives
    /// 2 (R−1)/R of the vector, where all of it would go through rank 0, R−1 times in and out.
    fn all_reduce_in_slices(&self, mut values: Values, op: Reduce) -> Result<(), CommError> {
        let size = self.ranks.len();
        let slices: Vec<Range<usize>> = balanced(values.len(), size);
        let mut sends = Vec::with_capacity(2 * size);
        for to in self.others() {
            sends.push(self.post(to, values.part(slices[to].clone()))?);
        }
        self.reduce_own(values.part(slices[self.rank].clone()), op)?;
        for to in self.others() {
            sends.push(self.post(to, values.part(slices[self.rank].clone()))?);
        }
        for from in self.others() {
            let mut part = values.part(slices[from].clone());
            self.receive_like(from, &mut part, |part, payload| part.bytes_mut().copy_from_slice(payload))?;
        }
        self.finish(sends)
    }

    /// Adds everybody's values of this rank's slice. The bits are those of ((0 + 1) + 2) + …, so this rank's own wait
    /// until it is their turn.
    fn reduce_own(&self, mut part: Values, op: Reduce) -> Result<(), CommError> {
        let mut mine = self.spare.borrow_mut().pop().unwrap_or_else(|| Buffer::new(Kind::U8, 0));
        mine.reshape(part.kind(), part.len());
        mine.payload_mut().copy_from_slice(part.bytes());
        for from in 0..self.ranks.len() {
            let take = |part: &mut Values, payload: &[u8]| match from {
                0 => part.bytes_mut().copy_from_slice(payload),
                _ => part.combine(payload, op),
            };
            match from == self.rank {
                true => take(&mut part, mine.payload()),
                false => self.receive_like(from, &mut part, take)?,
            }
        }
        self.spare.borrow_mut().push(mine);
        Ok(())
    }

    /// The number in this group of a rank that sent a message.
    fn member(&self, from: usize, tag: Tag) -> Result<usize, CommError> {
        let member = self.ranks.iter().position(|rank| *rank == from);
        let world = |rank| self.inner.world_rank(rank);
        member.ok_or_else(|| CommError::Stranger { rank: world(self.inner.rank()), from: world(from), tag })
    }

    /// Receives a message of these values' kind and length, and does something with both.
    fn receive_like(
        &self,
        from: usize,
        part: &mut Values,
        take: impl FnOnce(&mut Values, &[u8]),
    ) -> Result<(), CommError> {
        let mut buffer = self.scratch();
        buffer.reshape(part.kind(), part.len());
        self.recv(from, Tag::Collective, &mut buffer)?;
        take(part, buffer.payload());
        Ok(())
    }
}

/// `len` elements in `parts` runs whose lengths differ by one at most.
fn balanced(len: usize, parts: usize) -> Vec<Range<usize>> {
    let at = |part: usize| part * (len / parts) + part.min(len % parts);
    (0..parts).map(|part| at(part)..at(part + 1)).collect()
}

impl Communicator for Group<'_> {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.ranks.len()
    }

    fn world_rank(&self, rank: usize) -> usize {
        self.inner.world_rank(self.ranks[rank])
    }

    fn send(&self, to: usize, tag: Tag, message: &mut Buffer) -> Result<(), CommError> {
        self.inner.send(self.inner_rank(to, tag)?, tag, message)
    }

    fn await_message(&self, from: Option<usize>, tag: Tag) -> Result<usize, CommError> {
        let (rank, size) = (self.rank, self.ranks.len());
        let from = match from {
            Some(from) => Some(self.inner_rank(from, tag)?),
            None if size == 1 => return Err(CommError::NoSuchRank { rank, size, peer: 0, tag }),
            None => None,
        };
        self.member(self.inner.await_message(from, tag)?, tag)
    }

    fn message_within(&self, from: Option<usize>, tag: Tag, patience: Duration) -> Result<Option<usize>, CommError> {
        let inner = from.map(|from| self.inner_rank(from, tag)).transpose()?;
        match self.inner.message_within(inner, tag, patience)? {
            None => Ok(None),
            Some(from) => self.member(from, tag).map(Some),
        }
    }

    fn life(&self, rank: usize) -> Life {
        self.inner.life(self.ranks[rank])
    }

    fn abandon(&self, pending: Pending) {
        match pending.what {
            Doing::Reduce => drop(self.reduced.borrow_mut().remove(&pending.ticket)),
            _ => self.inner.abandon(pending),
        }
    }

    fn retract(&self) {
        self.inner.retract();
    }

    fn recv(&self, from: usize, tag: Tag, into: &mut Buffer) -> Result<(), CommError> {
        self.inner.recv(self.inner_rank(from, tag)?, tag, into)
    }

    fn start_send(&self, to: usize, tag: Tag, message: Buffer) -> Result<Pending, CommError> {
        self.inner.start_send(self.inner_rank(to, tag)?, tag, message)
    }

    fn start_recv(&self, from: usize, tag: Tag, into: Buffer) -> Result<Pending, CommError> {
        self.inner.start_recv(self.inner_rank(from, tag)?, tag, into)
    }

    fn test(&self, pending: &Pending) -> Result<bool, CommError> {
        match pending.what {
            Doing::Reduce => Ok(true),
            _ => self.inner.test(pending),
        }
    }

    fn wait(&self, pending: Pending) -> Result<Buffer, CommError> {
        if pending.what != Doing::Reduce {
            return self.inner.wait(pending);
        }
        let reduced = self.reduced.borrow_mut().remove(&pending.ticket);
        Ok(reduced.expect("a pending operation belongs to the communicator that began it"))
    }

    fn account(&self, from: usize, message: &Buffer) {
        self.inner.account(self.ranks[from], message);
    }

    fn scratch(&self) -> RefMut<'_, Buffer> {
        self.scratch.borrow_mut()
    }

    /// The same bits on all ranks, and the same as without a group: those of the sum in rank order.
    fn all_reduce(&self, values: Values, op: Reduce) -> Result<(), CommError> {
        assert!(values.kind() != Kind::U8, "bytes are not reduced");
        match self.ranks.len() {
            1 => Ok(()),
            2.. if values.bytes().len() >= SLICED => self.all_reduce_in_slices(values, op),
            _ => all_reduce_at_zero(self, values, op),
        }
    }

    /// Reduces at once: nothing is under way when this returns, and waiting only gives the buffer back.
    fn start_all_reduce(&self, mut buffer: Buffer, op: Reduce) -> Result<Pending, CommError> {
        self.all_reduce(buffer.values(), op)?;
        let ticket = self.tickets.get() + 1;
        self.tickets.set(ticket);
        self.reduced.borrow_mut().insert(ticket, buffer);
        Ok(Pending::reduction(ticket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comm::{Solo, ThreadOptions, run_threads};

    #[test]
    fn slices_are_balanced() {
        assert_eq!(balanced(7, 3), [0..3, 3..5, 5..7]);
        assert_eq!(balanced(1, 3), [0..1, 1..1, 1..1]);
    }

    #[test]
    fn a_sum_in_slices_has_the_bits_of_the_sum_in_rank_order() {
        let value =
            |rank: usize, i: usize| ((i * 37 + rank * 101) % 1009) as f32 * 10f32.powi((rank * 3 % 7) as i32 - 3);
        // Around the border, and lengths that do not divide.
        for (len, op) in
            [1, 4095, 4096, 4099, 20_011].into_iter().flat_map(|len| [(len, Reduce::Sum), (len, Reduce::Max)])
        {
            for rendezvous in [false, true] {
                let sums = run_threads(5, ThreadOptions { rendezvous, deadline: None }, |comm| {
                    let members = [4, 0, 3, 1];
                    members.contains(&comm.rank()).then(|| {
                        let group = Group::new(comm, members.to_vec());
                        let mut mine: Vec<f32> = (0..len).map(|i| value(group.rank(), i)).collect();
                        group.all_reduce(Values::F32(&mut mine), op).unwrap();
                        mine
                    })
                });
                let combine = |a: f32, b: f32| if op == Reduce::Sum { a + b } else { a.max(b) };
                let expected = |i| (1..4).fold(value(0, i), |sum, rank| combine(sum, value(rank, i)));
                let expected: Vec<f32> = (0..len).map(expected).collect();
                assert!(
                    sums.iter().flatten().count() == 4 && sums.iter().flatten().all(|sum| *sum == expected),
                    "{len}"
                );
            }
        }
    }

    #[test]
    fn ranks_are_named_as_in_the_world() {
        run_threads(4, ThreadOptions::default(), |comm| {
            if comm.rank() == 1 {
                return; // gone
            }
            let outer = Group::new(comm, [2, 3, 1, 0].into_iter().collect());
            let ranks = if comm.rank() == 2 { vec![0, 2] } else { vec![1, 3, 2] };
            let group = Group::new(&outer, ranks);
            let lost = group.size() - 1;
            assert_eq!(group.world_rank(lost), 1);
            assert_eq!(group.world_rank(group.rank()), comm.rank());
            let error = group.recv(lost, Tag::Push, &mut Buffer::new(Kind::U8, 0)).unwrap_err();
            assert_eq!(error, CommError::PeerLost { rank: 1, tag: Tag::Push });
        });
    }

    #[test]
    fn a_strangers_message_is_no_members() {
        run_threads(3, ThreadOptions::default(), |comm| {
            if comm.rank() == 2 {
                comm.send(1, Tag::Push, &mut Buffer::new(Kind::U8, 0)).unwrap();
                return comm.barrier().unwrap();
            }
            let group = Group::new(comm, vec![0, 1]);
            if comm.rank() == 1 {
                let error = group.await_message(None, Tag::Push).unwrap_err();
                assert_eq!(error, CommError::Stranger { rank: 1, from: 2, tag: Tag::Push });
            }
            comm.barrier().unwrap();
        });
    }

    #[test]
    #[should_panic(expected = "rank 0 is not in its group [1]")]
    fn only_members_have_a_group() {
        Group::new(&Solo::new(), vec![1]);
    }
}
