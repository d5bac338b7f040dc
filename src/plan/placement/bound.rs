//! What no plan can beat: a lower bound on the time of one request, for a whole problem or the rest of a begun plan.
//!
//! # Math
//! The larger of two:
//! - path: each task has an earliest end on each rank, behind its inputs from wherever they come soonest, and a tail,
//!   the least that must follow its end there: tail(t, p) = max over successors s of min over ranks q of
//!   (message(p, q) + w(s, q) + tail(s, q)). No plan ends before max over t of min over p of (end(t, p) + tail(t, p)).
//! - load: the ranks r that are of use, each from its f(r) on, have to do W = Σ min over p of w(t, p): no plan ends
//!   before the C with Σ max(0, C − f(r)) = W, which is min over k of (W + the k smallest f) / k.
//!
//! # References
//! Fernández, Bussell, *Bounds on the number of processors and time for multiprocessor optimal schedules*, IEEE
//! Transactions on Computers C-22(8), 1973 (both bounds, for equal processors).

use super::room::{Room, no_rank};
use super::{PlacementError, Problem, Slot, TaskId};
use crate::units::Seconds;

/// A time that one request needs at least, whoever does what: no method, no link and no order does better, but for
/// rounding.
///
/// # Errors
/// When a task may run nowhere or fits into no rank.
pub fn lower_bound(problem: &Problem) -> Result<Seconds, PlacementError> {
    let begun = Begun::new(problem, Room::new(problem)?);
    let bound = Bounds::new(problem).of(&begun);
    if bound.is_finite() {
        return Ok(Seconds(bound));
    }
    let nowhere = |task: &TaskId| !(0..problem.ranks()).any(|rank| begun.room.fits(problem, *task, rank));
    match problem.graph.order().iter().copied().find(nowhere) {
        Some(task) => begun.room.clone().hold(problem, task).and(Err(no_rank(problem, task))),
        None => Err(no_rank(problem, problem.graph.order()[0])),
    }
}

/// A plan of which some tasks have their slots: ranks take what comes next behind what they have.
#[derive(Debug, Clone)]
pub(super) struct Begun {
    /// By task: its slot, where it has one.
    pub(super) slots: Vec<Option<Slot>>,
    /// By rank: when it has done all that it has.
    pub(super) free: Vec<f64>,
    pub(super) room: Room,
}

impl Begun {
    /// Nothing placed.
    pub(super) fn new(problem: &Problem, room: Room) -> Self {
        Self { slots: vec![None; problem.graph.tasks().len()], free: vec![0.0; problem.ranks()], room }
    }
}

/// What is the same for all begun plans of a problem.
pub(super) struct Bounds<'a> {
    problem: &'a Problem<'a>,
    /// By task: who it waits for, with the time of the message by sender and receiver.
    inputs: Vec<Vec<(TaskId, Vec<f64>)>>,
    /// By task and rank: what follows its end there at least.
    tail: Vec<Vec<f64>>,
    /// By task: its least time.
    least: Vec<f64>,
    /// By task and rank, of the begun plan that was looked at last: the earliest end of what has no slot.
    ends: Vec<Vec<f64>>,
    /// By rank, of the same: when it can be of use at the earliest; infinite where it cannot.
    useful: Vec<f64>,
}

impl<'a> Bounds<'a> {
    pub(super) fn new(problem: &'a Problem<'a>) -> Self {
        let (graph, ranks) = (problem.graph, problem.ranks());
        let tasks = graph.tasks().len();
        let pairs = || (0..ranks).flat_map(|from| (0..ranks).map(move |to| (from, to)));
        let input = |(task, bytes)| (task, pairs().map(|(from, to)| problem.message(from, to, bytes).0).collect());
        let of = |task: TaskId, rank: usize| match problem.allows(task, rank) {
            true => problem.time[task][rank].0,
            false => f64::INFINITY,
        };
        let mut it = Self {
            problem,
            inputs: (0..tasks).map(|task| graph.predecessors(task).map(input).collect()).collect(),
            tail: vec![vec![0.0; ranks]; tasks],
            least: (0..tasks).map(|t| (0..ranks).map(|r| of(t, r)).fold(f64::INFINITY, f64::min)).collect(),
            ends: vec![vec![0.0; ranks]; tasks],
            useful: vec![0.0; ranks],
        };
        // Behind all its successors, a task's own tail is known, and counts for those that it waits for.
        for &task in graph.order().iter().rev() {
            for (before, message) in &it.inputs[task] {
                for from in 0..ranks {
                    let on = |to: usize| message[from * ranks + to] + of(task, to) + it.tail[task][to];
                    let after = (0..ranks).map(on).fold(f64::INFINITY, f64::min);
                    it.tail[*before][from] = it.tail[*before][from].max(after);
                }
            }
        }
        it
    }

    /// The least time that a begun plan comes to, however it goes on; infinite when it cannot.
    pub(super) fn of(&mut self, begun: &Begun) -> f64 {
        let ranks = self.problem.ranks();
        let mut bound = begun.free.iter().copied().fold(0.0, f64::max);
        let mut work = 0.0;
        self.useful.fill(f64::INFINITY);
        for &task in self.problem.graph.order() {
            if begun.slots[task].is_some() {
                continue;
            }
            let mut through = f64::INFINITY;
            for rank in 0..ranks {
                let start = match begun.room.fits(self.problem, task, rank) {
                    true => self.start(begun, task, rank),
                    false => f64::INFINITY,
                };
                self.ends[task][rank] = start + self.problem.time[task][rank].0;
                self.useful[rank] = self.useful[rank].min(start);
                through = through.min(self.ends[task][rank] + self.tail[task][rank]);
            }
            work += self.least[task];
            bound = bound.max(through);
        }
        if work > 0.0 { bound.max(self.load(work)) } else { bound }
    }

    /// When a task can begin on a rank at the earliest.
    pub(super) fn start(&self, begun: &Begun, task: TaskId, rank: usize) -> f64 {
        let ranks = self.problem.ranks();
        let arrival = |(before, message): &(TaskId, Vec<f64>)| match begun.slots[*before] {
            Some(slot) => slot.end.0 + message[slot.rank * ranks + rank],
            None => {
                let from = self.ends[*before].iter().enumerate().map(|(from, end)| end + message[from * ranks + rank]);
                from.fold(f64::INFINITY, f64::min)
            }
        };
        self.inputs[task].iter().map(arrival).fold(begun.free[rank], f64::max)
    }

    /// When the ranks that are of use can have done so much.
    fn load(&self, work: f64) -> f64 {
        let mut from: Vec<f64> = self.useful.iter().copied().filter(|from| from.is_finite()).collect();
        from.sort_by(f64::total_cmp);
        let mut sum = work;
        let with = from.iter().zip(1..).map(|(from, count)| {
            sum += from;
            sum / f64::from(count)
        });
        with.fold(f64::INFINITY, f64::min)
    }

    /// By task and rank, for the begun plan that was looked at last: the earliest end of what has no slot.
    pub(super) fn ends(&self) -> &[Vec<f64>] {
        &self.ends
    }

    /// By rank, for the same: when it can be of use at the earliest; infinite where it cannot.
    pub(super) fn useful(&self) -> &[f64] {
        &self.useful
    }

    /// Who a task waits for.
    pub(super) fn inputs(&self, task: TaskId) -> impl Iterator<Item = TaskId> {
        self.inputs[task].iter().map(|(before, _)| *before)
    }
}
