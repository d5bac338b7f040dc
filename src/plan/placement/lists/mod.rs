//! List schedulers: tasks in the order of their urgency, each to the rank that is best for it at that moment.
//!
//! They plan as textbooks do: one request, messages that do not wait for each other. Pins, speeds and memory are kept.

mod cpop;
mod heft;
mod peft;
pub(super) mod ranks;
#[cfg(test)]
mod tests;
mod timetable;

pub use cpop::cpop;
pub use heft::heft;
pub use peft::peft;

use super::room::{Room, no_rank};
use super::{PlacementError, Problem, Schedule, Slot, TaskId};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use timetable::Timetable;

/// Places tasks: of those whose predecessors are placed the one of the highest priority, of equals the first; it goes
/// to the slot of the smallest score, of equals to the first rank.
///
/// Where memory is short, the order of urgency may leave no room for the last tasks. Then these get theirs before all
/// others, and the list is gone through again.
fn list(problem: &Problem, priority: &[f64], score: impl Fn(TaskId, &Slot) -> f64) -> Result<Schedule, PlacementError> {
    let keys = keys(priority);
    let mut room = Room::new(problem)?;
    loop {
        match attempt(problem, room.clone(), &keys, &score) {
            Ok(schedule) => return reached(problem, schedule),
            Err(stuck) => room.hold(problem, stuck)?,
        }
    }
}

/// Goes through the list once; gives the task that fits nowhere.
fn attempt(
    problem: &Problem,
    room: Room,
    keys: &[u64],
    score: &impl Fn(TaskId, &Slot) -> f64,
) -> Result<Schedule, TaskId> {
    let graph = problem.graph;
    let mut waits: Vec<usize> = (0..keys.len()).map(|task| graph.reads(task).len()).collect();
    let due = |task: TaskId| (keys[task], Reverse(task));
    let mut ready: BinaryHeap<_> = (0..keys.len()).filter(|task| waits[*task] == 0).map(due).collect();
    let mut table = Timetable::new(problem, room);
    while let Some((_, Reverse(task))) = ready.pop() {
        let scored = table.slots(task).map(|slot| (score(task, &slot), slot));
        let best = scored.reduce(|best, next| if next.0 < best.0 { next } else { best });
        table.place(task, best.ok_or(task)?.1);
        for (next, _) in graph.successors(task) {
            waits[next] -= 1;
            if waits[next] == 0 {
                ready.push(due(next));
            }
        }
    }
    Ok(table.schedule())
}

/// Priorities that differ only by rounding are one: what is equal on paper is equal here.
fn keys(priority: &[f64]) -> Vec<u64> {
    const STEPS: f64 = (1u64 << 40) as f64;
    let most = priority.iter().copied().fold(0.0, f64::max);
    priority.iter().map(|priority| (priority / most * STEPS).round() as u64).collect()
}

/// Refuses a schedule with a message over a link that carries nothing.
fn reached(problem: &Problem, schedule: Schedule) -> Result<Schedule, PlacementError> {
    match problem.graph.order().iter().find(|task| !schedule.slots[**task].end.0.is_finite()) {
        Some(task) => Err(no_rank(problem, *task)),
        None => Ok(schedule),
    }
}
