//! The workers as the server sees them: who lives, what each holds, and what is on its way to it.

use super::wire::{Figures, Order, Reply, What};
use crate::comm::{Buffer, CommError, Communicator, Kind, Life, Pending, Tag};
use std::collections::VecDeque;

/// Orders that a worker may leave unanswered. One that stands still reads nothing, every order to it takes memory, and
/// MPI's room for short messages is one for all peers: full of orders to one, none reaches the others.
const MOST_UNANSWERED: usize = 8;

/// What became known of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    Lost(usize),
    Silent(usize),
    Back(usize),
}

#[derive(Default)]
struct Worker {
    life: Life,
    left: bool,
    /// The weights that it has, or will have when it read its messages.
    holds: Option<(u64, u32)>,
    /// Messages that are not sent to the end. A frozen worker takes none, so nothing may wait for them.
    on_their_way: Vec<Pending>,
    /// Chunk, version and attempt of its orders since the one that it answered last, oldest first.
    unanswered: VecDeque<(usize, u64, u32)>,
    /// What it is to do once it has answered one of these.
    kept_back: Option<Order>,
    figures: Figures,
}

/// All workers.
pub(super) struct Roster<'a> {
    comm: &'a dyn Communicator,
    workers: Vec<Worker>,
    spare: Vec<Buffer>,
    most_unanswered: usize,
}

impl<'a> Roster<'a> {
    /// All workers of this world. With `patient` they may leave any number of orders unanswered: in virtual time
    /// everybody who owes an answer is waited for.
    pub fn new(comm: &'a dyn Communicator, patient: bool) -> Self {
        let workers = (1..comm.size()).map(|_| Worker::default()).collect();
        let most_unanswered = if patient { usize::MAX } else { MOST_UNANSWERED };
        Self { comm, workers, spare: Vec::new(), most_unanswered }
    }

    pub fn len(&self) -> usize {
        self.workers.len()
    }

    /// Whether a worker is there and has not left.
    pub fn works(&self, worker: usize) -> bool {
        self.workers[worker].life != Life::Lost && !self.workers[worker].left
    }

    /// Whether everybody is there, also those who left: only then all can do something together.
    pub fn is_whole(&self) -> bool {
        self.workers.iter().all(|worker| worker.life == Life::Alive)
    }

    /// A worker said that it leaves.
    pub fn left(&mut self, worker: usize) {
        self.workers[worker].left = true;
    }

    /// What a worker last told about itself.
    pub fn figures(&self, worker: usize) -> Figures {
        self.workers[worker].figures
    }

    /// A worker told about itself. To the quorum it is there then; if it is silent all the same, because it sent this
    /// before it fell silent, that will be news once more. Tells whether it is back by this report alone.
    pub fn note(&mut self, worker: usize, figures: Figures) -> bool {
        let silent = self.comm.life(worker + 1) == Life::Silent;
        let worker = &mut self.workers[worker];
        worker.figures = figures;
        let back = silent && worker.life == Life::Silent;
        if back {
            worker.life = Life::Alive;
        }
        back
    }

    /// The first thing that became known since the last question.
    pub fn news(&mut self) -> Option<News> {
        for (index, worker) in self.workers.iter_mut().enumerate() {
            let life = self.comm.life(index + 1);
            if life == worker.life || worker.life == Life::Lost {
                continue;
            }
            worker.life = life;
            if life == Life::Lost {
                // Its messages will never be taken.
                worker.on_their_way.drain(..).for_each(|pending| self.comm.abandon(pending));
                worker.holds = None;
            }
            return Some(match life {
                Life::Lost => News::Lost(index),
                Life::Silent => News::Silent(index),
                Life::Alive => News::Back(index),
            });
        }
        None
    }

    /// Whether a worker may be sent this order now. If not, what is to be answered is kept back for
    /// [`Roster::answered`]. The newest of the unanswered orders is never a bare one: the worker answers it if it
    /// lives, whatever it left out before.
    pub fn may_send(&mut self, worker: usize, order: Order) -> bool {
        let worker = &mut self.workers[worker];
        let room = worker.unanswered.len() < self.most_unanswered;
        worker.kept_back = None;
        match order.what {
            What::Train | What::Measure if room => {
                worker.unanswered.push_back((order.chunk, order.version, order.attempt));
            }
            What::Train | What::Measure => worker.kept_back = Some(order),
            What::Wait => {}
            // What all do together they do when they have read everything before.
            What::Books | What::End | What::Part => worker.unanswered.clear(),
        }
        room || worker.unanswered.is_empty()
    }

    /// A worker answered: what was kept back for it, if that may be sent now.
    pub fn answered(&mut self, worker: usize, reply: Reply) -> Option<Order> {
        let worker = &mut self.workers[worker];
        let answered = (reply.chunk, reply.version, reply.attempt);
        if let Some(at) = worker.unanswered.iter().position(|order| *order == answered) {
            worker.unanswered.drain(..=at);
        }
        let room = worker.unanswered.len() < self.most_unanswered;
        worker.kept_back.take_if(|_| room)
    }

    /// Whether a worker lacks the weights of this version and attempt; it is taken to have them from now on.
    pub fn lacks(&mut self, worker: usize, version: u64, attempt: u32) -> bool {
        self.workers[worker].holds.replace((version, attempt)) != Some((version, attempt))
    }

    /// Sends an order with `len` floats that `fill` writes. It does not wait for the worker.
    pub fn send(
        &mut self,
        worker: usize,
        order: Order,
        len: usize,
        fill: impl FnOnce(&mut Buffer),
    ) -> Result<(), CommError> {
        self.collect(worker)?;
        if self.workers[worker].life == Life::Lost {
            return Ok(());
        }
        let mut buffer = self.spare.pop().unwrap_or_else(|| Buffer::new(Kind::F32, 0));
        buffer.reshape(Kind::F32, len);
        fill(&mut buffer);
        buffer.note = order.note();
        match self.comm.start_send(worker + 1, Tag::Task, buffer) {
            Ok(pending) => self.workers[worker].on_their_way.push(pending),
            // It ended a moment ago: the next look at its life says so.
            Err(CommError::PeerLost { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Takes back the memory of messages that are sent.
    fn collect(&mut self, worker: usize) -> Result<(), CommError> {
        let mut left = std::mem::take(&mut self.workers[worker].on_their_way);
        while let Some(pending) = left.first() {
            match self.comm.test(pending) {
                Ok(true) => self.spare.push(self.comm.wait(left.remove(0))?),
                Ok(false) => break,
                Err(CommError::PeerLost { .. }) => self.comm.abandon(left.remove(0)),
                Err(error) => return Err(error),
            }
        }
        self.workers[worker].on_their_way = left;
        Ok(())
    }

    /// Whether somebody lives who has not gone yet.
    pub fn awaits(&mut self, gone: &[bool]) -> Result<bool, CommError> {
        while self.news().is_some() {}
        (0..self.len()).try_for_each(|worker| self.collect(worker))?;
        Ok(self.workers.iter().zip(gone).any(|(worker, gone)| worker.life == Life::Alive && !gone))
    }

    /// Gives up the messages that nobody will take any more.
    pub fn give_up(&mut self) {
        let pending = self.workers.iter_mut().flat_map(|worker| worker.on_their_way.drain(..));
        pending.for_each(|pending| self.comm.abandon(pending));
    }

    /// Workers that cannot take part in anything that all do together.
    pub fn gone(&self) -> Vec<usize> {
        let gone = |worker: &usize| self.workers[*worker].life != Life::Alive;
        (0..self.len()).filter(gone).map(|worker| worker + 1).collect()
    }
}
