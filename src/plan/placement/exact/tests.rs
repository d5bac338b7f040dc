//! The search against trying everything, and against what heuristics find.

use super::*;
use crate::plan::placement::lower_bound;
use crate::plan::placement::random::{Case, Draws, by_ranks};
use crate::plan::placement::{Task, TaskGraph};
use crate::units::{Bytes, Flops};

/// The least makespan over all orders and all ranks.
fn tried(problem: &Problem, slots: &mut Vec<Option<Slot>>, free: &mut Vec<f64>) -> f64 {
    let graph = problem.graph;
    if slots.iter().all(Option::is_some) {
        let plan = Schedule { slots: slots.iter().copied().flatten().collect() };
        return if plan.plan().overflow(problem).1 == Bytes(0) { plan.makespan().0 } else { f64::INFINITY };
    }
    let mut least = f64::INFINITY;
    for task in 0..slots.len() {
        if slots[task].is_some() || graph.predecessors(task).any(|(before, _)| slots[before].is_none()) {
            continue;
        }
        for rank in (0..problem.ranks()).filter(|rank| problem.allows(task, *rank)) {
            let arrival = |(before, bytes): (TaskId, Bytes)| {
                slots[before].map_or(0.0, |slot: Slot| slot.end.0 + problem.message(slot.rank, rank, bytes).0)
            };
            let start = graph.predecessors(task).map(arrival).fold(free[rank], f64::max);
            let end = start + problem.time[task][rank].0;
            let before = std::mem::replace(&mut free[rank], end);
            slots[task] = Some(Slot { rank, start: Seconds(start), end: Seconds(end) });
            least = least.min(tried(problem, slots, free));
            slots[task] = None;
            free[rank] = before;
        }
    }
    least
}

#[test]
fn nothing_is_better_of_all_that_there_is() {
    let mut solved = 0;
    for number in 0..600 {
        let mut draws = Draws::new(20_000 + number);
        let mut case = Case::random(&mut draws, 2..6, 2..4);
        if draws.one_in(2) {
            case.restrict(&mut draws);
        }
        let problem = case.problem();
        let least = tried(&problem, &mut vec![None; problem.time.len()], &mut vec![0.0; problem.ranks()]);
        match exact(&problem, None) {
            Ok(found) => {
                solved += 1;
                found.schedule.check(&problem).unwrap();
                assert!(found.proven);
                assert_eq!(found.schedule.makespan().0, least, "case {number}");
            }
            Err(error) => assert!(least.is_infinite(), "case {number}: {error}, and {least} is there"),
        }
    }
    assert!(solved > 400, "{solved}");
}

#[test]
fn bound_exact_and_heuristics_stand_in_this_order() {
    let mut better = 0;
    for number in 0..1000 {
        let case = Case::random(&mut Draws::new(30_000 + number), 3..10, 2..5);
        let problem = case.problem();
        let (bound, best) = (lower_bound(&problem).unwrap(), exact(&problem, None).unwrap());
        best.schedule.check(&problem).unwrap();
        let makespan = best.schedule.makespan();
        assert!(best.proven && bound.0 <= makespan.0 * (1.0 + ROUNDING), "case {number}: {bound} and {makespan}");
        for method in [heft, cpop, peft] {
            let schedule = method(&problem).unwrap();
            schedule.check(&problem).unwrap();
            assert!(makespan.0 <= schedule.makespan().0, "case {number}: {makespan}");
            better += usize::from(makespan.0 < schedule.makespan().0);
        }
    }
    assert!(better > 500, "only {better} of 3,000 heuristic schedules are beaten: these graphs are too easy");
}

#[test]
fn equal_tasks_and_ranks_are_told_by_all_that_counts() {
    let task = |i: usize| Task { name: format!("t{i}"), flops: Flops(1), memory: Bytes(1) };
    let edges = [(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)];
    let edges: Vec<_> = edges.iter().map(|(from, to)| (*from, *to, Bytes(2))).collect();
    let graph = TaskGraph::of_edges("fork", (0..5).map(task).collect(), &edges).unwrap();
    let time = by_ranks(&[&[1.0; 3][..]; 5]);
    let alike = Problem::textbook(&graph, time.clone());
    assert_eq!(twins::tasks(&alike), [None, None, Some(1), Some(2), None]);
    assert_eq!(twins::ranks(&alike), [None, Some(0), Some(1)]);
    let mut other = alike.clone();
    (other.time[2][0], other.between[0][1].bytes_per_s) = (Seconds(2.0), 9.0);
    assert_eq!(twins::tasks(&other), [None, None, None, Some(1), None]);
    assert_eq!(twins::ranks(&other), [None; 3]);
    let pinned = Problem { pinned: vec![Some(2), None, None, None, None], ..alike };
    assert_eq!(twins::ranks(&pinned), [None, Some(0), None]);
}

#[test]
fn a_limit_ends_the_search_with_the_best_so_far() {
    let mut cut = 0;
    for number in 0..20 {
        let case = Case::random(&mut Draws::new(40_000 + number), 20..21, 4..5);
        let problem = case.problem();
        let [few, more] = [3, 300].map(|nodes| exact(&problem, Some(nodes)).unwrap());
        assert!(few.nodes <= 3 && (few.proven || few.nodes == 3), "{few:?}");
        assert!(more.schedule.makespan().0 <= few.schedule.makespan().0);
        assert!(few.schedule.makespan().0 <= heft(&problem).unwrap().makespan().0);
        cut += usize::from(!few.proven);
    }
    assert!(cut >= 5, "only {cut} were cut");
}

#[test]
fn what_is_too_large_is_refused() {
    let case = Case::random(&mut Draws::new(42), 65..66, 2..3);
    let expected = PlacementError::TooLarge { method: "exact", tasks: 65, most: 64 };
    assert_eq!(exact(&case.problem(), None).unwrap_err(), expected);
}
