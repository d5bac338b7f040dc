//! Going on without a rank: whoever had tasks there gets a new plan, made by the source of the request.
//!
//! Rank 0 alone hears of all ranks, so it judges who is lost: whose process has ended, and who is not heard of. It tells
//! the others. One that comes back is sent home: its work has been given away. What was made under an old plan is not
//! mixed in: tensors say under which plan they were made.

use super::live::Rank;
use super::post::{Came, Word};
use super::shelf::Ticket;
use crate::comm::{Buffer, CommError, Kind, Life, Tag};
use crate::plan::placement::Plan;
use crate::strategy::TrainError;

impl Rank<'_> {
    /// Notices who is lost.
    pub fn mourn(&mut self) -> Result<(), TrainError> {
        let (comm, me) = (self.comm(), self.me());
        let mut news = std::mem::take(&mut self.suspects);
        let lost = |rank: &usize| match comm.life(*rank) {
            Life::Lost => true,
            // Rank 0 itself is waited for: nobody can do without it.
            Life::Silent => me == 0,
            Life::Alive => false,
        };
        // Of the others only rank 0 knows why a message broke off, and says so.
        news.retain(|rank| me == 0 || lost(rank));
        news.extend((0..comm.size()).filter(|rank| *rank != me).filter(lost));
        self.go_on_without(&news)
    }

    /// Counts ranks as lost, and plans anew what they had to do.
    pub fn go_on_without(&mut self, ranks: &[usize]) -> Result<(), TrainError> {
        let me = self.me();
        let news: Vec<usize> = ranks.iter().copied().filter(|rank| *rank != me && self.gone.insert(*rank)).collect();
        let Some(&first) = news.first() else { return Ok(()) };
        if news.contains(&0) {
            return Err(CommError::PeerLost { rank: 0, tag: Tag::Tensor }.into());
        }
        if me == 0 {
            let dismiss = |rank: &usize| self.worker.desk.post.order(*rank, Word::Dismissed, &[]);
            news.iter().try_for_each(dismiss)?;
            self.command(Word::Gone, &news)?;
        }
        self.worker.desk.post.give_up(&self.gone);
        self.busy.retain(|source| !news.contains(source));
        self.forget();
        self.plan_anew(first)
    }

    /// Nobody waits for the answers of those that are lost.
    fn forget(&mut self) {
        let (requests, gone) = (self.offload().requests, &self.gone);
        let lost = |request: usize| requests.get(request).is_some_and(|request| gone.contains(&request.source));
        self.ready.retain(|(request, ..)| !lost(*request));
        self.open.retain(|ticket, _| !lost(ticket.request));
        self.parked.retain(|came| !lost(came.ticket.request));
        self.worker.desk.shelf.clear(|ticket| lost(ticket.request));
    }

    /// The plan that a request has now.
    fn plan_of(&self, request: usize) -> u32 {
        self.current.get(&request).copied().unwrap_or(self.offload().choice[request] as u32)
    }

    /// Whether a plan has a rank that is lost.
    fn is_broken(&self, plan: u32) -> bool {
        self.plans[&plan].rank.iter().any(|rank| self.gone.contains(rank))
    }

    /// The plan of a request that is taken up: its own, or the newest one where that has a rank that is lost.
    pub fn plan_to_begin(&mut self, request: usize) -> u32 {
        let plan = self.plan_of(request);
        match self.latest {
            Some(latest) if self.is_broken(plan) => {
                self.current.insert(request, latest);
                self.anew.insert(request);
                latest
            }
            _ => plan,
        }
    }

    /// Makes a plan without those that are lost, where any of my requests needs one, and tells all that live.
    fn plan_anew(&mut self, lost: usize) -> Result<(), TrainError> {
        let (size, me) = (self.comm().size(), self.me());
        let broken = |request: &&usize| self.is_broken(self.plan_of(**request));
        let again: Vec<usize> = self.under_way.iter().filter(broken).copied().collect();
        let spare = self.latest.is_some_and(|latest| !self.is_broken(latest));
        if again.is_empty() && (spare || !self.waiting.iter().any(|request| broken(&request))) {
            return Ok(());
        }
        let alive: Vec<bool> = (0..size).map(|rank| !self.gone.contains(&rank)).collect();
        let plan = self.offload().replan.and_then(|replan| replan(me, &alive));
        let Some(plan) = plan else { return Err(TrainError::Stranded { rank: lost, source_rank: me }) };
        // Numbers that no other source gives, and none before.
        let id = (self.offload().plans.len() + self.serial * size + me) as u32;
        self.serial += 1;
        self.latest = Some(id);
        self.anew.extend(&again);
        let numbers: Vec<f32> = plan.rank.iter().chain(&plan.place).chain(&again).map(|n| *n as f32).collect();
        for to in self.others() {
            let mut buffer = Buffer::new(Kind::F32, numbers.len());
            buffer.f32s_mut().copy_from_slice(&numbers);
            self.worker.desk.post.send(to, Ticket { request: 0, plan: id }, Err(Word::Planned), buffer)?;
        }
        self.adopt(id, plan, &again);
        let now = self.worker.desk.now();
        again.into_iter().for_each(|request| self.begin_request(Ticket { request, plan: id }, now));
        Ok(())
    }

    /// Another source has a new plan.
    pub fn learn(&mut self, came: Came) -> Result<(), TrainError> {
        let Some((plan, again)) = self.read_plan(&came) else {
            let why = "a plan for other tasks or ranks";
            return Err(CommError::Garbage { from: came.from, tag: Tag::Tensor, why }.into());
        };
        self.adopt(came.ticket.plan, plan, &again);
        let (known, parked) = std::mem::take(&mut self.parked).into_iter().partition(|came| self.knows(came));
        self.parked = parked;
        let known: Vec<Came> = known;
        known.into_iter().try_for_each(|came| self.receive(came))
    }

    fn knows(&self, came: &Came) -> bool {
        self.plans.contains_key(&came.ticket.plan)
    }

    /// A plan, and the requests that begin again under it; nothing if it is none of its sender's.
    fn read_plan(&self, came: &Came) -> Option<(Plan, Vec<usize>)> {
        let (offload, size) = (self.offload(), self.comm().size());
        let work = &offload.work;
        let tasks = work.graph.tasks().len();
        let numbers: Vec<usize> = came.buffer.f32s().iter().map(|number| *number as usize).collect();
        let (plan, again) = numbers.split_at_checked(2 * tasks)?;
        let (rank, place) = plan.split_at(tasks);
        let new = (came.ticket.plan as usize).checked_sub(offload.plans.len())?;
        let its = |request: &usize| offload.requests.get(*request).is_some_and(|it| it.source == came.from);
        let fits = new % size == came.from
            && rank.iter().all(|rank| *rank < size)
            && [work.input(), work.answer()].iter().all(|task| rank[*task] == came.from)
            && again.iter().all(its);
        fits.then(|| (Plan { rank: rank.to_vec(), place: place.to_vec() }, again.to_vec()))
    }

    /// There is a new plan. From now on these requests have it, and what was made of them under others is forgotten.
    fn adopt(&mut self, id: u32, plan: Plan, again: &[usize]) {
        self.plans.insert(id, plan);
        self.current.extend(again.iter().map(|request| (*request, id)));
        let old = |request: usize, plan: u32| plan != id && again.contains(&request);
        self.worker.desk.shelf.clear(|ticket| old(ticket.request, ticket.plan));
        self.open.retain(|ticket, _| !old(ticket.request, ticket.plan));
        self.ready.retain(|(request, _, _, plan)| !old(*request, *plan));
    }
}
