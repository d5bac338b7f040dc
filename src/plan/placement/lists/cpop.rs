//! CPOP: the tasks of the critical path together on the rank that is fastest for them, all others where they end first.
//!
//! # References
//! Topcuoglu, Hariri, Wu, *Performance-effective and low-complexity task scheduling for heterogeneous computing*, IEEE
//! TPDS 13(3), 2002.

use super::ranks::Means;
use super::{keys, list};
use crate::plan::placement::{PlacementError, Problem, Schedule, Slot, TaskGraph, TaskId};
use std::cmp::Reverse;

/// Critical path on a processor.
///
/// A task's priority is its upward and its downward rank together: the longest way through it. A task of the longest
/// way that may not run on that way's rank, or does not fit there any more, goes where it ends first.
///
/// # Errors
/// When a task may run nowhere or does not fit.
///
/// # References
/// Topcuoglu, Hariri, Wu, IEEE TPDS 13(3), 2002.
pub fn cpop(problem: &Problem) -> Result<Schedule, PlacementError> {
    let means = Means::of(problem);
    let priority: Vec<f64> = means.upward().iter().zip(means.downward()).map(|(up, down)| up + down).collect();
    let path = critical_path(problem.graph, &keys(&priority));
    let rank = fastest(problem, &path);
    let mut critical = vec![false; priority.len()];
    path.iter().for_each(|task| critical[*task] = true);
    list(problem, &priority, |task, slot: &Slot| match critical[task] && slot.rank == rank {
        true => f64::NEG_INFINITY,
        false => slot.end.0,
    })
}

/// From the entry task of the highest priority along successors of the highest; of equals the first.
fn critical_path(graph: &TaskGraph, priority: &[u64]) -> Vec<TaskId> {
    let first = |task: &TaskId| (priority[*task], Reverse(*task));
    let entries = (0..priority.len()).filter(|task| graph.reads(*task).is_empty());
    let next = |task: &TaskId| graph.successors(*task).map(|(next, _)| next).max_by_key(first);
    std::iter::successors(entries.max_by_key(first), next).collect()
}

/// The rank that may run most of these tasks, and takes the least time for them.
fn fastest(problem: &Problem, path: &[TaskId]) -> usize {
    let cost = |rank: usize| {
        let (may, may_not): (Vec<&TaskId>, Vec<&TaskId>) = path.iter().partition(|task| problem.allows(**task, rank));
        (may_not.len(), may.iter().map(|task| problem.time[**task][rank].0).sum::<f64>())
    };
    let ranks = (0..problem.ranks()).map(|rank| (cost(rank), rank));
    let least = ranks.min_by(|((a, x), _), ((b, y), _)| a.cmp(b).then(x.total_cmp(y)));
    least.map_or(0, |(_, rank)| rank)
}
