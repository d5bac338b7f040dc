//! The best plan for a graph that is a chain: a dynamic programme over its tasks.
//!
//! Exact for one request, in time, energy, price and weighted sums of them, because on a chain nothing happens at the
//! same time and everything adds up. Memory is looked at task by task only.
//!
//! # References
//! Bellman, *Dynamic Programming*, Princeton University Press, 1957. Bokhari, *Assignment Problems in Parallel and
//! Distributed Computing*, Kluwer, 1987.

use super::{Additive, Judge, PlacementError, Plan, TaskGraph, TaskId, simple};
use crate::units::Bytes;

/// Whether each task hands one tensor to one other and reads no more than one.
pub fn is_chain(graph: &TaskGraph) -> bool {
    let one = |task: TaskId| graph.reads(task).len() <= 1 && graph.makes(task).len() <= 1;
    (0..graph.tasks().len()).all(one) && graph.tensors().iter().all(|tensor| tensor.to.len() == 1)
}

/// The best plan of a chain, memory that is shared and limits left aside.
///
/// # Math
/// best(t, r) = work(t, r) + min over q of best(t − 1, q) + message(q, r)
///
/// # Errors
/// When the graph is no chain, or a task may run nowhere.
pub fn chain(judge: &Judge) -> Result<Plan, PlacementError> {
    let (problem, prices) = (judge.problem, Additive::new(judge));
    if !is_chain(problem.graph) {
        let lacks = format!("a chain, and the graph {} branches", problem.graph.name());
        return Err(PlacementError::Needs { method: "chain", lacks });
    }
    let order = problem.graph.order();
    let mut best: Vec<f64> = (0..problem.ranks()).map(|rank| prices.work(order[0], rank)).collect();
    // By task behind the first, and its rank: the best rank of the task before it.
    let mut from: Vec<Vec<usize>> = Vec::with_capacity(order.len());
    for task in &order[1..] {
        let bytes = problem.graph.predecessors(*task).next().map_or(Bytes(0), |(_, bytes)| bytes);
        let step = |rank: usize| {
            let behind = |before: usize| (best[before] + prices.message(before, rank, bytes), before);
            // Of equals, stay: then the first.
            let ranks = std::iter::once(rank).chain(0..problem.ranks());
            let (cost, before) =
                ranks.map(behind).reduce(|a, b| if b.0 < a.0 { b } else { a }).expect("one rank at least");
            (cost + prices.work(*task, rank), before)
        };
        let (costs, befores) = (0..problem.ranks()).map(step).unzip();
        best = costs;
        from.push(befores);
    }
    let last = (0..best.len()).min_by(|a, b| best[*a].total_cmp(&best[*b])).expect("one rank at least");
    if !best[last].is_finite() {
        return Err(nowhere(judge, "chain"));
    }
    let mut ranks = vec![last; order.len()];
    for (at, task) in order.iter().enumerate().rev().skip(1) {
        ranks[*task] = from[at][ranks[order[at + 1]]];
    }
    Ok(Plan::in_order(problem, ranks))
}

/// Why not even a sum of prices is finite: a task that may run nowhere, that fits nowhere, or links that are down.
pub fn nowhere(judge: &Judge, method: &'static str) -> PlacementError {
    let problem = judge.problem;
    for (task, it) in problem.graph.tasks().iter().enumerate() {
        match simple::allowed(problem, task) {
            Err(error) => return error,
            Ok(ranks) => {
                let most = Bytes(ranks.into_iter().map(|rank| problem.memory[rank].0).max().unwrap_or(0));
                if most.0 < it.memory.0 {
                    return PlacementError::NoRoom { task: it.name.clone(), bytes: it.memory, most };
                }
            }
        }
    }
    PlacementError::Needs { method, lacks: "links that are up between the ranks that tasks are pinned to".into() }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Shape, every_placement};
    use super::super::{Objective, TaskGraph};
    use super::*;

    /// The smallest score of all placements, each simulated: the ports, the header and the idling ranks among it.
    #[test]
    fn no_placement_of_a_thousand_chains_is_better() {
        let objectives = [Objective::Time, Objective::Energy, Objective::Weighted { alpha: 0.3 }, Objective::Price];
        for seed in 0..1000 {
            let shape = Shape { tasks: 2 + seed as usize % 4, ranks: 2 + seed as usize % 2, ..Shape::default() };
            let shape = Shape { pinned: seed % 5 == 0, contended: seed % 3 > 0, ..shape };
            let graph = shape.chain(seed);
            let mut problem = shape.problem(&graph, seed);
            problem.idle = seed % 7 > 2;
            let judge = Judge::new(&problem, objectives[seed as usize % 4], Default::default());
            let plan = chain(&judge).unwrap();
            let (found, sum) = (judge.judge(&plan), Additive::new(&judge).plan(&plan.rank));
            assert!((found.score - sum).abs() <= 1e-9 * sum, "seed {seed}: {} {sum}", found.score);
            let scores = every_placement(&problem).map(|rank| judge.judge(&Plan::in_order(&problem, rank)).score);
            let least = scores.fold(f64::INFINITY, f64::min);
            assert!((found.score - least).abs() <= 1e-9 * least, "seed {seed}: {} {least}", found.score);
        }
    }

    #[test]
    fn what_is_no_chain_is_refused() {
        let shape = Shape { tasks: 3, ranks: 2, ..Shape::default() };
        let tasks = shape.chain(0).tasks().to_vec();
        let fork = TaskGraph::of_edges("fork", tasks, &[(0, 1, Bytes(1)), (0, 2, Bytes(1))]).unwrap();
        let problem = shape.problem(&fork, 0);
        let judge = Judge::new(&problem, Objective::Time, Default::default());
        let message = chain(&judge).unwrap_err().to_string();
        assert!(message.contains("the policy chain needs a chain, and the graph fork branches"), "{message}");
        let graph = shape.chain(0);
        let mut problem = shape.problem(&graph, 0);
        problem.memory = vec![Bytes(0); 2];
        let judge = Judge::new(&problem, Objective::Time, Default::default());
        assert!(matches!(chain(&judge), Err(PlacementError::NoRoom { .. })));
    }
}
