//! Plans for many requests at once: the best plan for one of them may leave ranks idle that others could use.
//!
//! Three kinds of candidates, each simulated with all requests: one plan for all of them; the graph cut into runs, one a
//! rank, whose slowest is as quick as can be, so that several requests are under way at once; and whole requests dealt to
//! ranks.
//!
//! # References
//! Bokhari, *Partitioning problems in parallel, pipelined, and distributed computing*, IEEE TC 37(1), 1988 (runs);
//! Maheswaran et al., *Dynamic mapping of independent tasks*, JPDC 59, 1999 (minimum completion time).

use super::problem::Comes;
use super::simulate::{FixedRanks, Request, Scene, simulate};
use super::{Plan, Problem, TaskId};
use crate::units::{Joules, Seconds};

/// Plans, and which of them each request has.
#[derive(Debug, Clone, PartialEq)]
pub struct Deal {
    /// Its name in tables.
    pub name: String,
    /// The plans.
    pub plans: Vec<Plan>,
    /// By request.
    pub choice: Vec<usize>,
}

/// Requests that are planned for together.
#[derive(Debug, Clone, Copy)]
pub struct Stream<'a> {
    /// The requests; all of one graph.
    pub requests: &'a [Request],
    /// The most unanswered ones of a source.
    pub queue: usize,
}

/// Requests that candidates are tried on at most: more take longer, and tell little else.
const TRIED: usize = 200;

impl Stream<'_> {
    /// The same, of no more requests than a candidate is tried on.
    #[must_use]
    pub fn prefix(&self) -> Self {
        Self { requests: &self.requests[..self.requests.len().min(TRIED)], ..*self }
    }

    /// What a request comes to on average when all are served.
    pub fn comes(&self, problem: &Problem, deal: &Deal) -> Comes {
        let mut ranks = FixedRanks::new(problem);
        let scene = Scene { graph: problem.graph, requests: self.requests, queue: self.queue, header: problem.header };
        let script =
            simulate(&scene, &mut ranks, &mut deal.plans.clone(), &mut |moment, _| deal.choice[moment.request]);
        let count = self.requests.len().max(1) as f64;
        let time: f64 = script.answers.iter().map(|answer| answer.time().0).sum();
        let paid = script.ledgers.iter().zip(&problem.price_per_s).map(|(ledger, price)| ledger.computing.0 * price);
        Comes {
            time: Seconds(time / count),
            energy: Joules(ranks.energy().0 / count),
            price: paid.sum::<f64>() / count,
        }
    }

    /// Candidates beside one plan for all: runs over 2 and more ranks, and whole requests dealt to ranks.
    pub fn deals(&self, problems: &[(usize, Problem)]) -> Vec<Deal> {
        let most = problems.first().map_or(0, |(_, problem)| problem.ranks());
        let of_source = |request: &Request| {
            problems.iter().position(|(source, _)| *source == request.source).expect("every source has a problem")
        };
        let mut deals = Vec::new();
        for ranks in 2..=most {
            let plans: Option<Vec<Plan>> = problems.iter().map(|(_, problem)| runs(problem, ranks)).collect();
            if let Some(plans) = plans {
                let choice = self.requests.iter().map(of_source).collect();
                deals.push(Deal { name: format!("runs on {ranks}"), plans, choice });
            }
        }
        deals.extend(self.dealt(problems, &of_source));
        deals
    }

    /// Each request, as it comes, to the rank that would be done with it first; nothing where one fits nowhere whole.
    fn dealt(&self, problems: &[(usize, Problem)], of_source: &dyn Fn(&Request) -> usize) -> Option<Deal> {
        let most = problems.first().map_or(0, |(_, problem)| problem.ranks());
        // The plan, how long its rank is busy, and when a request is answered that begins at once.
        let whole = |(_, problem): &(usize, Problem)| -> Vec<Option<(Plan, f64, f64)>> {
            let timed = |plan: Plan| {
                let busy = (0..plan.rank.len()).map(|task| problem.time[task][plan.rank[task]].0).sum();
                let answered = problem.comes(&plan).time.0;
                (plan, busy, answered)
            };
            (0..most).map(|rank| whole(problem, rank).map(timed)).collect()
        };
        let whole: Vec<Vec<Option<(Plan, f64, f64)>>> = problems.iter().map(whole).collect();
        let mut free = vec![0.0f64; most];
        let (mut plans, mut choice): (Vec<Plan>, Vec<usize>) = (Vec::new(), Vec::new());
        for request in self.requests {
            let source = of_source(request);
            let ends = whole[source].iter().enumerate().filter_map(|(rank, timed)| {
                let (plan, busy, answered) = timed.as_ref()?;
                let begin = free[rank].max(request.arrival.0);
                Some((rank, begin + busy, begin + answered, plan))
            });
            let (rank, until, _, plan) = ends.min_by(|a, b| a.2.total_cmp(&b.2))?;
            free[rank] = until;
            choice.push(plans.iter().position(|known| known == plan).unwrap_or_else(|| {
                plans.push(plan.clone());
                plans.len() - 1
            }));
        }
        Some(Deal { name: "whole requests".into(), plans, choice })
    }
}

/// Everything that is not pinned elsewhere on one rank; nothing where it does not fit or cannot run.
fn whole(problem: &Problem, rank: usize) -> Option<Plan> {
    let place = |task: TaskId| problem.pinned[task].unwrap_or(rank);
    let plan = Plan::in_order(problem, (0..problem.pinned.len()).map(place).collect());
    fits(problem, plan)
}

fn fits(problem: &Problem, plan: Plan) -> Option<Plan> {
    let runs = plan.rank.iter().enumerate().all(|(task, rank)| problem.allows(task, *rank));
    (runs && plan.overflow(problem).1.0 == 0).then_some(plan)
}

/// The graph's order cut into runs over the quickest so many ranks such that the longest run is the shortest.
fn runs(problem: &Problem, ranks: usize) -> Option<Plan> {
    let free: Vec<TaskId> =
        problem.graph.order().iter().copied().filter(|task| problem.pinned[*task].is_none()).collect();
    let total = |rank: usize| free.iter().map(|task| problem.time[*task][rank].0).sum::<f64>();
    let mut quickest: Vec<usize> = (0..problem.ranks()).filter(|rank| total(*rank).is_finite()).collect();
    quickest.sort_by(|a, b| total(*a).total_cmp(&total(*b)).then(a.cmp(b)));
    if quickest.len() < ranks {
        return None;
    }
    quickest.truncate(ranks);
    // Who asks begins, so that its input stays.
    if let Some(source) = problem.pinned.iter().flatten().next()
        && let Some(at) = quickest.iter().position(|rank| rank == source)
    {
        quickest[..=at].rotate_right(1);
    }
    // best[k][n]: the longest run when the first n tasks are on the first k + 1 ranks; from[k][n]: where the last begins.
    let sums: Vec<Vec<f64>> = quickest
        .iter()
        .map(|rank| {
            let mut sum = 0.0;
            let add = |task: &TaskId| {
                sum += problem.time[*task][*rank].0;
                sum
            };
            std::iter::once(0.0).chain(free.iter().map(add).collect::<Vec<_>>()).collect()
        })
        .collect();
    let count = free.len();
    let mut best = sums[0].clone();
    let mut from: Vec<Vec<usize>> = vec![vec![0; count + 1]];
    for sums in &sums[1..] {
        let cut = |n: usize| {
            let longest = |first: usize| best[first].max(sums[n] - sums[first]);
            (0..=n).map(|first| (first, longest(first))).min_by(|a, b| a.1.total_cmp(&b.1)).expect("0 is one")
        };
        let next: Vec<(usize, f64)> = (0..=count).map(cut).collect();
        from.push(next.iter().map(|(first, _)| *first).collect());
        best = next.into_iter().map(|(_, longest)| longest).collect();
    }
    let mut rank: Vec<usize> = problem.pinned.iter().map(|pin| pin.unwrap_or(usize::MAX)).collect();
    let mut end = count;
    for (stage, firsts) in from.iter().enumerate().rev() {
        free[firsts[end]..end].iter().for_each(|task| rank[*task] = quickest[stage]);
        end = firsts[end];
    }
    fits(problem, Plan::in_order(problem, rank))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::placement::{Task, TaskGraph};
    use crate::units::{Bytes, Flops};

    /// A chain of six equal tasks between an input and an answer.
    fn chain() -> TaskGraph {
        let task = |i: usize| {
            let flops = if i == 0 || i == 7 { 0 } else { 10 };
            Task { name: format!("t{i}"), flops: Flops(flops), memory: Bytes(1) }
        };
        let edges: Vec<_> = (0..7).map(|i| (i, i + 1, Bytes(1))).collect();
        TaskGraph::of_edges("chain", (0..8).map(task).collect(), &edges).unwrap()
    }

    fn problem(graph: &TaskGraph) -> Problem<'_> {
        let time = |task: &Task| vec![Seconds(task.flops.0 as f64); 2];
        let mut problem = Problem::textbook(graph, graph.tasks().iter().map(time).collect());
        (problem.pinned[0], problem.pinned[7]) = (Some(0), Some(0));
        problem
    }

    #[test]
    fn many_requests_use_both_ranks() {
        let graph = chain();
        let requests = vec![Request { source: 0, arrival: Seconds(0.0) }; 8];
        let stream = Stream { requests: &requests, queue: 4 };
        let problems = [(0, problem(&graph))];
        let deals = stream.deals(&problems);
        let one = Deal { name: "one".into(), plans: vec![whole(&problems[0].1, 0).unwrap()], choice: vec![0; 8] };
        let alone = stream.comes(&problems[0].1, &one);
        assert_eq!(alone.time, Seconds(60.0 * 4.5));
        for deal in &deals {
            let comes = stream.comes(&problems[0].1, deal);
            assert!(comes.time.0 < 0.7 * alone.time.0, "{}: {comes:?}", deal.name);
        }
        assert_eq!(deals[0].plans[0].rank, [0, 0, 0, 0, 1, 1, 1, 0]);
    }
}
