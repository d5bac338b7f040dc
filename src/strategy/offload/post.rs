//! Messages on their way: sent without waiting, told apart by what their headers say.
//!
//! Tensors and words of one rank to another go over one channel, so that one wait hears them all. Rank 0's orders go over
//! one of their own: they are heard even by a rank that is in the middle of a long message.

use super::shelf::{Shelf, Ticket};
use crate::comm::{Buffer, CommError, Communicator, Kind, Life, Note, Pending, Tag};
use crate::plan::placement::TensorId;
use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::time::Duration;

/// A message that is not a tensor: the number in its `edge` says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Word {
    /// A source has this plan from now on: ranks and places of all tasks, and the requests that begin again under it.
    Planned = u32::MAX,
    /// A source has all its answers.
    Done = u32::MAX - 1,
    /// Nothing more comes from its sender.
    Bye = u32::MAX - 2,
    /// An order: what time is it?
    Ping = u32::MAX - 3,
    /// An order: sources begin.
    Begin = u32::MAX - 4,
    /// An order: count these ranks as lost.
    Gone = u32::MAX - 5,
    /// An order: all sources are done; finish what is under way, and say goodbye.
    Stop = u32::MAX - 6,
    /// An order: hand in your record, and end.
    Tell = u32::MAX - 7,
    /// An order: you were counted as lost; end without a word.
    Dismissed = u32::MAX - 8,
}

impl Word {
    const ALL: [Self; 9] = [
        Self::Planned,
        Self::Done,
        Self::Bye,
        Self::Ping,
        Self::Begin,
        Self::Gone,
        Self::Stop,
        Self::Tell,
        Self::Dismissed,
    ];

    fn of(edge: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|word| *word as u32 == edge)
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

/// What a look into the letter box came to.
pub(super) enum Taken {
    Nothing,
    Message(Came),
    /// The rest of a message of this rank will not come.
    Cut(usize),
}

/// What rank 0 wants of a rank.
pub(super) struct Order {
    pub word: Word,
    /// The ranks that it is about.
    pub ranks: Vec<usize>,
}

/// A rank's letter box.
pub(super) struct Post<'a> {
    comm: &'a dyn Communicator,
    sending: Vec<(usize, Pending)>,
    /// Orders that were heard and not followed yet.
    orders: RefCell<VecDeque<Order>>,
    /// Ranks whose messages nobody waits for any more.
    given_up: HashSet<usize>,
    /// Whether there are orders, and a rank that is silent is given up. Else such a rank is waited for.
    live: bool,
}

impl<'a> Post<'a> {
    pub fn new(comm: &'a dyn Communicator, live: bool) -> Self {
        Self { comm, sending: Vec::new(), orders: RefCell::default(), given_up: HashSet::new(), live }
    }

    /// Begins to send a tensor or a word. Who is lost gets nothing, and that is found out elsewhere.
    pub fn send(
        &mut self,
        to: usize,
        ticket: Ticket,
        what: Result<TensorId, Word>,
        mut buffer: Buffer,
    ) -> Result<(), CommError> {
        let edge = what.map_or_else(|word| word as u32, |tensor| tensor as u32);
        buffer.note = Note { step: ticket.plan, micro: ticket.request as u32, edge, rows: 1, time: 0.0 };
        self.dispatch(to, Tag::Tensor, buffer)
    }

    /// Rank 0 gives an order.
    pub fn order(&mut self, to: usize, word: Word, ranks: &[usize]) -> Result<(), CommError> {
        let mut buffer = Buffer::new(Kind::F32, ranks.len());
        buffer.f32s_mut().iter_mut().zip(ranks).for_each(|(number, rank)| *number = *rank as f32);
        buffer.note.edge = word as u32;
        self.dispatch(to, Tag::Task, buffer)
    }

    /// Reports to rank 0.
    pub fn report(&mut self, buffer: Buffer) -> Result<(), CommError> {
        self.dispatch(0, Tag::Report, buffer)
    }

    fn dispatch(&mut self, to: usize, tag: Tag, buffer: Buffer) -> Result<(), CommError> {
        if self.comm.life(to) == Life::Lost {
            return Ok(());
        }
        match self.comm.start_send(to, tag, buffer) {
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

    /// Gives up what is on its way to these ranks and to those that are lost, and what comes of them.
    pub fn give_up(&mut self, gone: &HashSet<usize>) {
        self.given_up.extend(gone);
        let given_up = |to: usize| match self.comm.life(to) {
            Life::Lost => true,
            Life::Silent => self.comm.rank() == 0 || gone.contains(&to),
            Life::Alive => gone.contains(&to),
        };
        let (up, on) = std::mem::take(&mut self.sending).into_iter().partition(|(to, _)| given_up(*to));
        self.sending = on;
        let up: Vec<(usize, Pending)> = up;
        up.into_iter().for_each(|(_, pending)| self.comm.abandon(pending));
    }

    /// Whether something is on its way.
    pub fn is_busy(&self) -> bool {
        !self.sending.is_empty()
    }

    /// Waits until all has been sent.
    pub fn finish(self) -> Result<(), CommError> {
        self.sending.into_iter().try_for_each(|(_, pending)| self.comm.wait(pending).map(drop))
    }

    /// The next message of one rank or of any, or nothing when none came in time.
    pub fn take(&self, from: Option<usize>, patience: Duration, shelf: &mut Shelf) -> Result<Taken, CommError> {
        let Some(from) = self.comm.message_within(from, Tag::Tensor, patience)? else { return Ok(Taken::Nothing) };
        match self.comm.recv_while(from, Tag::Tensor, shelf.open(), &|| self.lives(from)) {
            Ok(Some(buffer)) => {
                let Note { step, micro, edge, .. } = buffer.note;
                let what = Word::of(edge).map_or(Ok(edge as TensorId), Err);
                Ok(Taken::Message(Came { from, ticket: Ticket { request: micro as usize, plan: step }, what, buffer }))
            }
            Ok(None) => Ok(Taken::Cut(from)),
            Err(error) if error.is_death() => Ok(Taken::Cut(from)),
            Err(error) => Err(error),
        }
    }

    /// Whether the rest of a rank's message may come. Rank 0 judges who is given up; the others hear of it.
    fn lives(&self, from: usize) -> bool {
        match (self.comm.life(from), self.comm.rank()) {
            (Life::Lost, _) => false,
            // It may have come back, and it does not finish what it began.
            _ if self.given_up.contains(&from) => false,
            (life, 0) => !self.live || life == Life::Alive,
            _ => {
                // What is wrong with an order is found when it is waited for.
                let heard = self.live && self.hear(Duration::ZERO).is_ok();
                let given_up = |order: &Order| order.word == Word::Gone && order.ranks.contains(&from);
                !heard || !self.orders.borrow().iter().any(given_up)
            }
        }
    }

    /// The next order of rank 0, or nothing when none came in time.
    pub fn obey(&self, patience: Duration) -> Result<Option<Order>, CommError> {
        let known = self.orders.borrow_mut().pop_front();
        if known.is_some() {
            return Ok(known);
        }
        self.hear(patience)?;
        Ok(self.orders.borrow_mut().pop_front())
    }

    fn hear(&self, patience: Duration) -> Result<(), CommError> {
        if self.comm.message_within(Some(0), Tag::Task, patience)?.is_none() {
            return Ok(());
        }
        let mut buffer = Buffer::open(Kind::F32);
        self.comm.recv(0, Tag::Task, &mut buffer)?;
        let garbage = CommError::Garbage { from: 0, tag: Tag::Task, why: "this is no order" };
        let word = Word::of(buffer.note.edge).ok_or(garbage)?;
        let ranks = buffer.f32s().iter().map(|rank| *rank as usize).collect();
        self.orders.borrow_mut().push_back(Order { word, ranks });
        Ok(())
    }
}
