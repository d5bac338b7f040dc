//! Simulated annealing: a plan is changed at random, and a worse one is kept as long as it is hot.
//!
//! It goes by the judge alone, so by contention, idle energy and limits too, and it changes the order in which ranks take
//! tasks beside the ranks themselves. What limits are broken by costs so much that it is worth no gain.
//!
//! # References
//! Kirkpatrick, Gelatt and Vecchi, *Optimization by Simulated Annealing*, Science 220(4598), 1983.

use super::{Judge, Judged, Plan, Problem, TaskGraph, TaskId, simple};
use crate::rng::{self, Purpose};
use rand_chacha::ChaCha8Rng;

/// The share of the score by which a worse plan is kept in one of e cases, at first and in the end.
const HOT: f64 = 0.2;
const COLD: f64 = 1e-4;

/// What breaking a limit by all of itself costs, in scores of the plan that it begins with.
const PENALTY: f64 = 10.0;

/// Anneals a plan: so many others are tried, as long as there is time.
///
/// `round` tells the draws of one annealing from those of another with the same seed. What comes out is the best of all
/// that was tried, the beginning among it.
pub fn anneal(
    judge: &Judge,
    start: &Plan,
    (seed, round): (u64, u64),
    evaluations: usize,
    still: &mut dyn FnMut() -> bool,
) -> (Plan, Judged) {
    let first = judge.judge(start);
    let scale = if first.score.is_finite() && first.score > 0.0 { first.score } else { 1.0 };
    // The weight of a violation is finite where the violation is: what is not allowed is never proposed.
    let cost = |judged: &Judged| judged.score / scale + PENALTY * judged.violation;
    let moves = Moves::new(judge.problem);
    let mut best = (start.clone(), first);
    let (mut plan, mut here) = (start.clone(), cost(&first));
    for step in 0..evaluations {
        if !still() {
            break;
        }
        let mut draws = rng::stream(seed, Purpose::Placement, 1 + round, step as u64);
        let Some(next) = moves.draw(&plan, &mut draws) else { break };
        let judged = judge.judge(&next);
        let heat = HOT * (COLD / HOT).powf(step as f64 / evaluations as f64);
        let there = cost(&judged);
        // From an endless plan any way is down; `exp` of a number that is none is never above a draw.
        if there <= here || ((here - there) / heat).exp() > rng::unit(&mut draws) {
            if judged.better(&best.1) {
                best = (next.clone(), judged);
            }
            (plan, here) = (next, there);
        }
    }
    best
}

/// What may be changed about a plan.
struct Moves<'a> {
    graph: &'a TaskGraph,
    /// By task: the ranks that may run it.
    allowed: Vec<Vec<usize>>,
    /// Those with a choice.
    free: Vec<TaskId>,
}

impl<'a> Moves<'a> {
    fn new(problem: &'a Problem<'a>) -> Self {
        let tasks = 0..problem.graph.tasks().len();
        let allowed: Vec<Vec<usize>> =
            tasks.clone().map(|task| simple::allowed(problem, task).unwrap_or_default()).collect();
        let free = tasks.filter(|task| allowed[*task].len() > 1).collect();
        Self { graph: problem.graph, allowed, free }
    }

    /// Another plan: one task elsewhere, or neighbours together, or two tasks of a rank in the other order. None where
    /// there is nothing to change.
    fn draw(&self, plan: &Plan, draws: &mut ChaCha8Rng) -> Option<Plan> {
        let mut next = plan.clone();
        let kind = rng::below(draws, 10);
        if kind < 2 || self.free.is_empty() {
            if self.swap(&mut next, draws) {
                return Some(next);
            }
            if self.free.is_empty() {
                return None;
            }
        }
        let task = pick(&self.free, draws);
        let elsewhere: Vec<usize> =
            self.allowed[task].iter().copied().filter(|rank| *rank != plan.rank[task]).collect();
        // A rank that it may not run on is left for one that it may, whatever it begins with.
        let rank = pick(&elsewhere, draws);
        let group = if kind < 6 { vec![task] } else { self.neighbours(plan, task, draws) };
        let movable = group.into_iter().filter(|task| self.allowed[*task].contains(&rank));
        movable.for_each(|task| next.rank[task] = rank);
        Some(next)
    }

    /// Swaps the places of two tasks of one rank.
    fn swap(&self, plan: &mut Plan, draws: &mut ChaCha8Rng) -> bool {
        let task = rng::below(draws, plan.rank.len() as u64) as usize;
        let beside: Vec<TaskId> =
            (0..plan.rank.len()).filter(|other| *other != task && plan.rank[*other] == plan.rank[task]).collect();
        if beside.is_empty() {
            return false;
        }
        plan.place.swap(task, pick(&beside, draws));
        true
    }

    /// A task and some that hang together with it on its rank: up to a number of any order of magnitude.
    fn neighbours(&self, plan: &Plan, task: TaskId, draws: &mut ChaCha8Rng) -> Vec<TaskId> {
        let magnitudes = plan.rank.len().ilog2() as u64 + 1;
        let most = 2usize << rng::below(draws, magnitudes);
        let mut group = vec![task];
        let mut edge = vec![task];
        while group.len() < most && !edge.is_empty() {
            let from = edge.swap_remove(rng::below(draws, edge.len() as u64) as usize);
            let around = self.graph.predecessors(from).chain(self.graph.successors(from));
            for (next, _) in around {
                if plan.rank[next] == plan.rank[task] && !group.contains(&next) && group.len() < most {
                    group.push(next);
                    edge.push(next);
                }
            }
        }
        group
    }
}

fn pick(list: &[usize], draws: &mut ChaCha8Rng) -> usize {
    list[rng::below(draws, list.len() as u64) as usize]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Shape, every_placement};
    use super::super::{Limits, Objective};
    use super::*;

    #[test]
    fn it_ends_no_worse_than_it_begins_and_repeats() {
        for seed in 0..60 {
            let shape = Shape { tasks: 12, ranks: 3, pinned: true, contended: true };
            let graph = shape.dag(seed);
            let problem = shape.problem(&graph, seed);
            let judge = Judge::new(&problem, Objective::Time, Limits::default());
            let start = simple::random(&problem, seed).unwrap();
            let (plan, judged) = anneal(&judge, &start, (seed, 0), 200, &mut || true);
            assert!(!judge.judge(&start).better(&judged), "seed {seed}");
            assert_eq!(judge.judge(&plan), judged);
            assert_eq!(anneal(&judge, &start, (seed, 0), 200, &mut || true).0, plan);
            let mut asked = 0;
            let stop = |asked: &mut i32| {
                *asked += 1;
                *asked < 4
            };
            anneal(&judge, &start, (seed, 0), 200, &mut || stop(&mut asked));
            assert_eq!(asked, 4, "it goes on without time");
        }
    }

    /// Nearly always the best of all placements, whatever it begins with.
    #[test]
    fn it_finds_the_best_of_small_graphs() {
        let mut missed = 0;
        for seed in 0..40 {
            let shape = Shape { tasks: 6, ranks: 3, pinned: true, contended: true };
            let graph = shape.dag(seed);
            let problem = shape.problem(&graph, seed);
            let judge = Judge::new(&problem, Objective::Weighted { alpha: 0.5 }, Limits::default());
            let (_, judged) = anneal(&judge, &simple::random(&problem, seed).unwrap(), (seed, 0), 1500, &mut || true);
            let all = every_placement(&problem).map(|rank| judge.judge(&Plan::in_order(&problem, rank)).score);
            missed += i32::from(judged.score > all.fold(f64::INFINITY, f64::min) + 1e-12);
        }
        assert!(missed <= 2, "{missed} of 40");
    }

    #[test]
    fn a_single_task_on_a_single_rank_stays() {
        let shape = Shape { tasks: 1, ranks: 1, ..Shape::default() };
        let graph = shape.chain(0);
        let problem = shape.problem(&graph, 0);
        let judge = Judge::new(&problem, Objective::Time, Limits::default());
        let start = simple::local(&problem).unwrap();
        assert_eq!(anneal(&judge, &start, (0, 0), 10, &mut || true).0, start);
    }
}
