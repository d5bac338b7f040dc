//! Emulated machines follow the script of the simulation: the same tasks in the same order, so that virtual times depend
//! on nothing else. Data, weights and messages are real.

use super::crew::Crew;
use super::post::Taken;
use super::shelf::Ticket;
use super::told::{Told, together};
use super::worker::{Desk, Worker};
use super::{Offload, Served};
use crate::comm::{Buffer, CommError, Communicator, HEADER, Kind, Tag};
use crate::device::Clock;
use crate::plan::placement::simulate::{Act, Script};
use crate::plan::placement::{Plan, TensorId};
use crate::strategy::TrainError;
use crate::units::{Bytes, Seconds};
use std::collections::HashSet;
use std::time::Duration;

pub(super) fn follow(
    offload: &Offload,
    script: &Script,
    crew: Crew,
    comm: &dyn Communicator,
    clock: &dyn Clock,
) -> Result<Option<Served>, TrainError> {
    let machine = clock.machine().expect("only emulated machines follow a script");
    let mut worker = Worker::new(offload, crew, comm, clock, false);
    let graph = &offload.work.graph;
    let mut untaken = HashSet::new();
    for &Act { request, task, .. } in &script.acts[comm.rank()] {
        let ticket = Ticket { request, plan: offload.choice[request] as u32 };
        let plan = &offload.plans[offload.choice[request]];
        if graph.reads(task).is_empty() {
            let begun = script.answers[request].begun;
            machine.advance_to(begun);
            worker.desk.told.begun.push((request, offload.choice[request], begun));
        }
        for &tensor in graph.reads(task) {
            let from = plan.rank[graph.tensors()[tensor].from];
            while !worker.desk.shelf.has(ticket, tensor) {
                untaken.extend(worker.desk.await_one(from)?);
            }
        }
        worker.desk.take_up(ticket, graph.reads(task), plan, &mut untaken);
        worker.act(ticket, task, plan)?;
        worker.desk.sweep()?;
    }
    machine.advance_to(script.end());
    let Desk { post, mut told, .. } = worker.desk;
    told.ledger = machine.ledger();
    machine.hold(true);
    post.finish()?;
    tell(offload, told, comm)
}

impl Desk<'_> {
    /// Takes the next message of a rank while the machine is held: it moves it when a task takes the tensor up.
    fn await_one(&mut self, from: usize) -> Result<Option<(Ticket, TensorId)>, TrainError> {
        /// Long enough to cost nothing, short enough to hear of a death.
        const PATIENCE: Duration = Duration::from_secs(1);
        let machine = self.clock.machine().expect("only emulated machines follow a script");
        machine.hold(true);
        let came = self.post.take(Some(from), PATIENCE, &mut self.shelf);
        machine.hold(false);
        // Of a rank that is lost the next look says so.
        let Taken::Message(came) = came? else { return Ok(None) };
        let (ticket, arrival) = (came.ticket, Seconds(came.buffer.note.time));
        let plan = self.offload.choice.get(ticket.request).filter(|plan| **plan == ticket.plan as usize);
        let why = "it is of a request that has another plan";
        let plan = plan.ok_or(CommError::Garbage { from: came.from, tag: Tag::Tensor, why })?;
        let plan = &self.offload.plans[*plan];
        let tensor = self.shelve(came, plan, arrival)?;
        Ok(Some((ticket, tensor)))
    }

    /// Lets the machine wait for tensors that no task has taken up before, in the order of their arrival.
    fn take_up(
        &mut self,
        ticket: Ticket,
        tensors: &[TensorId],
        plan: &Plan,
        untaken: &mut HashSet<(Ticket, TensorId)>,
    ) {
        let mut new: Vec<TensorId> =
            tensors.iter().copied().filter(|tensor| untaken.remove(&(ticket, *tensor))).collect();
        let time = |tensor: &TensorId| self.shelf.get(ticket, *tensor).note.time;
        new.sort_by(|a, b| time(a).total_cmp(&time(b)).then(a.cmp(b)));
        for tensor in new {
            let from = plan.rank[self.offload.work.graph.tensors()[tensor].from];
            self.comm.account(from, self.shelf.get(ticket, tensor));
        }
    }
}

/// Brings all records to rank 0.
fn tell(offload: &Offload, told: Told, comm: &dyn Communicator) -> Result<Option<Served>, TrainError> {
    if comm.rank() > 0 {
        comm.send(0, Tag::Report, &mut told.message())?;
        return Ok(None);
    }
    let mut all = vec![Some(told)];
    for from in 1..comm.size() {
        let mut buffer = Buffer::open(Kind::F64);
        comm.recv(from, Tag::Report, &mut buffer)?;
        all.push(Some(Told::read(&buffer, from)?));
    }
    Ok(Some(together(offload, all, Vec::new(), Bytes(HEADER as u64), Seconds(0.0))))
}
