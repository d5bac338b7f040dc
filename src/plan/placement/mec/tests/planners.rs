//! The planners on random instances.

use super::super::hermes::on_tree;
use super::super::table::Table;
use super::*;

/// The earliest finish of all placements within a budget, with or without the constraint on the utility.
fn brute_force(instance: &Instance, mec: &Mec, budget: f64, utility: bool) -> f64 {
    let edges = (0..mec.edge_prices.len()).map(Place::Edge);
    let all: Vec<Place> = [Place::Local, Place::Cloud].into_iter().chain(edges).collect();
    let tasks = instance.tasks() as u32;
    let digit = |code: usize, task| all[code / all.len().pow(task) % all.len()];
    let placements = (0..all.len().pow(tasks)).map(|code| (0..tasks).map(|task| digit(code, task)).collect::<Vec<_>>());
    let figures = placements.map(|places| evaluate(instance, mec, &places));
    let plans = figures.filter(|it| it.meets_budget(budget) && (!utility || it.meets_utility()));
    plans.map(|figures| figures.finish.0).fold(f64::INFINITY, f64::min)
}

#[test]
fn repairs_end_and_leave_the_edge_servers_no_loss() {
    let mut missed = 0;
    for case in 0..1_000 {
        let draws = &mut Draws::new(1, case);
        let (instance, mec) = (draws.instance(40), draws.mec(4));
        let budget = draws.budget(&instance, &mec);
        for places in [sep(&instance, &mec, budget), gcc(&instance, &mec, budget)] {
            let figures = evaluate(&instance, &mec, &places);
            assert!(figures.meets_utility(), "case {case}: {figures:?}");
            missed += u32::from(!figures.meets_budget(budget));
        }
        let mut load = vec![0.0; mec.edge_prices.len()];
        for (task, place) in gcc(&instance, &mec, budget).into_iter().enumerate() {
            if let Place::Edge(server) = place {
                load[server] += instance.work()[task];
            }
        }
        assert!(load.iter().all(|load| *load <= mec.max_workload + 1e-9), "case {case}: {load:?}");
    }
    // The repair of the utility may cost what that of the budget saved, where the edge is dearer than the cloud.
    assert!(missed < 20, "{missed}");
}

#[test]
fn ours_is_never_worse_than_a_baseline_that_is_a_plan() {
    let effort = Effort { steps: 200, walks: 1, branches: 500, labels: 20, epsilon: 0.2, seed: 0 };
    let (mut plans, mut won) = (0, 0);
    for case in 0..1_000 {
        let draws = &mut Draws::new(2, case);
        let (instance, mec) = (draws.instance(12), draws.mec(4));
        let budget = draws.budget(&instance, &mec);
        let ours = auto(&instance, &mec, budget, &effort).unwrap();
        assert!(ours.figures.feasible(budget) && ours.figures == evaluate(&instance, &mec, &ours.places));
        let baselines = [
            sep(&instance, &mec, budget),
            gcc(&instance, &mec, budget),
            hermes(&instance, &mec, budget, effort.epsilon),
        ];
        for places in baselines {
            let theirs = evaluate(&instance, &mec, &places);
            if theirs.feasible(budget) {
                plans += 1;
                won += u32::from(ours.figures.finish.0 < theirs.finish.0 * 0.999);
                assert!(ours.figures.finish.0 <= theirs.finish.0, "case {case}: {ours:?} {theirs:?}");
            }
        }
    }
    assert!(plans > 2_900 && won > 1_000, "{won} of {plans}");
}

#[test]
fn the_optimum_is_that_of_brute_force() {
    let thorough = Effort { epsilon: 0.2, ..Effort::default() };
    // Whatever can be proved by labels has to be.
    let by_labels = Effort { steps: 0, walks: 0, branches: 0, ..thorough };
    for case in 0..400 {
        let draws = &mut Draws::new(3, case);
        let mec = draws.mec(3);
        let instance = draws.instance(8 - mec.edge_prices.len() * 5 / 4);
        let budget = draws.budget(&instance, &mec);
        let least = brute_force(&instance, &mec, budget, true);
        let ours = [thorough, by_labels].map(|effort| auto_from(&instance, &mec, budget, &effort, &[]));
        for answer in ours.into_iter().chain([optimum(&instance, &mec, budget, 1_000_000)]) {
            let answer = answer.unwrap();
            assert!(answer.exact, "case {case}");
            assert!((answer.figures.finish.0 - least).abs() <= 1e-9 * least, "case {case}: {least}, {answer:?}");
        }
    }
}

/// On serial trees and without the constraint on the utility; with it nothing is promised.
#[test]
fn hermes_is_within_epsilon_of_the_least_on_trees() {
    let mut beside = 0;
    for case in 0..300 {
        let draws = &mut Draws::new(4, case);
        let mec = draws.mec(2);
        let instance = draws.tree(if mec.edge_prices.len() == 1 { 7 } else { 6 });
        let budget = draws.budget(&instance, &mec);
        let least = brute_force(&instance, &mec, budget, false);
        let table = Table::new(&instance, &mec);
        for epsilon in [0.05, 0.5, 1.0] {
            let places = on_tree(&table, &[budget], epsilon).remove(0);
            let figures = evaluate(&instance, &mec, &places);
            assert!(figures.meets_budget(budget), "case {case}");
            assert!(figures.finish.0 <= least * (1.0 + epsilon) + 1e-12, "case {case}: {figures:?}, least {least}");
            beside += u32::from(figures.finish.0 > least * (1.0 + 1e-9));
        }
    }
    assert!(beside > 0, "an epsilon of 1 shows somewhere");
}

#[test]
fn one_programme_for_several_budgets_is_several_programmes() {
    let draws = &mut Draws::new(5, 0);
    let (instance, mec) = (draws.instance(12), draws.mec(4));
    let budgets = [0.05, 0.2, 0.4, 0.9].map(|part| Budget::OfCloud(part).amount(&instance, &mec));
    let apart: Vec<_> = budgets.iter().map(|budget| hermes(&instance, &mec, *budget, 0.1)).collect();
    assert_eq!(hermes_for_all(&instance, &mec, &budgets, 0.1), apart);
}

#[test]
fn what_is_on_the_device_stays_there() {
    use crate::plan::placement::{Task, TaskGraph};
    use crate::units::{Bytes, Flops};
    let task = |(id, flops): (usize, u64)| Task { name: format!("t{id}"), flops: Flops(flops), memory: Bytes(0) };
    let tasks = [0, 4_000_000_000, 3_000_000_000, 0].into_iter().enumerate().map(task).collect();
    let edges = [(0, 1, Bytes(500_000)), (1, 2, Bytes(250_000)), (2, 3, Bytes(500))];
    let instance = Instance::of_graph(&TaskGraph::of_edges("toy", tasks, &edges).unwrap());
    let mec = Mec::cooperating();
    let plans = [
        sep(&instance, &mec, 50.0),
        gcc(&instance, &mec, 50.0),
        hermes(&instance, &mec, 50.0, EPSILON),
        optimum(&instance, &mec, 50.0, 1_000).unwrap().places,
        auto(&instance, &mec, 50.0, &Effort::default()).unwrap().places,
    ];
    for places in plans {
        assert_eq!((places[0], places[3]), (Place::Local, Place::Local), "{places:?}");
        assert_ne!(places[1], Place::Local, "{places:?}");
        // The picture's 4 megabits are uploaded before anything.
        let finish = evaluate(&instance, &mec, &places).finish.0;
        assert!(finish > 4.0 / mec.upload_rate() + 7.0 / 5.0, "{finish}");
    }
}
