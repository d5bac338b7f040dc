//! By hand.

use super::*;
use crate::plan::placement::{Problem, Task, TaskGraph};

fn diamond() -> TaskGraph {
    let task = |name: &str, flops| Task { name: name.into(), flops: Flops(flops), memory: Bytes(1) };
    let tasks = vec![task("a", 2), task("b", 4), task("c", 6), task("d", 2)];
    let edges = [(0, 1, 10), (0, 2, 10), (1, 3, 5), (2, 3, 5)].map(|(from, to, bytes)| (from, to, Bytes(bytes)));
    TaskGraph::of_edges("diamond", tasks, &edges).unwrap()
}

/// Two ranks of speed 1 and 2 and a link of 10 B/s: a, c, d on rank 0 and b on rank 1.
///
/// a runs from 0 to 2; its tensor for b is there at 3, b takes until 5, its own is there at 5.5; c runs from 2 to 8, so d
/// from 8 to 10.
#[test]
fn a_join_waits_for_its_last_input() {
    let graph = diamond();
    let speeds = [1.0, 2.0];
    let time = |task: &Task| speeds.map(|speed| Seconds(task.flops.0 as f64 / speed)).to_vec();
    let mut problem = Problem::textbook(&graph, graph.tasks().iter().map(time).collect());
    problem.between.iter_mut().flatten().for_each(|between| between.bytes_per_s = 10.0);
    let plan = Plan::in_order(&problem, vec![0, 1, 0, 0]);
    let comes = problem.comes(&plan);
    assert_eq!(comes.time, Seconds(10.0));
    let mut ranks = FixedRanks::new(&problem);
    let requests = [Seconds(0.0), Seconds(1.0)].map(|arrival| Request { source: 0, arrival });
    let scene = Scene { graph: &graph, requests: &requests, queue: 2, header: Bytes(0) };
    let script = simulate(&scene, &mut ranks, &mut vec![plan], &mut |_, _| 0);
    // The second one's a waits for the first one's c and d: rank 0 serves the older request.
    let order: Vec<(usize, usize)> = script.acts[0].iter().map(|act| (act.request, act.task)).collect();
    assert_eq!(order, [(0, 0), (0, 2), (0, 3), (1, 0), (1, 2), (1, 3)]);
    assert_eq!(script.answers.iter().map(|answer| answer.end.0).collect::<Vec<_>>(), [10.0, 20.0]);
    assert_eq!(script.messages.len(), 4);
}
