//! The best plan on two ranks: the smallest cut of a graph that has the tasks as nodes.
//!
//! Exact for the sum of what tasks and messages cost, with memory looked at task by task; for time that is one task after
//! the other, so what two ranks do at the same time is a gift. The source's rank is one of the two; every other rank is
//! tried as the second, and the plan is taken that the judge likes best.
//!
//! # References
//! Hu et al., *Dynamic Adaptive DNN Surgery for Inference Acceleration on the Edge*, INFOCOM 2019 (graphs). Kang et al.,
//! *Neurosurgeon: Collaborative Intelligence Between the Cloud and Mobile Edge*, ASPLOS 2017 (chains). Stone,
//! *Multiprocessor Scheduling with the Aid of Network Flow Algorithms*, IEEE TSE 3(1), 1977.

use super::chain::nowhere;
use super::flow::Network;
use super::{Additive, Judge, PlacementError, Plan, TaskGraph, simple};

/// The best of the smallest cuts between the source's rank and each other one.
///
/// # Errors
/// When there is a task that no two such ranks may run.
pub fn min_cut(judge: &Judge) -> Result<Plan, PlacementError> {
    let (problem, prices, source) = (judge.problem, Additive::new(judge), simple::source(judge.problem));
    // A single rank is its own other one.
    let others = (0..problem.ranks()).filter(|rank| *rank != source || problem.ranks() == 1);
    let cuts = others.filter_map(|other| two_sites(problem.graph, &prices, source, other));
    let plans = cuts.map(|ranks| Plan::in_order(problem, ranks)).collect();
    let lacks = || "tasks that the source's rank or one other may run".to_owned();
    simple::best(judge, plans).ok_or_else(|| match nowhere(judge, "min-cut") {
        PlacementError::Needs { method, .. } => PlacementError::Needs { method, lacks: lacks() },
        error => error,
    })
}

/// By task, which of two ranks: none when there is a task that neither may run, or links are down.
///
/// A tensor is paid for once each way that it goes, however many read it there: behind it stands a node for each way,
/// which all its readers there draw to their side.
///
/// # Math
/// cut = Σ work(t, near), t far + Σ work(t, far), t near + Σ message(tensor), from near to any far or from far to any near
pub fn two_sites(graph: &TaskGraph, prices: &Additive, near: usize, far: usize) -> Option<Vec<usize>> {
    let tasks = graph.tasks().len();
    let (source, sink) = (tasks, tasks + 1);
    let mut network = Network::new(tasks + 2);
    // Far is the source's side, and of equal cuts the one with the fewest nodes there is found: in doubt, stay near. The
    // edge that is cut is the one to the other side.
    for task in 0..tasks {
        network.edge(task, sink, prices.work(task, far));
        network.edge(source, task, prices.work(task, near));
    }
    for tensor in graph.tensors() {
        let (out, back) = (network.node(), network.node());
        network.edge(tensor.from, out, prices.message(far, near, tensor.bytes));
        network.edge(back, tensor.from, prices.message(near, far, tensor.bytes));
        for to in &tensor.to {
            network.edge(out, *to, f64::INFINITY);
            network.edge(*to, back, f64::INFINITY);
        }
    }
    let sides = network.smallest_cut(source, sink)?;
    Some(sides[..tasks].iter().map(|is_far| if *is_far { far } else { near }).collect())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Shape, every_placement};
    use super::super::{Objective, Task, Tensor};
    use super::*;
    use crate::units::{Bytes, Flops};

    #[test]
    fn no_placement_on_two_ranks_of_a_thousand_graphs_is_cheaper() {
        for seed in 0..1000 {
            let shape = Shape { tasks: 2 + seed as usize % 9, ranks: 2, pinned: seed % 2 == 0, ..Shape::default() };
            let graph = shape.dag(seed);
            let mut problem = shape.problem(&graph, seed);
            problem.idle = seed % 7 > 2;
            let objective = [Objective::Time, Objective::Energy, Objective::Weighted { alpha: 0.6 }][seed as usize % 3];
            let judge = Judge::new(&problem, objective, Default::default());
            let prices = Additive::new(&judge);
            let cut = two_sites(&graph, &prices, 0, 1).unwrap();
            let least = every_placement(&problem).map(|rank| prices.plan(&rank)).fold(f64::INFINITY, f64::min);
            let found = prices.plan(&cut);
            assert!((found - least).abs() <= 1e-9 * least, "seed {seed}: {found} {least}");
            assert_eq!(min_cut(&judge).unwrap().rank, cut, "there is no other pair");
        }
    }

    /// Three readers behind one tensor: sent once it is worth it, sent three times it would not be.
    #[test]
    fn a_tensor_with_three_readers_is_paid_for_once() {
        let task = |name: &str| Task { name: name.into(), flops: Flops(0), memory: Bytes(0) };
        let tasks = ["in", "a", "b", "c"].map(task).to_vec();
        let tensor = Tensor { from: 0, to: vec![1, 2, 3], bytes: Bytes(6) };
        let graph = TaskGraph::new("fan", tasks, vec![tensor]).unwrap();
        let time = [[0.0, 9.0], [4.0, 1.0], [4.0, 1.0], [4.0, 1.0]].map(|row| row.map(crate::units::Seconds).to_vec());
        let problem = super::super::Problem::textbook(&graph, time.to_vec());
        let judge = Judge::new(&problem, Objective::Time, Default::default());
        // 6 + 3 · 1 against 3 · 4.
        assert_eq!(two_sites(&graph, &Additive::new(&judge), 0, 1), Some(vec![0, 1, 1, 1]));
    }

    #[test]
    fn a_third_ranks_task_is_refused() {
        let shape = Shape { tasks: 4, ranks: 4, ..Shape::default() };
        let graph = shape.dag(3);
        let mut problem = shape.problem(&graph, 3);
        (problem.pinned[1], problem.pinned[2]) = (Some(2), Some(3));
        let judge = Judge::new(&problem, Objective::Time, Default::default());
        let message = min_cut(&judge).unwrap_err().to_string();
        assert!(message.contains("min-cut needs tasks that the source's rank or one other may run"), "{message}");
        problem.pinned = vec![None; 4];
        problem.time[1] = vec![crate::units::Seconds(f64::INFINITY); 4];
        let judge = Judge::new(&problem, Objective::Time, Default::default());
        assert!(matches!(min_cut(&judge), Err(PlacementError::NoRank { .. })));
    }
}
