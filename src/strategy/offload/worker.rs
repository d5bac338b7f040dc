//! One rank at work on one task after the other, whoever says which is next.

use super::Offload;
use super::crew::Crew;
use super::post::{Came, Post, Taken, Word};
use super::shelf::{Shelf, Ticket};
use super::told::{Arrived, Sent, Told};
use crate::comm::{CommError, Communicator, Tag};
use crate::device::Clock;
use crate::plan::placement::simulate::{Act, receivers, work_of};
use crate::plan::placement::{Plan, TaskId, TensorId};
use crate::strategy::TrainError;
use crate::units::Seconds;
use std::time::Duration;

/// What lies on a rank's desk: tensors that wait, messages, and what it will tell of its work.
pub(super) struct Desk<'a> {
    pub offload: &'a Offload<'a>,
    pub comm: &'a dyn Communicator,
    pub clock: &'a dyn Clock,
    pub shelf: Shelf,
    pub post: Post<'a>,
    pub told: Told,
}

/// A rank at work.
pub(super) struct Worker<'a> {
    pub crew: Crew<'a>,
    pub desk: Desk<'a>,
}

impl<'a> Worker<'a> {
    /// In real time, or following a script.
    pub fn new(
        offload: &'a Offload<'a>,
        crew: Crew<'a>,
        comm: &'a dyn Communicator,
        clock: &'a dyn Clock,
        live: bool,
    ) -> Self {
        let (shelf, post, told) = (Shelf::default(), Post::new(comm, live), Told::default());
        Self { crew, desk: Desk { offload, comm, clock, shelf, post, told } }
    }

    /// Does a task whose inputs are here, and sends what it made to those that need it.
    pub fn act(&mut self, ticket: Ticket, task: TaskId, plan: &Plan) -> Result<(), TrainError> {
        let (desk, crew) = (&mut self.desk, &mut self.crew);
        let graph = &desk.offload.work.graph;
        let (reads, makes) = (graph.reads(task), graph.makes(task));
        let start = desk.now();
        crew.load(task, |tensor| desk.shelf.get(ticket, tensor).f32s())?;
        desk.clock.charge(work_of(graph, task));
        crew.run(task);
        let end = desk.now();
        desk.told.acts.push((ticket.plan, Act { request: ticket.request, task, start, end }));
        // Others that make nothing are exits, and nobody reads what they say.
        if task == desk.offload.work.answer() {
            let logits = reads.first().map(|tensor| desk.shelf.get(ticket, *tensor).f32s().to_vec());
            desk.told.answers.push((ticket.request, logits.unwrap_or_default()));
        }
        reads.iter().for_each(|tensor| desk.shelf.done(ticket, *tensor));
        if reads.is_empty() {
            let input = (desk.offload.input)(ticket.request);
            return makes.iter().try_for_each(|tensor| desk.hand_on(ticket, *tensor, &input, plan));
        }
        makes.iter().enumerate().try_for_each(|(at, tensor)| desk.hand_on(ticket, *tensor, crew.made(task, at), plan))
    }
}

impl Desk<'_> {
    /// The time that the record has: modelled on an emulated machine, else measured.
    pub fn now(&self) -> Seconds {
        self.clock.machine().map_or_else(|| self.clock.now(), |machine| machine.now())
    }

    fn hand_on(&mut self, ticket: Ticket, tensor: TensorId, values: &[f32], plan: &Plan) -> Result<(), TrainError> {
        for to in receivers(&self.offload.work.graph, plan, tensor) {
            let buffer = self.shelf.copy(values);
            if to == self.comm.rank() {
                let readers = readers(self.offload, plan, tensor, to);
                self.shelf.put(ticket, tensor, buffer, readers);
            } else {
                let sent = Sent { request: ticket.request, plan: ticket.plan, tensor, to, sent: self.now() };
                self.told.sent.push(sent);
                self.post.send(to, ticket, Ok(tensor), buffer)?;
            }
        }
        Ok(())
    }

    /// Puts a tensor that came where its readers find it.
    pub fn shelve(&mut self, came: Came, plan: &Plan, arrival: Seconds) -> Result<TensorId, CommError> {
        let (from, rank) = (came.from, self.comm.rank());
        let garbage = |why| CommError::Garbage { from, tag: Tag::Tensor, why };
        let tensor = came.what.map_err(|_: Word| garbage("a word where a tensor was due"))?;
        if came.ticket.request >= self.offload.requests.len() {
            return Err(garbage("it is of a request that nobody made"));
        }
        let graph = &self.offload.work.graph;
        let known = graph.tensors().get(tensor).ok_or_else(|| garbage("it is of a tensor that the graph has not"))?;
        if plan.rank[known.from] != from {
            return Err(garbage("its sender does not make this tensor"));
        }
        if self.shelf.has(came.ticket, tensor) {
            return Err(garbage("this tensor was here already"));
        }
        if came.buffer.len() as u64 * 4 != known.bytes.0 {
            return Err(garbage("the tensor has another length"));
        }
        self.told.arrived.push(Arrived { request: came.ticket.request, plan: came.ticket.plan, tensor, from, arrival });
        let readers = readers(self.offload, plan, tensor, rank);
        self.shelf.put(came.ticket, tensor, came.buffer, readers);
        Ok(tensor)
    }

    /// Takes back the memory of what has been sent.
    pub fn sweep(&mut self) -> Result<(), CommError> {
        self.post.sweep(&mut self.shelf)
    }

    /// The next message.
    pub fn take(&mut self, from: Option<usize>, patience: Duration) -> Result<Taken, CommError> {
        self.post.take(from, patience, &mut self.shelf)
    }
}

/// How many tasks on a rank read a tensor.
pub(super) fn readers(offload: &Offload, plan: &Plan, tensor: TensorId, rank: usize) -> usize {
    offload.work.graph.tensors()[tensor].to.iter().filter(|task| plan.rank[**task] == rank).count()
}
