//! What plans are worth, by hand.

use super::super::testing::Shape;
use super::super::{Task, TaskGraph};
use super::*;
use crate::device::Power;
use crate::units::{Bytes, Flops, Watts};

/// Two tasks of 2 s on rank 0 and 1 s on rank 1, 8 B between them at 8 B/s; 4 W and 8 W while computing, 0 W otherwise;
/// 1 and 3 a second.
fn pair() -> TaskGraph {
    let task = |name: &str| Task { name: name.into(), flops: Flops(2), memory: Bytes(10) };
    TaskGraph::of_edges("pair", vec![task("a"), task("b")], &[(0, 1, Bytes(8))]).unwrap()
}

fn problem(graph: &TaskGraph) -> Problem<'_> {
    let mut problem = Problem::textbook(graph, vec![vec![Seconds(2.0), Seconds(1.0)]; 2]);
    problem.between.iter_mut().flatten().for_each(|between| between.bytes_per_s = 8.0);
    problem.power = [4.0, 8.0].map(|watts| Power { compute: Watts(watts), ..Power::default() }).to_vec();
    problem.price_per_s = vec![1.0, 3.0];
    problem.memory = vec![Bytes(100), Bytes(10)];
    problem.pinned[0] = Some(0);
    problem
}

#[test]
fn scores_and_violations_by_hand() {
    let graph = pair();
    let problem = problem(&graph);
    let limits = Limits { budget: Some(4.0), deadline: Some(Seconds(2.0)), energy: Some(Joules(8.0)) };
    // All on rank 0: 4 s, 16 J, 4. Second on rank 1: 2 + 1 + 1 = 4 s, 8 + 8 = 16 J, 2 + 3 = 5.
    for (objective, rank, score, violation) in [
        (Objective::Time, [0, 0], 4.0, 1.0 + 1.0),
        (Objective::Time, [0, 1], 4.0, 0.25 + 1.0 + 1.0),
        (Objective::Energy, [0, 1], 16.0, 2.25),
        (Objective::Price, [0, 1], 5.0, 2.25),
        (Objective::Weighted { alpha: 0.25 }, [0, 0], 1.0, 2.0),
    ] {
        let judge = Judge::new(&problem, objective, limits);
        let judged = judge.judge(&Plan::in_order(&problem, rank.to_vec()));
        assert_eq!((judged.score, judged.violation), (score, violation), "{objective:?} {rank:?}");
        assert!(!judged.keeps());
    }
}

#[test]
fn what_may_not_be_is_worst_of_all() {
    let graph = pair();
    let mut problem = problem(&graph);
    let judge = Judge::new(&problem, Objective::Time, Limits::default());
    let pinned_away = judge.judge(&Plan::in_order(&problem, vec![1, 0]));
    assert_eq!(pinned_away.violation, f64::INFINITY);
    assert!(judge.judge(&Plan::in_order(&problem, vec![0, 0])).better(&pinned_away));
    problem.between[0][1].bytes_per_s = 0.0;
    problem.memory[0] = Bytes(16);
    let judge = Judge::new(&problem, Objective::Energy, Limits::default());
    assert_eq!(judge.judge(&Plan::in_order(&problem, vec![0, 1])).violation, f64::INFINITY, "the link is down");
    assert_eq!(judge.judge(&Plan::in_order(&problem, vec![0, 0])).violation, 0.25, "20 bytes in 16");
}

#[test]
fn nothing_and_for_ever_are_no_norms() {
    let shape = Shape { tasks: 3, ranks: 2, ..Shape::default() };
    let graph = shape.chain(1);
    let mut problem = shape.problem(&graph, 1);
    problem.power = vec![Power::default(); 2];
    let judge = Judge::new(&problem, Objective::Weighted { alpha: 0.5 }, Limits::default());
    let local = simple::local(&problem).unwrap();
    assert_eq!(judge.judge(&local).score, 0.5, "there is no energy to weigh");
}
