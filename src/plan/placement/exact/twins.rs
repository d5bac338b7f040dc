//! Tasks and ranks that nothing tells apart: to swap them changes no makespan.

use crate::plan::placement::{Problem, TaskId};

/// By task: the last before it that has the same times, pin, memory, inputs and outputs.
pub(super) fn tasks(problem: &Problem) -> Vec<Option<TaskId>> {
    let graph = problem.graph;
    let around = |task: TaskId| {
        let sorted = |mut list: Vec<(TaskId, u64)>| {
            list.sort_unstable();
            list
        };
        let before = graph.predecessors(task).map(|(other, bytes)| (other, bytes.0)).collect();
        let after = graph.successors(task).map(|(other, bytes)| (other, bytes.0)).collect();
        (sorted(before), sorted(after))
    };
    let same = |a: TaskId, b: TaskId| {
        let alone = (&problem.time[a], problem.pinned[a], graph.tasks()[a].memory)
            == (&problem.time[b], problem.pinned[b], graph.tasks()[b].memory);
        alone && around(a) == around(b)
    };
    (0..graph.tasks().len()).map(|task| (0..task).rev().find(|other| same(*other, task))).collect()
}

/// By rank: the last before it with the same times, pins, memory and links.
pub(super) fn ranks(problem: &Problem) -> Vec<Option<usize>> {
    let all = problem.ranks();
    let same = |a: usize, b: usize| {
        let link = |from: usize, to: usize| problem.between[from][to];
        let linked = |c: usize| c == a || c == b || (link(a, c) == link(b, c) && link(c, a) == link(c, b));
        let works = |(time, pin): (&Vec<_>, &Option<usize>)| time[a] == time[b] && *pin != Some(a) && *pin != Some(b);
        let alone = problem.memory[a] == problem.memory[b] && link(a, b) == link(b, a);
        alone && (0..all).all(linked) && problem.time.iter().zip(&problem.pinned).all(works)
    };
    (0..all).map(|rank| (0..rank).rev().find(|other| same(*other, rank))).collect()
}
