//! The best of all methods, and the smallest limits that can be kept, beside brute force.

use super::super::testing::{Shape, every_placement};
use super::super::{Judge, Objective};
use super::*;
use crate::device::Tier;

const TIERS: [Option<Tier>; 3] = [Some(Tier::Device), Some(Tier::Edge), Some(Tier::Cloud)];

fn ask<'a>(problem: &'a Problem<'a>, objective: Objective, limits: Limits, evaluations: usize) -> Ask<'a> {
    Ask { judge: Judge::new(problem, objective, limits), tiers: &TIERS, seed: 5, evaluations }
}

#[test]
fn it_is_never_worse_than_any_method() {
    let objectives = [Objective::Time, Objective::Energy, Objective::Weighted { alpha: 0.5 }];
    for seed in 0..30 {
        let shape = Shape { tasks: 4 + seed as usize % 9, ranks: 3, pinned: true, contended: true };
        let graph = if seed % 4 == 0 { shape.chain(seed) } else { shape.dag(seed) };
        let problem = shape.problem(&graph, seed);
        let ask = ask(&problem, objectives[seed as usize % 3], Limits::default(), 150);
        let found = auto(&ask, &mut || true).unwrap();
        assert_eq!(ask.judge.judge(&found.plan), found.judged);
        let names = METHODS.iter().map(|(name, _)| *name).chain([REFINED]);
        assert!(found.rows.iter().map(|row| row.method).eq(names), "{:?}", found.rows);
        for (name, _) in METHODS {
            let row = found.rows.iter().find(|row| row.method == *name).unwrap();
            match by_name(name, &ask, &mut || true) {
                Ok(single) => {
                    assert!(!single.judged.better(&found.judged), "seed {seed}: {name}");
                    assert_eq!(row.outcome, Ok(single.judged), "seed {seed}: {name}");
                }
                Err(error) => assert_eq!(row.outcome, Err(error)),
            }
        }
        let winner = found.rows.iter().find(|row| row.method == found.method).unwrap();
        assert_eq!(winner.outcome, Ok(found.judged), "seed {seed}: {}", found.method);
    }
}

#[test]
fn without_time_there_is_still_a_plan() {
    let shape = Shape { tasks: 9, ranks: 3, pinned: true, contended: true };
    let graph = shape.dag(1);
    let problem = shape.problem(&graph, 1);
    let found = auto(&ask(&problem, Objective::Time, Limits::default(), 1000), &mut || false).unwrap();
    assert_eq!((found.method, found.rows.len()), ("local", 1));
}

/// The best plan, and then a rank is lost: a plan for that is as good as a new one, and while nothing changes
/// the old one is not left for a worse.
#[test]
fn a_new_plan_is_no_worse_than_the_one_so_far() {
    for seed in 0..10 {
        let shape = Shape { tasks: 8, ranks: 3, pinned: true, contended: true };
        let graph = shape.dag(seed);
        let mut problem = shape.problem(&graph, seed);
        let before = auto(&ask(&problem, Objective::Time, Limits::default(), 300), &mut || true).unwrap();
        let hasty = replan(&ask(&problem, Objective::Time, Limits::default(), 1), Some(&before.plan), &mut || false);
        let hasty = hasty.unwrap();
        assert_eq!((hasty.plan, hasty.method, hasty.rows.len()), (before.plan.clone(), SO_FAR, 1));
        problem.time.iter_mut().for_each(|row| row[2].0 = f64::INFINITY);
        let ask = ask(&problem, Objective::Time, Limits::default(), 300);
        let after = replan(&ask, Some(&before.plan), &mut || true).unwrap();
        assert!(!after.plan.rank.contains(&2) && after.judged.keeps());
        assert!(!auto(&ask, &mut || true).unwrap().judged.better(&after.judged), "seed {seed}");
    }
}

#[test]
fn unknown_names_are_told_the_known_ones() {
    let shape = Shape { tasks: 2, ranks: 1, ..Shape::default() };
    let graph = shape.dag(1);
    let problem = shape.problem(&graph, 1);
    let ask = ask(&problem, Objective::Time, Limits::default(), 1);
    let message = by_name("hefty", &ask, &mut || true).unwrap_err().to_string();
    assert!(message.starts_with("no policy is named 'hefty': choose one of local, edge, "), "{message}");
    assert!(message.ends_with(", auto"), "{message}");
}

/// Every way to give five tasks to three ranks, in every order that respects the graph: the smallest price, time and
/// energy of them; the limit at it can be kept, a little less cannot, and what is said then is it.
#[test]
fn the_smallest_limit_that_works_is_that_of_brute_force() {
    for seed in 0..12 {
        let shape = Shape { tasks: 5, ranks: 3, pinned: seed % 2 == 0, contended: true };
        let graph = shape.dag(seed);
        let problem = shape.problem(&graph, seed);
        let all =
            || every_placement(&problem).flat_map(|rank| orders(&problem, &rank)).map(|plan| problem.comes(&plan));
        for limit in Limit::ALL {
            let least = all().map(|comes| limit.of(&comes)).fold(f64::INFINITY, f64::min);
            let at = |value: f64| {
                let limits = Limits::default().with(limit, value);
                auto(&ask(&problem, Objective::Weighted { alpha: 0.5 }, limits, 400), &mut || true)
            };
            match at(least * 0.99) {
                Err(PlacementError::Budget { limit: name, given, least: said }) => {
                    assert_eq!((name, given), (limit.name(), least * 0.99));
                    assert!((said - least).abs() <= 1e-9 * least, "seed {seed} {limit:?}: {said} {least}");
                    let found = at(said).unwrap();
                    assert!(found.judged.keeps() && limit.of(&found.judged.comes) <= said);
                }
                other => panic!("seed {seed} {limit:?}: {other:?}"),
            }
        }
    }
}

/// The second of two limits is said with the first one kept.
#[test]
fn of_two_limits_the_second_is_judged_beside_the_first() {
    let (mut refused, mut kept) = (0, 0);
    for seed in 0..12 {
        let shape = Shape { tasks: 4, ranks: 3, pinned: true, contended: true };
        let graph = shape.dag(seed);
        let problem = shape.problem(&graph, seed);
        let all: Vec<_> = every_placement(&problem)
            .flat_map(|rank| orders(&problem, &rank))
            .map(|plan| problem.comes(&plan))
            .collect();
        let cheapest = all.iter().map(|comes| comes.price).fold(f64::INFINITY, f64::min);
        let fastest = all.iter().map(|comes| comes.time.0).fold(f64::INFINITY, f64::min);
        let budget = cheapest * 1.05;
        let least = all.iter().filter(|comes| comes.price <= budget).map(|comes| comes.time.0);
        let least = least.fold(f64::INFINITY, f64::min);
        let limits = Limits::default().with(Limit::Budget, budget).with(Limit::Deadline, fastest);
        match auto(&ask(&problem, Objective::Energy, limits, 400), &mut || true) {
            Ok(found) => {
                kept += 1;
                assert!(found.judged.keeps() && least <= fastest * (1.0 + 1e-9), "seed {seed}");
            }
            Err(error) => {
                refused += 1;
                let PlacementError::Budget { limit, least: said, .. } = error else { panic!("{error}") };
                assert_eq!(limit, Limit::Deadline.name());
                assert!((said - least).abs() <= 1e-9 * least, "seed {seed}: {said} {least}");
            }
        }
    }
    assert!(refused > 2 && kept + refused == 12, "{refused} {kept}");
}

/// The tasks' orders that respect the graph.
fn orders(problem: &Problem, rank: &[usize]) -> Vec<Plan> {
    fn extend(problem: &Problem, done: &mut Vec<usize>, rank: &[usize], plans: &mut Vec<Plan>) {
        let graph = problem.graph;
        if done.len() == rank.len() {
            let mut place = vec![0; rank.len()];
            done.iter().enumerate().for_each(|(at, task)| place[*task] = at);
            plans.push(Plan { rank: rank.to_vec(), place });
        }
        for task in 0..rank.len() {
            let ready = graph.predecessors(task).all(|(before, _)| done.contains(&before));
            if ready && !done.contains(&task) {
                done.push(task);
                extend(problem, done, rank, plans);
                done.pop();
            }
        }
    }
    let mut plans = Vec::new();
    extend(problem, &mut Vec::new(), rank, &mut plans);
    plans
}

#[test]
fn memory_that_is_too_small_is_named() {
    let shape = Shape { tasks: 4, ranks: 2, ..Shape::default() };
    let graph = shape.dag(4);
    let mut problem = shape.problem(&graph, 4);
    let needs: Vec<u64> = graph.tasks().iter().map(|task| task.memory.0).collect();
    let whole: u64 = needs.iter().sum();
    problem.memory = vec![Bytes(needs.iter().copied().max().unwrap()), Bytes(0)];
    for limits in [Limits::default(), Limits::default().with(Limit::Budget, 1e9)] {
        let error = auto(&ask(&problem, Objective::Time, limits, 200), &mut || true).unwrap_err();
        let PlacementError::NoRoom { bytes, most, .. } = error else { panic!("{error}") };
        assert!(most.0 < bytes.0);
    }
    problem.memory = vec![Bytes(whole), Bytes(0)];
    assert_eq!(
        auto(&ask(&problem, Objective::Time, Limits::default(), 200), &mut || true).unwrap().plan.rank,
        [0; 4],
        "what fits, fits"
    );
    problem.time[2] = vec![crate::units::Seconds(f64::INFINITY); 2];
    let error = auto(&ask(&problem, Objective::Time, Limits::default(), 200), &mut || true).unwrap_err();
    assert!(matches!(error, PlacementError::NoRank { .. }), "{error}");
}
