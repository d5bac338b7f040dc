//! Ranks in real time: each takes, of its tasks whose inputs are here, the one of the oldest request.
//!
//! A source has a bounded number of unanswered requests under way, which bounds what waits anywhere, and nobody ever waits
//! for room: so nobody waits for ever. What happens when a rank is lost is in [`super::loss`], how ranks begin and end in
//! [`super::home`].

use super::crew::Crew;
use super::post::{Came, Order, Taken, Word};
use super::shelf::Ticket;
use super::worker::Worker;
use super::{GLANCE, Offload, Served};
use crate::comm::{Buffer, CommError, Communicator, Kind, Tag};
use crate::device::Clock;
use crate::plan::placement::{Plan, TaskId, TensorId};
use crate::strategy::TrainError;
use crate::units::Seconds;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

/// Serves until all sources have their answers.
pub(super) fn live(
    offload: &Offload,
    crew: Crew,
    comm: &dyn Communicator,
    clock: &dyn Clock,
) -> Result<Option<Served>, TrainError> {
    let mut rank = Rank::new(offload, crew, comm, clock);
    let offsets = rank.begin()?;
    while !rank.home {
        rank.turn()?;
    }
    rank.end(offsets)
}

/// What a request has on a rank.
#[derive(Default)]
pub(super) struct Open {
    /// By task of this rank that waits: the tensors that are not here.
    missing: HashMap<TaskId, usize>,
    /// The tensors that were here once.
    here: HashSet<TensorId>,
    /// Tasks of this rank that are done.
    done: usize,
}

pub(super) struct Rank<'a> {
    pub worker: Worker<'a>,
    pub start: Seconds,
    /// Plans by number: those that all know, and new ones.
    pub plans: HashMap<u32, Plan>,
    /// By request that was planned anew: the plan that counts.
    pub current: HashMap<usize, u32>,
    pub open: HashMap<Ticket, Open>,
    /// What this rank has done all of its tasks of.
    finished: HashSet<Ticket>,
    pub ready: BTreeSet<(usize, usize, TaskId, u32)>,
    /// Tensors under plans that are not known here yet.
    pub parked: Vec<Came>,
    /// My requests that were not taken up, and those under way.
    pub waiting: VecDeque<usize>,
    pub under_way: BTreeSet<usize>,
    /// My newest plan, for requests whose own has a rank that is lost; how many there were; and what was planned anew.
    pub latest: Option<u32>,
    pub serial: usize,
    pub anew: HashSet<usize>,
    asks: bool,
    /// The ranks that are lost: rank 0 says who is.
    pub gone: HashSet<usize>,
    /// At rank 0: ranks whose messages broke off.
    pub suspects: Vec<usize>,
    /// At rank 0: the sources that have not said that they are done.
    pub busy: BTreeSet<usize>,
    /// Tasks that this rank has to do, as long as nobody is lost.
    due: usize,
    /// All sources are done; I have said goodbye; who has.
    pub stopping: bool,
    parted: bool,
    byes: HashSet<usize>,
    pub home: bool,
    /// Rank 0 wants the record; rank 0 wants nothing any more.
    pub asked: bool,
    pub dismissed: bool,
}

impl<'a> Rank<'a> {
    fn new(offload: &'a Offload<'a>, crew: Crew<'a>, comm: &'a dyn Communicator, clock: &'a dyn Clock) -> Self {
        let mine = |(id, request): (usize, &super::Request)| (request.source == comm.rank()).then_some(id);
        let waiting: VecDeque<usize> = offload.requests.iter().enumerate().filter_map(mine).collect();
        let plans = offload.plans.iter().enumerate().map(|(id, plan)| (id as u32, plan.clone())).collect();
        let busy = offload.requests.iter().map(|request| request.source).collect();
        let tasks = |plan: &Plan| plan.rank.iter().filter(|rank| **rank == comm.rank()).count();
        let each: Vec<usize> = offload.plans.iter().map(tasks).collect();
        Self {
            asks: !waiting.is_empty(),
            due: offload.choice.iter().map(|plan| each[*plan]).sum(),
            worker: Worker::new(offload, crew, comm, clock, true),
            start: clock.now(),
            plans,
            current: HashMap::new(),
            open: HashMap::new(),
            finished: HashSet::new(),
            ready: BTreeSet::new(),
            parked: Vec::new(),
            waiting,
            under_way: BTreeSet::new(),
            latest: None,
            serial: 0,
            anew: HashSet::new(),
            gone: HashSet::new(),
            suspects: Vec::new(),
            busy,
            stopping: false,
            parted: false,
            byes: HashSet::new(),
            home: false,
            asked: false,
            dismissed: false,
        }
    }

    pub fn offload(&self) -> &'a Offload<'a> {
        self.worker.desk.offload
    }

    pub fn comm(&self) -> &'a dyn Communicator {
        self.worker.desk.comm
    }

    pub fn me(&self) -> usize {
        self.comm().rank()
    }

    /// All other ranks that are not lost.
    pub fn others(&self) -> Vec<usize> {
        (0..self.comm().size()).filter(|rank| *rank != self.me() && !self.gone.contains(rank)).collect()
    }

    /// Looks around, and does one task, or waits for something to do.
    fn turn(&mut self) -> Result<(), TrainError> {
        while self.look(Duration::ZERO)? {}
        self.worker.desk.sweep()?;
        while self.me() > 0
            && let Some(order) = self.worker.desk.post.obey(Duration::ZERO)?
        {
            self.follow(order)?;
        }
        if self.dismissed {
            return Ok(());
        }
        self.mourn()?;
        self.take_up();
        if let Some((request, _, task, plan)) = self.ready.pop_first() {
            return self.act(Ticket { request, plan }, task);
        }
        self.say_done()?;
        self.part()?;
        if !self.home {
            self.look(self.patience())?;
        }
        Ok(())
    }

    /// Takes a message, if there is one in time.
    fn look(&mut self, patience: Duration) -> Result<bool, TrainError> {
        match self.worker.desk.take(None, patience)? {
            Taken::Nothing => return Ok(false),
            Taken::Message(came) => self.hear(came)?,
            Taken::Cut(from) => self.suspects.push(from),
        }
        Ok(true)
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
            let plan = self.plan_to_begin(request);
            self.begin_request(Ticket { request, plan }, now);
        }
    }

    pub fn begin_request(&mut self, ticket: Ticket, now: Seconds) {
        let graph = &self.offload().work.graph;
        self.worker.desk.told.begun.push((ticket.request, ticket.plan as usize, now));
        let plan = &self.plans[&ticket.plan];
        for &task in graph.order().iter().filter(|task| graph.reads(**task).is_empty()) {
            self.ready.insert((ticket.request, plan.place[task], task, ticket.plan));
        }
    }

    fn act(&mut self, ticket: Ticket, task: TaskId) -> Result<(), TrainError> {
        let (offload, me) = (self.offload(), self.me());
        let plan = &self.plans[&ticket.plan];
        self.worker.act(ticket, task, plan)?;
        let mine = plan.rank.iter().filter(|rank| **rank == me).count();
        self.due = self.due.saturating_sub(1);
        for &tensor in offload.work.graph.makes(task) {
            self.is_here(ticket, tensor);
        }
        if task == offload.work.answer() {
            self.under_way.remove(&ticket.request);
        }
        let open = self.open.entry(ticket).or_default();
        open.done += 1;
        if open.done == mine {
            self.open.remove(&ticket);
            self.finished.insert(ticket);
        }
        Ok(())
    }

    /// A tensor is here, for the first time: those of my tasks that waited for it last may run.
    fn is_here(&mut self, ticket: Ticket, tensor: TensorId) {
        let (graph, me) = (&self.offload().work.graph, self.me());
        let (plan, open) = (&self.plans[&ticket.plan], self.open.entry(ticket).or_default());
        open.here.insert(tensor);
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
            Ok(_) => self.receive(came)?,
            Err(Word::Planned) => self.learn(came)?,
            Err(Word::Done) => drop(self.busy.remove(&came.from)),
            Err(Word::Bye) => drop(self.byes.insert(came.from)),
            Err(_) => {
                let why = "an order where a tensor was due";
                return Err(CommError::Garbage { from: came.from, tag: Tag::Tensor, why }.into());
            }
        }
        Ok(())
    }

    pub fn receive(&mut self, came: Came) -> Result<(), TrainError> {
        let ticket = came.ticket;
        let garbage = |why| CommError::Garbage { from: came.from, tag: Tag::Tensor, why };
        let known = self.plans.contains_key(&ticket.plan);
        let outdated = known && self.current.get(&ticket.request).is_some_and(|plan| *plan != ticket.plan);
        let source = self.offload().requests.get(ticket.request).map(|request| request.source);
        let source = source.ok_or_else(|| garbage("it is of a request that nobody made"))?;
        if !self.may_have(ticket, source) {
            return Err(garbage("it is of a request that has another plan").into());
        }
        if self.parted || outdated || self.gone.contains(&source) {
            self.worker.desk.shelf.give_back(came.buffer);
            return Ok(());
        }
        if !known {
            self.parked.push(came);
            return Ok(());
        }
        let seen = came.what.is_ok_and(|tensor| self.open.get(&ticket).is_some_and(|open| open.here.contains(&tensor)));
        if seen || self.finished.contains(&ticket) {
            return Err(garbage("this tensor was here already").into());
        }
        let now = self.worker.desk.now();
        let tensor = self.worker.desk.shelve(came, &self.plans[&ticket.plan], now)?;
        self.is_here(ticket, tensor);
        Ok(())
    }

    /// Whether a request may have a plan: the one that all know, or one that its source made.
    fn may_have(&self, ticket: Ticket, source: usize) -> bool {
        let (plan, known) = (ticket.plan as usize, self.offload().plans.len());
        match plan.checked_sub(known) {
            None => self.offload().choice[ticket.request] == plan,
            Some(new) => new % self.comm().size() == source,
        }
    }

    /// A source without requests says so to rank 0, and rank 0, when all have, lets all finish.
    fn say_done(&mut self) -> Result<(), TrainError> {
        if self.asks && self.waiting.is_empty() && self.under_way.is_empty() {
            self.asks = false;
            match self.me() {
                0 => drop(self.busy.remove(&0)),
                _ => self.say(0, Word::Done)?,
            }
        }
        if self.me() == 0 && self.busy.is_empty() && !self.stopping {
            self.stopping = true;
            self.command(Word::Stop, &[])?;
        }
        Ok(())
    }

    /// Says goodbye to all when nothing is left to do, and goes home when all others have: then no message is on its way.
    fn part(&mut self) -> Result<(), TrainError> {
        // Where somebody is lost nobody knows what will not come, and what is left are exits that nobody reads.
        if self.stopping && !self.parted && (self.due == 0 || !self.gone.is_empty()) {
            self.parted = true;
            self.others().into_iter().try_for_each(|rank| self.say(rank, Word::Bye))?;
        }
        self.home |= self.parted && self.others().iter().all(|rank| self.byes.contains(rank));
        Ok(())
    }

    fn say(&mut self, to: usize, word: Word) -> Result<(), TrainError> {
        let nothing = Ticket { request: 0, plan: 0 };
        Ok(self.worker.desk.post.send(to, nothing, Err(word), Buffer::new(Kind::F32, 0))?)
    }

    /// Rank 0 orders something of all that are not lost.
    pub fn command(&mut self, word: Word, ranks: &[usize]) -> Result<(), TrainError> {
        self.others().into_iter().try_for_each(|to| Ok(self.worker.desk.post.order(to, word, ranks)?))
    }

    /// Does what rank 0 wants.
    pub fn follow(&mut self, Order { word, ranks }: Order) -> Result<(), TrainError> {
        match word {
            Word::Ping => self.tell_time()?,
            Word::Gone => self.go_on_without(&ranks)?,
            Word::Stop => self.stopping = true,
            Word::Tell => self.asked = true,
            Word::Dismissed => (self.dismissed, self.home) = (true, true),
            Word::Begin => self.start = self.worker.desk.now(),
            Word::Planned | Word::Done | Word::Bye => {
                let why = "these are no words of rank 0";
                return Err(CommError::Garbage { from: 0, tag: Tag::Task, why }.into());
            }
        }
        Ok(())
    }
}
