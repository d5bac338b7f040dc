//! Ranks in real time: each takes, of its tasks whose inputs are here, the one of the oldest request.
//!
//! A source has a bounded number of unanswered requests under way, which bounds what waits anywhere, and nobody ever waits
//! for room: so nobody waits for ever. A rank that is lost costs its tasks' requests a new plan, made by their source; what
//! was made under an old plan is not mixed in.

use super::crew::Crew;
use super::offset::{self, Offset};
use super::post::{Came, Word};
use super::shelf::Ticket;
use super::told::{Told, together};
use super::worker::{Desk, Worker};
use super::{GLANCE, Offload, Served};
use crate::comm::{Buffer, CommError, Communicator, HEADER, Kind, Life, Tag};
use crate::device::Clock;
use crate::plan::placement::{Plan, TaskId, TensorId};
use crate::strategy::TrainError;
use crate::units::{Bytes, Seconds};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

/// Serves until all sources have their answers.
pub(super) fn live(
    offload: &Offload,
    crew: Crew,
    comm: &dyn Communicator,
    clock: &dyn Clock,
) -> Result<Option<Served>, TrainError> {
    let first = offsets(comm, clock)?;
    let mut rank = Rank::new(offload, crew, comm, clock);
    while !rank.home {
        rank.turn()?;
    }
    let (gone, Worker { desk: Desk { post, mut told, .. }, .. }) = (rank.gone, rank.worker);
    let computing = told.acts.iter().map(|act| act.end - act.start).sum();
    told.ledger.time = clock.now();
    told.ledger.computing = computing;
    tell(offload, told, comm, clock, first, &gone).and_then(|served| post.finish().map(|()| served).map_err(Into::into))
}

/// Every rank's clock against rank 0's, at rank 0; ranks begin together behind it.
fn offsets(comm: &dyn Communicator, clock: &dyn Clock) -> Result<Vec<Offset>, CommError> {
    comm.barrier()?;
    let mut all = vec![Offset::default(); comm.size()];
    match comm.rank() {
        0 => (1..comm.size()).try_for_each(|rank| offset::measure(comm, clock, rank).map(|found| all[rank] = found))?,
        rank => drop(offset::measure(comm, clock, rank)?),
    }
    comm.barrier()?;
    Ok(all)
}

/// What a request has on a rank.
#[derive(Default)]
struct Open {
    /// By task of this rank that waits: the tensors that are not here.
    missing: HashMap<TaskId, usize>,
}

struct Rank<'a> {
    worker: Worker<'a>,
    start: Seconds,
    /// Plans by number: those that all know, and new ones.
    plans: HashMap<u32, Plan>,
    /// By request that was planned anew: the plan that counts.
    current: HashMap<usize, u32>,
    open: HashMap<Ticket, Open>,
    ready: BTreeSet<(usize, usize, TaskId, u32)>,
    /// Tensors under plans that are not known here yet.
    parked: Vec<Came>,
    /// My requests that were not taken up, and those under way.
    waiting: VecDeque<usize>,
    under_way: BTreeSet<usize>,
    asks: bool,
    /// The ranks that are lost, as far as this one has acted on it.
    gone: HashSet<usize>,
    /// At rank 0: the sources that have not said that they are done.
    busy: BTreeSet<usize>,
    home: bool,
}

impl<'a> Rank<'a> {
    fn new(offload: &'a Offload<'a>, crew: Crew<'a>, comm: &'a dyn Communicator, clock: &'a dyn Clock) -> Self {
        let mine = |(id, request): (usize, &super::Request)| (request.source == comm.rank()).then_some(id);
        let waiting: VecDeque<usize> = offload.requests.iter().enumerate().filter_map(mine).collect();
        let plans = offload.plans.iter().enumerate().map(|(id, plan)| (id as u32, plan.clone())).collect();
        let busy = offload.requests.iter().map(|request| request.source).collect();
        Self {
            asks: !waiting.is_empty(),
            home: offload.requests.is_empty(),
            worker: Worker::new(offload, crew, comm, clock),
            start: clock.now(),
            plans,
            current: HashMap::new(),
            open: HashMap::new(),
            ready: BTreeSet::new(),
            parked: Vec::new(),
            waiting,
            under_way: BTreeSet::new(),
            gone: HashSet::new(),
            busy,
        }
    }

    fn offload(&self) -> &'a Offload<'a> {
        self.worker.desk.offload
    }

    fn me(&self) -> usize {
        self.worker.desk.comm.rank()
    }

    /// Looks around, and does one task, or waits for something to do.
    fn turn(&mut self) -> Result<(), TrainError> {
        while let Some(came) = self.worker.desk.take(None, Duration::ZERO)? {
            self.hear(came)?;
        }
        self.worker.desk.sweep()?;
        self.mourn()?;
        self.take_up();
        if let Some((request, _, task, plan)) = self.ready.pop_first() {
            return self.act(Ticket { request, plan }, task);
        }
        self.say_done()?;
        if !self.home {
            let patience = self.patience();
            if let Some(came) = self.worker.desk.take(None, patience)? {
                self.hear(came)?;
            }
        }
        Ok(())
    }

    /// Until my next request, or a glance around.
    fn patience(&self) -> Duration {
        let next = self.waiting.front().filter(|_| self.under_way.len() < self.offload().queue);
        let due = next.map_or(f64::INFINITY, |request| self.due(*request).0 - self.worker.desk.now().0);
        Duration::from_secs_f64(due.clamp(0.0, GLANCE.0))
    }

    /// When a request comes up, in this rank's time.
    fn due(&self, request: usize) -> Seconds {
        self.start + self.offload().requests[request].arrival
    }

    /// Takes up what has come up, as far as there is room.
    fn take_up(&mut self) {
        let now = self.worker.desk.now();
        while let Some(&request) = self.waiting.front() {
            if self.under_way.len() >= self.offload().queue || self.due(request) > now {
                return;
            }
            self.waiting.pop_front();
            self.under_way.insert(request);
            let plan = self.current.get(&request).copied().unwrap_or(self.offload().choice[request] as u32);
            self.begin(Ticket { request, plan }, now);
        }
    }

    fn begin(&mut self, ticket: Ticket, now: Seconds) {
        let graph = &self.offload().work.graph;
        self.worker.desk.told.begun.push((ticket.request, ticket.plan as usize, now));
        let plan = &self.plans[&ticket.plan];
        for &task in graph.order().iter().filter(|task| graph.reads(**task).is_empty()) {
            self.ready.insert((ticket.request, plan.place[task], task, ticket.plan));
        }
    }

    fn act(&mut self, ticket: Ticket, task: TaskId) -> Result<(), TrainError> {
        let offload = self.offload();
        self.worker.act(ticket, task, &self.plans[&ticket.plan])?;
        let graph = &offload.work.graph;
        for &tensor in graph.makes(task) {
            self.is_here(ticket, tensor);
        }
        if graph.makes(task).is_empty() {
            // Later messages of it are late ones of an old plan.
            self.under_way.remove(&ticket.request);
            self.open.remove(&ticket);
        }
        Ok(())
    }

    /// A tensor is here: those of my tasks that waited for it last may run.
    fn is_here(&mut self, ticket: Ticket, tensor: TensorId) {
        let (graph, me) = (&self.offload().work.graph, self.me());
        let (plan, open) = (&self.plans[&ticket.plan], self.open.entry(ticket).or_default());
        for &task in graph.tensors()[tensor].to.iter().filter(|task| plan.rank[**task] == me) {
            let missing = open.missing.entry(task).or_insert_with(|| graph.reads(task).len());
            *missing -= 1;
            if *missing == 0 {
                open.missing.remove(&task);
                self.ready.insert((ticket.request, plan.place[task], task, ticket.plan));
            }
        }
    }

    fn hear(&mut self, came: Came) -> Result<(), TrainError> {
        match came.what {
            Err(Word::Stop) => self.home = true,
            Err(Word::Done) => drop(self.busy.remove(&came.from)),
            Err(Word::Planned) => self.learn(came)?,
            Ok(_) => self.receive(came)?,
        }
        Ok(())
    }

    fn receive(&mut self, came: Came) -> Result<(), TrainError> {
        let ticket = came.ticket;
        let counts = self.current.get(&ticket.request).is_none_or(|plan| *plan == ticket.plan);
        match (self.plans.get(&ticket.plan), counts) {
            (_, false) if self.plans.contains_key(&ticket.plan) => self.worker.desk.shelf.give_back(came.buffer),
            (Some(plan), _) => {
                let now = self.worker.desk.now();
                let tensor = self.worker.desk.shelve(came, plan, now)?;
                self.is_here(ticket, tensor);
            }
            (None, _) => self.parked.push(came),
        }
        Ok(())
    }

    /// Another source has planned a request anew.
    fn learn(&mut self, came: Came) -> Result<(), TrainError> {
        let tasks = self.offload().work.graph.tasks().len();
        let numbers: Vec<usize> = came.buffer.f32s().iter().map(|number| *number as usize).collect();
        if numbers.len() != 2 * tasks || came.ticket.request >= self.offload().requests.len() {
            let why = "a plan for other tasks";
            return Err(CommError::Garbage { from: came.from, tag: Tag::Tensor, why }.into());
        }
        let (rank, place) = numbers.split_at(tasks);
        self.adopt(came.ticket, Plan { rank: rank.to_vec(), place: place.to_vec() });
        let (known, parked) = std::mem::take(&mut self.parked).into_iter().partition(|came| self.knows(came));
        self.parked = parked;
        let known: Vec<Came> = known;
        known.into_iter().try_for_each(|came| self.receive(came))
    }

    fn knows(&self, came: &Came) -> bool {
        self.plans.contains_key(&came.ticket.plan)
    }

    /// From now on a request has this plan, and what was made of it under others is forgotten.
    fn adopt(&mut self, ticket: Ticket, plan: Plan) {
        self.plans.insert(ticket.plan, plan);
        self.current.insert(ticket.request, ticket.plan);
        self.worker.desk.shelf.clear(ticket.request, ticket.plan);
        self.open.retain(|open, _| open.request != ticket.request || open.plan == ticket.plan);
        self.ready.retain(|(request, _, _, plan)| *request != ticket.request || *plan == ticket.plan);
    }

    /// Plans anew what a rank that is lost had to do.
    fn mourn(&mut self) -> Result<(), TrainError> {
        let (comm, me) = (self.worker.desk.comm, self.me());
        let lost = |rank: &usize| *rank != me && comm.life(*rank) != Life::Alive;
        let news: Vec<usize> = (0..comm.size()).filter(lost).filter(|rank| !self.gone.contains(rank)).collect();
        if news.is_empty() {
            return Ok(());
        }
        if news.contains(&0) {
            return Err(CommError::PeerLost { rank: 0, tag: Tag::Tensor }.into());
        }
        self.gone.extend(&news);
        self.busy.retain(|source| !news.contains(source));
        let touched = |request: &usize, it: &Self| {
            let plan = it.current.get(request).copied().unwrap_or(it.offload().choice[*request] as u32);
            it.plans[&plan].rank.iter().any(|rank| it.gone.contains(rank))
        };
        let mine: Vec<usize> = self.under_way.iter().chain(&self.waiting).copied().collect();
        let mine: Vec<usize> = mine.into_iter().filter(|request| touched(request, self)).collect();
        if mine.is_empty() {
            return Ok(());
        }
        let alive: Vec<bool> = (0..comm.size()).map(|rank| !self.gone.contains(&rank)).collect();
        let plan = self.offload().replan.and_then(|replan| replan(me, &alive));
        let Some(plan) = plan else { return Err(CommError::PeerLost { rank: news[0], tag: Tag::Tensor }.into()) };
        mine.into_iter().try_for_each(|request| self.plan_anew(request, plan.clone()))
    }

    /// Tells all that live about a request's new plan, and begins it again if it was under way.
    fn plan_anew(&mut self, request: usize, plan: Plan) -> Result<(), TrainError> {
        let (size, me) = (self.worker.desk.comm.size(), self.me());
        // Numbers that no other source gives, and none before.
        let known = self.offload().plans.len();
        let id = (known + (self.worker.desk.told.replanned + 1) * size + me) as u32;
        self.worker.desk.told.replanned += 1;
        let ticket = Ticket { request, plan: id };
        let numbers: Vec<f32> = plan.rank.iter().chain(&plan.place).map(|number| *number as f32).collect();
        self.adopt(ticket, plan);
        for to in (0..size).filter(|rank| *rank != me && !self.gone.contains(rank)) {
            let buffer = self.worker.desk.shelf.copy(&numbers);
            self.worker.desk.post.send(to, ticket, Err(Word::Planned), buffer)?;
        }
        if self.under_way.contains(&request) {
            self.begin(ticket, self.worker.desk.now());
        }
        Ok(())
    }

    /// A source without requests says so to rank 0, and rank 0, when all have, sends everybody home.
    fn say_done(&mut self) -> Result<(), TrainError> {
        if self.asks && self.waiting.is_empty() && self.under_way.is_empty() {
            self.asks = false;
            match self.me() {
                0 => drop(self.busy.remove(&0)),
                _ => self.say(0, Word::Done)?,
            }
        }
        if self.me() == 0 && self.busy.is_empty() {
            self.home = true;
            let others: Vec<usize> =
                (1..self.worker.desk.comm.size()).filter(|rank| !self.gone.contains(rank)).collect();
            others.into_iter().try_for_each(|rank| self.say(rank, Word::Stop))?;
        }
        Ok(())
    }

    fn say(&mut self, to: usize, word: Word) -> Result<(), TrainError> {
        let buffer = self.worker.desk.shelf.copy(&[]);
        let nothing = Ticket { request: 0, plan: 0 };
        Ok(self.worker.desk.post.send(to, nothing, Err(word), buffer)?)
    }
}

/// Brings the records of all that live to rank 0, with a second look at their clocks.
fn tell(
    offload: &Offload,
    told: Told,
    comm: &dyn Communicator,
    clock: &dyn Clock,
    first: Vec<Offset>,
    gone: &HashSet<usize>,
) -> Result<Option<Served>, TrainError> {
    if comm.rank() > 0 {
        offset::measure(comm, clock, comm.rank())?;
        comm.send(0, Tag::Report, &mut told.message())?;
        return Ok(None);
    }
    let mut offsets = first;
    let mut all = vec![Some(told)];
    for from in 1..comm.size() {
        if gone.contains(&from) {
            all.push(None);
            continue;
        }
        offsets[from] = offsets[from].until(offset::measure(comm, clock, from)?);
        let mut buffer = Buffer::open(Kind::F64);
        comm.recv(from, Tag::Report, &mut buffer)?;
        all.push(Some(Told::read(&buffer, from)?));
    }
    Ok(Some(together(offload, all, offsets, Bytes(HEADER as u64))))
}
