//! What plans really take: many requests at once, ranks that do one thing at a time, messages that wait for each other.
//!
//! The same rules as the ranks follow in virtual time, so both come to the same times and joules: a rank takes, of the
//! tasks whose inputs have arrived, the one of the oldest request with the smallest place; none is interrupted; a tensor
//! goes once to each rank that needs it, right behind its task. The result is also what the ranks are told to do: a
//! [`Script`].

mod emulated;
mod fixed;
#[cfg(test)]
mod hand;
mod script;
#[cfg(test)]
mod tests;

pub use emulated::{EmulatedRanks, work_of};
pub use fixed::{FixedRanks, alone};
pub use script::{Act, Answer, Message, Script};

use super::{Plan, TaskGraph, TaskId, TensorId};
use crate::device::Ledger;
use crate::units::{Bytes, Flops, Seconds};
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

/// A wish to have the network run on one input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Request {
    /// The rank that has the input and wants the answer.
    pub source: usize,
    /// When it comes up.
    pub arrival: Seconds,
}

/// What is to be simulated beside the ranks themselves.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The tasks of each request.
    pub graph: &'a TaskGraph,
    /// In the order in which each source takes them up.
    pub requests: &'a [Request],
    /// The most unanswered requests that a source has under way: what waits at any rank is bounded by it.
    pub queue: usize,
    /// Bytes of a message beside its tensor.
    pub header: Bytes,
}

/// Ranks that compute and send, each in its own time.
pub trait Ranks {
    /// The time of a rank.
    fn now(&self, rank: usize) -> Seconds;

    /// Waits until a time, if it is not past.
    fn wait(&mut self, rank: usize, until: Seconds);

    /// Does a task.
    fn work(&mut self, rank: usize, task: TaskId);

    /// Sends so many bytes; gives when they arrive.
    fn send(&mut self, from: usize, to: usize, bytes: Bytes) -> Seconds;

    /// Takes a message that arrived, or waits for it.
    fn take(&mut self, from: usize, to: usize, bytes: Bytes, arrival: Seconds);

    /// What each has done.
    fn ledgers(&self) -> Vec<Ledger>;
}

/// An index into the requests.
pub type RequestId = usize;

/// A moment in which a request is taken up.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// The request.
    pub request: RequestId,
    /// The time.
    pub at: Seconds,
    /// By rank: the arithmetic that it was given and has not done.
    pub backlog: &'a [Flops],
}

/// Says which plan a request gets when it is taken up: an index into the plans, which it may add to.
pub type Choose<'a> = dyn FnMut(Moment, &mut Vec<Plan>) -> usize + 'a;

/// Runs all requests to their answers, on as many ranks as there are.
///
/// # Panics
/// If `choose` names a plan that there is not.
pub fn simulate(scene: &Scene, ranks: &mut dyn Ranks, plans: &mut Vec<Plan>, choose: &mut Choose) -> Script {
    let mut world = World::new(scene, ranks.ledgers().len());
    while let Some((rank, start)) = world.next(ranks) {
        world.act(rank, start, ranks, plans, choose);
    }
    world.finish(ranks)
}

/// What a rank may do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    request: RequestId,
    place: usize,
    /// None: take the request up.
    task: Option<TaskId>,
}

/// A time that orders.
#[derive(Debug, Clone, Copy, PartialEq)]
struct At(f64);

impl Eq for At {}

impl PartialOrd for At {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for At {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// What a rank has before it.
#[derive(Debug, Default)]
struct Desk {
    /// What may begin from some time on.
    later: BinaryHeap<Reverse<(At, Due)>>,
    /// What may begin now.
    ready: BTreeSet<Due>,
}

impl Desk {
    /// When the rank does something next, if it is free from `now` on.
    fn next(&self, now: Seconds) -> Option<Seconds> {
        match (self.ready.is_empty(), self.later.peek()) {
            (false, _) => Some(now),
            (true, Some(Reverse((At(time), _)))) => Some(Seconds(time.max(now.0))),
            (true, None) => None,
        }
    }

    /// The first of what may begin at a time.
    fn take(&mut self, start: Seconds) -> Due {
        while let Some(Reverse((at, _))) = self.later.peek()
            && at.0 <= start.0
        {
            let Some(Reverse((_, due))) = self.later.pop() else { unreachable!("it was there") };
            self.ready.insert(due);
        }
        self.ready.pop_first().expect("something may begin at this time")
    }

    fn give(&mut self, at: f64, due: Due) {
        self.later.push(Reverse((At(at), due)));
    }
}

/// A request under way.
struct Open {
    plan: usize,
    /// By task: inputs that have not been sent yet, and when the last of those that were is there.
    missing: Vec<usize>,
    ready: Vec<f64>,
    left: usize,
}

/// A message that its receiver has not taken: who sent it and when it is there.
type Post = (usize, Seconds);

struct World<'a> {
    scene: &'a Scene<'a>,
    desks: Vec<Desk>,
    open: HashMap<RequestId, Open>,
    post: HashMap<(RequestId, TensorId, usize), Post>,
    /// By source: its requests that were not taken up yet, the next one last.
    waiting: HashMap<usize, Vec<RequestId>>,
    backlog: Vec<Flops>,
    script: Script,
}

impl<'a> World<'a> {
    fn new(scene: &'a Scene, ranks: usize) -> Self {
        let mut waiting: HashMap<usize, Vec<RequestId>> = HashMap::new();
        for (id, request) in scene.requests.iter().enumerate().rev() {
            waiting.entry(request.source).or_default().push(id);
        }
        let mut world = Self {
            scene,
            desks: (0..ranks).map(|_| Desk::default()).collect(),
            open: HashMap::new(),
            post: HashMap::new(),
            waiting,
            backlog: vec![Flops(0); ranks],
            script: Script::new(ranks, scene.requests),
        };
        for source in 0..ranks {
            (0..scene.queue.max(1)).for_each(|_| world.take_up(source, 0.0));
        }
        world
    }

    /// Lets a source take its next request up, not before `from`.
    fn take_up(&mut self, source: usize, from: f64) {
        if let Some(request) = self.waiting.get_mut(&source).and_then(Vec::pop) {
            let at = self.scene.requests[request].arrival.0.max(from);
            self.desks[source].give(at, Due { request, place: 0, task: None });
        }
    }

    /// The rank that does something next of all, and when.
    fn next(&self, ranks: &dyn Ranks) -> Option<(usize, Seconds)> {
        let next = |(rank, desk): (usize, &Desk)| Some((rank, desk.next(ranks.now(rank))?));
        self.desks.iter().enumerate().filter_map(next).min_by(|a, b| a.1.0.total_cmp(&b.1.0).then(a.0.cmp(&b.0)))
    }

    fn act(&mut self, rank: usize, start: Seconds, ranks: &mut dyn Ranks, plans: &mut Vec<Plan>, choose: &mut Choose) {
        let Due { request, task, .. } = self.desks[rank].take(start);
        let Some(task) = task else {
            let plan = choose(Moment { request, at: start, backlog: &self.backlog }, plans);
            return self.begin(request, plan, &plans[plan], start);
        };
        ranks.wait(rank, start);
        // In the order of their arrival, as on the rank itself.
        let here =
            |tensor: &TensorId| self.post.remove(&(request, *tensor, rank)).map(|post| (post.1, *tensor, post.0));
        let mut taken: Vec<(Seconds, TensorId, usize)> = self.scene.graph.reads(task).iter().filter_map(here).collect();
        taken.sort_by(|a, b| a.0.0.total_cmp(&b.0.0).then(a.1.cmp(&b.1)));
        for (arrival, tensor, from) in taken {
            ranks.take(from, rank, self.wire(tensor), arrival);
        }
        let begun = ranks.now(rank);
        ranks.work(rank, task);
        let end = ranks.now(rank);
        self.script.did(rank, Act { request, task, start: begun, end });
        self.backlog[rank].0 -= self.scene.graph.tasks()[task].flops.0;
        self.hand_on(request, task, rank, ranks, plans);
        let open = self.open.get_mut(&request).expect("it is under way");
        open.left -= 1;
        if open.left == 0 {
            self.open.remove(&request);
            self.script.answered(request, end);
            self.take_up(self.scene.requests[request].source, end.0);
        }
    }

    fn begin(&mut self, request: RequestId, plan: usize, it: &Plan, start: Seconds) {
        let graph = self.scene.graph;
        let missing: Vec<usize> = (0..graph.tasks().len()).map(|task| graph.reads(task).len()).collect();
        for (task, rank) in it.rank.iter().enumerate() {
            self.backlog[*rank].0 += graph.tasks()[task].flops.0;
            if missing[task] == 0 {
                self.desks[*rank].give(start.0, Due { request, place: it.place[task], task: Some(task) });
            }
        }
        self.script.taken_up(request, plan, start);
        let (ready, left) = (vec![start.0; missing.len()], missing.len());
        self.open.insert(request, Open { plan, missing, ready, left });
    }

    /// Sends what a task made, once to each rank, and lets those begin that waited for it last.
    fn hand_on(&mut self, request: RequestId, task: TaskId, rank: usize, ranks: &mut dyn Ranks, plans: &[Plan]) {
        let graph = self.scene.graph;
        let now = ranks.now(rank);
        for &tensor in graph.makes(task) {
            let open = &self.open[&request];
            let plan = &plans[open.plan];
            for to in receivers(graph, plan, tensor) {
                let bytes = self.wire(tensor);
                let arrival = match to == rank {
                    true => now,
                    false => {
                        let arrival = ranks.send(rank, to, bytes);
                        self.post.insert((request, tensor, to), (rank, arrival));
                        self.script.sent(Message { request, tensor, from: rank, to, bytes, sent: now, arrival });
                        arrival
                    }
                };
                let open = self.open.get_mut(&request).expect("it is under way");
                for &next in graph.tensors()[tensor].to.iter().filter(|next| plan.rank[**next] == to) {
                    open.missing[next] -= 1;
                    open.ready[next] = open.ready[next].max(arrival.0);
                    if open.missing[next] == 0 {
                        let due = Due { request, place: plan.place[next], task: Some(next) };
                        self.desks[to].give(open.ready[next], due);
                    }
                }
            }
        }
    }

    fn wire(&self, tensor: TensorId) -> Bytes {
        self.scene.graph.tensors()[tensor].bytes + self.scene.header
    }

    /// All ranks wait for the last answer: a device that has nothing to do is on all the same.
    fn finish(self, ranks: &mut dyn Ranks) -> Script {
        let end = self.script.end();
        (0..self.desks.len()).for_each(|rank| ranks.wait(rank, end));
        self.script.with_ledgers(ranks.ledgers())
    }
}

/// The ranks that need a tensor, ascending; the one that makes it among them, where it does.
pub fn receivers(graph: &TaskGraph, plan: &Plan, tensor: TensorId) -> BTreeSet<usize> {
    graph.tensors()[tensor].to.iter().map(|task| plan.rank[*task]).collect()
}
