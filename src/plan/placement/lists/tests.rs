//! List schedulers against the published example, and against what any schedule has to keep on random graphs.

use super::ranks::Means;
use super::*;
use crate::plan::placement::random::{Case, Draws, by_ranks};
use crate::plan::placement::{Task, TaskGraph, exact, lower_bound};
use crate::units::{Bytes, Flops, Seconds};
use serde_json::Value;

const ORACLE: &str = include_str!("../../../../tests/oracles/dag_topcuoglu10.json");

type Method = fn(&Problem) -> Result<Schedule, PlacementError>;
const METHODS: [(&str, Method); 3] = [("heft", heft), ("cpop", cpop), ("peft", peft)];

/// The published example: its figures, graph and times.
fn published() -> (Value, TaskGraph, Vec<Vec<Seconds>>) {
    let oracle: Value = serde_json::from_str(ORACLE).unwrap();
    let numbers = |list: &Value| list.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect::<Vec<_>>();
    let lists = |name: &str| oracle[name].as_array().unwrap().iter().map(numbers).collect::<Vec<_>>();
    let time: Vec<Vec<_>> =
        lists("cost").iter().map(|row| row.iter().map(|cost| Seconds(*cost as f64)).collect()).collect();
    let edge = |edge: &Vec<u64>| (edge[0] as usize - 1, edge[1] as usize - 1, Bytes(edge[2]));
    let edges: Vec<_> = lists("edges").iter().map(edge).collect();
    let task = |i: usize| Task { name: format!("{}", i + 1), flops: Flops(1), memory: Bytes(1) };
    let graph = TaskGraph::of_edges("topcuoglu-10", (0..time.len()).map(task).collect(), &edges).unwrap();
    (oracle["results"].clone(), graph, time)
}

#[test]
fn the_published_example_comes_to_the_published_figures() {
    let (results, graph, time) = published();
    let problem = Problem::textbook(&graph, time);
    let upward = Means::of(&problem).upward();
    for (rank, published) in upward.iter().zip(results["rank_u"].as_array().unwrap()) {
        assert!((rank - published.as_f64().unwrap()).abs() < 5e-5, "{rank} and {published}");
    }
    for (name, method) in METHODS {
        let schedule = method(&problem).unwrap();
        schedule.check(&problem).unwrap();
        assert_eq!(Some(schedule.makespan().0), results[format!("{name}_makespan")].as_f64(), "{name}");
    }
    let best = exact(&problem, None).unwrap();
    best.schedule.check(&problem).unwrap();
    assert!(best.proven);
    assert_eq!(Some(best.schedule.makespan().0), results["optimum_makespan"].as_f64());
    assert!(lower_bound(&problem).unwrap().0 <= 73.0);
    // What the paper says of the critical path: tasks 1, 2, 9 and 10, on its second processor.
    let cpop = cpop(&problem).unwrap();
    assert!([0, 1, 8, 9].iter().all(|task| cpop.slots[*task].rank == 1), "{cpop:?}");
}

#[test]
fn the_published_best_schedule_is_one() {
    let (results, graph, time) = published();
    let problem = Problem::textbook(&graph, time);
    let slot = |task: usize| {
        let [rank, start, end] = [0, 1, 2].map(|i| results["optimum_schedule"][(task + 1).to_string()][i].as_f64());
        Slot { rank: rank.unwrap() as usize - 1, start: Seconds(start.unwrap()), end: Seconds(end.unwrap()) }
    };
    let schedule = Schedule { slots: (0..10).map(slot).collect() };
    schedule.check(&problem).unwrap();
    assert_eq!(schedule.makespan().0, 73.0);
}

#[test]
fn alone_a_rank_takes_the_sum_of_all() {
    let (results, graph, time) = published();
    for (rank, serial) in results["serial_makespan_per_processor"].as_array().unwrap().iter().enumerate() {
        let problem = Problem { pinned: vec![Some(rank); 10], ..Problem::textbook(&graph, time.clone()) };
        for (name, method) in METHODS {
            assert_eq!(Some(method(&problem).unwrap().makespan().0), serial.as_f64(), "{name} on {rank}");
        }
        assert_eq!(Some(exact(&problem, None).unwrap().schedule.makespan().0), serial.as_f64());
        assert_eq!(Some(lower_bound(&problem).unwrap().0), serial.as_f64());
    }
}

#[test]
fn downward_and_upward_rank_agree_on_the_longest_way() {
    for number in 0..100 {
        let case = Case::random(&mut Draws::new(100 + number), 3..10, 2..5);
        let problem = case.problem();
        let means = Means::of(&problem);
        let through: Vec<f64> = means.upward().iter().zip(means.downward()).map(|(up, down)| up + down).collect();
        let [longest, longest_up] = [&through, &means.upward()].map(|list| list.iter().copied().fold(0.0, f64::max));
        assert!((longest - longest_up).abs() < 1e-9, "{longest} and {longest_up}");
    }
}

#[test]
fn the_optimistic_table_is_its_definition() {
    for number in 0..100 {
        let case = Case::random(&mut Draws::new(200 + number), 3..10, 2..5);
        let problem = case.problem();
        let (table, ranks) = (Means::of(&problem).optimistic(), problem.ranks());
        for (task, row) in table.iter().enumerate() {
            for (rank, found) in row.iter().enumerate() {
                let mut expected = 0.0f64;
                for (next, bytes) in problem.graph.successors(task) {
                    // All links of a random case are alike.
                    let message = |to: usize| if to == rank { 0.0 } else { problem.message(0, 1, bytes).0 };
                    let allowed = (0..ranks).filter(|to| problem.allows(next, *to));
                    let cost = allowed.map(|to| table[next][to] + problem.time[next][to].0 + message(to));
                    expected = expected.max(cost.fold(f64::INFINITY, f64::min));
                }
                assert!((found - expected).abs() < 1e-9, "task {task} on {rank}: {found}, not {expected}");
            }
        }
    }
}

#[test]
fn pins_and_memory_are_kept() {
    let mut refused = 0;
    for number in 0..500 {
        let mut draws = Draws::new(1000 + number);
        let mut case = Case::random(&mut draws, 3..10, 2..5);
        case.restrict(&mut draws);
        let problem = case.problem();
        let best = exact(&problem, None);
        for (name, method) in METHODS {
            let schedule = match method(&problem) {
                Ok(schedule) => schedule,
                Err(PlacementError::NoRoom { bytes, most, .. }) if bytes.0 > most.0 => {
                    refused += 1;
                    continue;
                }
                Err(error) => panic!("{name}: {error}"),
            };
            schedule.check(&problem).unwrap();
            assert_eq!(schedule.plan().overflow(&problem).1, Bytes(0), "{name}, case {number}");
            let best = best.as_ref().unwrap().schedule.makespan();
            assert!(best.0 <= schedule.makespan().0, "{name}, case {number}: {best}");
        }
        if let Ok(best) = best {
            best.schedule.check(&problem).unwrap();
            assert_eq!(best.schedule.plan().overflow(&problem).1, Bytes(0));
        }
    }
    assert!(refused < 300, "{refused} of 1,500 found no room");
}

#[test]
fn tasks_that_the_order_leaves_no_room_get_theirs_first() {
    let task = |(i, memory): (usize, &u64)| Task { name: format!("t{i}"), flops: Flops(1), memory: Bytes(*memory) };
    let tasks = [1, 1, 3].iter().enumerate().map(task).collect();
    let graph = TaskGraph::of_edges("join", tasks, &[(0, 2, Bytes(1)), (1, 2, Bytes(1))]).unwrap();
    // Apart the first two are fastest, and then the third fits nowhere.
    let time = by_ranks(&[&[1.0, 9.0], &[9.0, 1.0], &[1.0, 1.0]]);
    let problem = Problem { memory: vec![Bytes(3); 2], ..Problem::textbook(&graph, time) };
    for (name, method) in METHODS {
        let plan = method(&problem).unwrap().plan();
        assert!(plan.rank[0] == plan.rank[1] && plan.rank[0] != plan.rank[2], "{name}: {plan:?}");
    }
    let problem = Problem { memory: vec![Bytes(2); 2], ..problem };
    for (_, method) in METHODS {
        let error = method(&problem).unwrap_err();
        assert_eq!(error, PlacementError::NoRoom { task: "t2".into(), bytes: Bytes(3), most: Bytes(2) });
    }
}

#[test]
fn a_task_that_may_run_nowhere_is_named() {
    let task = |name: &str| Task { name: name.into(), flops: Flops(1), memory: Bytes(1) };
    let graph = TaskGraph::of_edges("pair", vec![task("a"), task("b")], &[(0, 1, Bytes(1))]).unwrap();
    let nowhere = Problem::textbook(&graph, by_ranks(&[&[1.0, 1.0], &[f64::INFINITY; 2]]));
    let mut cut_off = Problem::textbook(&graph, by_ranks(&[&[1.0, 1.0], &[1.0, 1.0]]));
    cut_off.pinned = vec![Some(0), Some(1)];
    cut_off.between[0][1].bytes_per_s = 0.0;
    for problem in [nowhere, cut_off] {
        let expected = PlacementError::NoRank { task: "b".into() };
        for (name, method) in METHODS {
            assert_eq!(method(&problem).unwrap_err(), expected, "{name}");
        }
        assert_eq!(exact(&problem, None).unwrap_err(), expected);
    }
}

#[test]
fn gaps_are_used_and_ties_go_to_the_first() {
    assert_eq!(keys(&[80.0, 80.000_000_000_000_01, 79.0])[0], keys(&[80.0, 80.000_000_000_000_01, 79.0])[1]);
    assert_eq!(keys(&[0.0, 0.0]), [0, 0]);
    let (_, graph, time) = published();
    let same = vec![vec![Seconds(1.0); 3]; time.len()];
    let problem = Problem::textbook(&graph, same);
    assert_eq!(heft(&problem).unwrap().slots[0].rank, 0);
    // The last of the list, and it fits before the third, which waits for the other rank.
    let task = |i: usize| Task { name: format!("t{i}"), flops: Flops(1), memory: Bytes(1) };
    let edges = [(0, 1, Bytes(1)), (1, 2, Bytes(1)), (0, 3, Bytes(0))];
    let graph = TaskGraph::of_edges("gap", (0..4).map(task).collect(), &edges).unwrap();
    for (takes, start) in [(1.5, 1.0), (7.0, 1.0), (7.5, 10.0)] {
        let time = by_ranks(&[&[1.0, 1.0], &[5.0, 5.0], &[2.0, 2.0], &[takes; 2]]);
        let problem = Problem { pinned: vec![Some(0), Some(1), Some(0), Some(0)], ..Problem::textbook(&graph, time) };
        let slots = list(&problem, &[4.0, 3.0, 2.0, 1.0], |_, slot| slot.end.0).unwrap().slots;
        assert_eq!((slots[2].start.0, slots[3].start.0), (8.0, start), "{takes}");
    }
}

/// The time of HEFT on 1,000 tasks and 16 ranks.
fn large() -> std::time::Duration {
    let case = Case::random(&mut Draws::new(7), 1000..1001, 16..17);
    let problem = case.problem();
    let begun = std::time::Instant::now();
    let schedule = heft(&problem).unwrap();
    let took = begun.elapsed();
    schedule.check(&problem).unwrap();
    took
}

#[test]
fn a_thousand_tasks_are_planned_at_once() {
    let took = large();
    assert!(took.as_secs_f64() < 2.0, "{took:?}");
}

#[test]
#[ignore = "a measurement: run it alone, in release, with --nocapture"]
fn how_long_heft_takes() {
    let took = (0..20).map(|_| large()).min();
    println!("HEFT, 1,000 tasks, 16 ranks: {took:?}");
}
