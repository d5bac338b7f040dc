//! The best schedule that there is, for small graphs: branch and bound.
//!
//! A begun schedule is continued by each task that may be next, on each rank, right behind what that rank has. Every
//! schedule without needless waiting comes up so, and among those is a best one. What cannot be better than the best
//! found is left alone, and so is what an earlier begun schedule of the same tasks was no worse than: there every rank
//! was free, every result everywhere and all memory left no later and no less.
//!
//! # References
//! Kohler, Steiglitz, *Characterization and theoretical comparison of branch-and-bound algorithms for permutation
//! problems*, Journal of the ACM 21(1), 1974; Sinnen, *Reducing the solution space of optimal task scheduling*,
//! Computers & Operations Research 43, 2014 (equal tasks, equal processors).

mod twins;

use super::bound::{Begun, Bounds};
use super::room::Room;
use super::{PlacementError, Problem, Schedule, Slot, TaskId, cpop, heft, peft};
use crate::units::Seconds;
use std::collections::HashMap;

/// The most tasks: a set of them is one number.
const MOST: usize = 64;
/// The most begun schedules that are remembered.
const REMEMBERED: usize = 1 << 20;
/// Gains below this share are rounding.
const ROUNDING: f64 = 1e-12;

/// What a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Exact {
    /// The best schedule found.
    pub schedule: Schedule,
    /// Whether there is none better.
    pub proven: bool,
    /// How many begun schedules were continued.
    pub nodes: u64,
}

/// The schedule of the smallest makespan, where messages do not wait for each other.
///
/// Begins with the best that HEFT, CPOP and PEFT find. With a limit, gives up after so many begun schedules and says
/// that it did.
///
/// # Errors
/// When the graph has more than 64 tasks, a task may run nowhere, or the tasks do not fit.
pub fn exact(problem: &Problem, nodes: Option<u64>) -> Result<Exact, PlacementError> {
    let tasks = problem.graph.tasks().len();
    if tasks > MOST {
        return Err(PlacementError::TooLarge { method: "exact", tasks, most: MOST });
    }
    let room = Room::new(problem)?;
    let mut search = Search::new(problem, room, nodes.unwrap_or(u64::MAX));
    let first = heft(problem);
    [&first, &cpop(problem), &peft(problem)].into_iter().flatten().for_each(|schedule| search.offer(schedule));
    if search.promises() {
        search.go_on();
    }
    let schedule = search.best.take().map_or(first, Ok)?;
    Ok(Exact { schedule, proven: !search.cut, nodes: search.nodes })
}

/// A task on a rank, with the least time that comes of it.
#[derive(Debug, Clone, Copy)]
struct Step {
    task: TaskId,
    rank: usize,
    bound: f64,
}

struct Search<'a> {
    problem: &'a Problem<'a>,
    bounds: Bounds<'a>,
    begun: Begun,
    /// The tasks that have slots, a bit each.
    placed: u64,
    /// By task: how many of its inputs have no slot.
    waits: Vec<usize>,
    /// By rank: how many tasks it has.
    has: Vec<usize>,
    /// By task and by rank: an earlier one that nothing tells from it.
    same_task: Vec<Option<TaskId>>,
    same_rank: Vec<Option<usize>>,
    /// Whether memory may run out: else it need not be compared.
    tight: bool,
    /// By set of tasks: what was begun with them, as [`Search::state`] says it.
    seen: HashMap<u64, Vec<Box<[f64]>>>,
    remembered: usize,
    best: Option<Schedule>,
    makespan: f64,
    nodes: u64,
    limit: u64,
    cut: bool,
}

impl<'a> Search<'a> {
    fn new(problem: &'a Problem<'a>, room: Room, limit: u64) -> Self {
        let tasks = problem.graph.tasks();
        let all: u128 = tasks.iter().map(|task| u128::from(task.memory.0)).sum();
        Self {
            problem,
            bounds: Bounds::new(problem),
            tight: room.left().iter().any(|left| u128::from(*left) < all),
            begun: Begun::new(problem, room),
            placed: 0,
            waits: (0..tasks.len()).map(|task| problem.graph.reads(task).len()).collect(),
            has: vec![0; problem.ranks()],
            same_task: twins::tasks(problem),
            same_rank: twins::ranks(problem),
            seen: HashMap::new(),
            remembered: 0,
            best: None,
            makespan: f64::INFINITY,
            nodes: 0,
            limit,
            cut: false,
        }
    }

    fn offer(&mut self, schedule: &Schedule) {
        let makespan = schedule.makespan().0;
        if makespan < self.makespan {
            (self.best, self.makespan) = (Some(schedule.clone()), makespan);
        }
    }

    /// Looks at what is begun: whether it may become better than the best, and nothing no worse was seen.
    fn promises(&mut self) -> bool {
        let bound = self.bounds.of(&self.begun);
        self.gains(bound) && self.is_new(bound)
    }

    fn gains(&self, bound: f64) -> bool {
        bound * (1.0 + ROUNDING) < self.makespan
    }

    /// Continues what is begun in every way that may gain, the most promising first.
    fn go_on(&mut self) {
        if let Some(slots) = self.begun.slots.iter().copied().collect::<Option<Vec<Slot>>>() {
            return self.offer(&Schedule { slots });
        }
        if self.nodes == self.limit {
            self.cut = true;
            return;
        }
        self.nodes += 1;
        for step in self.steps() {
            if self.cut || !self.gains(step.bound) {
                break;
            }
            let free = self.place(step.task, step.rank);
            if self.promises() {
                self.go_on();
            }
            self.lift(step.task, step.rank, free);
        }
    }

    /// Ways to go on, the smallest bound first. Of tasks that nothing tells apart the first goes first, and of empty
    /// ranks that nothing tells apart only the first is tried.
    fn steps(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        for task in 0..self.waits.len() {
            let placed = |task: TaskId| self.begun.slots[task].is_some();
            if self.waits[task] > 0 || placed(task) || self.same_task[task].is_some_and(|same| !placed(same)) {
                continue;
            }
            for rank in 0..self.problem.ranks() {
                let mirrored = self.has[rank] == 0 && self.same_rank[rank].is_some_and(|same| self.has[same] == 0);
                if mirrored || !self.begun.room.fits(self.problem, task, rank) {
                    continue;
                }
                let free = self.place(task, rank);
                let bound = self.bounds.of(&self.begun);
                self.lift(task, rank, free);
                steps.push(Step { task, rank, bound });
            }
        }
        steps.sort_by(|a, b| a.bound.total_cmp(&b.bound));
        steps
    }

    /// Gives a task the slot behind all that a rank has; gives when the rank was free before.
    fn place(&mut self, task: TaskId, rank: usize) -> f64 {
        let start = Seconds(self.bounds.start(&self.begun, task, rank));
        let end = start + self.problem.time[task][rank];
        self.begun.slots[task] = Some(Slot { rank, start, end });
        self.begun.room.take(self.problem, task, rank);
        self.problem.graph.successors(task).for_each(|(next, _)| self.waits[next] -= 1);
        self.placed |= 1 << task;
        self.has[rank] += 1;
        std::mem::replace(&mut self.begun.free[rank], end.0)
    }

    /// Undoes [`Search::place`].
    fn lift(&mut self, task: TaskId, rank: usize, free: f64) {
        self.begun.free[rank] = free;
        self.begun.slots[task] = None;
        self.begun.room.give(self.problem, task, rank);
        self.problem.graph.successors(task).for_each(|(next, _)| self.waits[next] += 1);
        self.placed &= !(1 << task);
        self.has[rank] -= 1;
    }

    /// Whether nothing of the same tasks was seen that is no worse in anything; remembers it then.
    fn is_new(&mut self, bound: f64) -> bool {
        let state = self.state();
        let seen = self.seen.entry(self.placed).or_default();
        // What had an end before the bound of this one is no worse in its ends.
        let no_worse = |old: &[f64]| old[0] <= bound && old[1..].iter().zip(&state[1..]).all(|(old, new)| old <= new);
        if seen.iter().any(|old| no_worse(old)) {
            return false;
        }
        if self.remembered < REMEMBERED {
            let before = seen.len();
            seen.retain(|old| !state.iter().zip(old).all(|(new, old)| new <= old));
            seen.push(state);
            self.remembered = self.remembered + seen.len() - before;
        }
        true
    }

    /// All of what is begun that tells how it can go on, smaller being better: its end; by rank when it can be of use;
    /// for each task that waits for a placed one when it can end on each rank; and the memory used, where it is short.
    fn state(&self) -> Box<[f64]> {
        let mut state = vec![self.begun.free.iter().copied().fold(0.0, f64::max)];
        state.extend(self.bounds.useful());
        for (task, ends) in self.bounds.ends().iter().enumerate() {
            let slots = &self.begun.slots;
            if slots[task].is_none() && self.bounds.inputs(task).any(|before| slots[before].is_some()) {
                state.extend(ends);
            }
        }
        if self.tight {
            state.extend(self.begun.room.left().iter().map(|left| -(*left as f64)));
        }
        state.into()
    }
}

#[cfg(test)]
mod tests;
