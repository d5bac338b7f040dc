//! How urgent each task is: the measures by which list schedulers order tasks.
//!
//! # Math
//! w̄ᵢ is the mean time of task i over the ranks that may run it; c̄ᵢⱼ = L̄ + bytesᵢⱼ / B̄ the mean time of a message, with
//! the mean latency and the mean rate of all links.
//! - upward: rankᵤ(i) = w̄ᵢ + max over successors j of (c̄ᵢⱼ + rankᵤ(j)): the longest way from i's beginning to the end.
//! - downward: rank_d(i) = max over predecessors j of (rank_d(j) + w̄ⱼ + c̄ⱼᵢ): the longest way from the start to i.
//! - optimistic: OCT(i, p) = max over successors j of min over ranks q of (OCT(j, q) + w(j, q) + [q ≠ p] c̄ᵢⱼ): what is
//!   still to come at best when i runs on rank p.
//!
//! # Units
//! Seconds.
//!
//! # References
//! Topcuoglu, Hariri, Wu, *Performance-effective and low-complexity task scheduling for heterogeneous computing*, IEEE
//! TPDS 13(3), 2002 (both ranks); Arabnejad, Barbosa, *List scheduling algorithm for heterogeneous systems by an
//! optimistic cost table*, IEEE TPDS 25(3), 2014.

use crate::plan::placement::{Between, Problem, TaskId};
use crate::units::{Bytes, Seconds};

/// What tasks and messages take in the mean over all ranks and links.
pub struct Means<'a> {
    problem: &'a Problem<'a>,
    time: Vec<f64>,
    /// None: there is one rank, and nothing is sent.
    link: Option<Between>,
}

impl<'a> Means<'a> {
    /// The means of a problem.
    pub fn of(problem: &'a Problem<'a>) -> Self {
        let mean = |task: TaskId| {
            let allowed = (0..problem.ranks()).filter(|rank| problem.allows(task, *rank));
            let (sum, count) = allowed.fold((0.0, 0), |(sum, n), rank| (sum + problem.time[task][rank].0, n + 1));
            sum / f64::from(count.max(1))
        };
        let ranks = problem.ranks();
        let pairs = || (0..ranks).flat_map(|a| (0..ranks).filter(move |b| *b != a).map(move |b| (a, b)));
        let over = |of: fn(&Between) -> f64| {
            pairs().map(|(a, b)| of(&problem.between[a][b])).sum::<f64>() / (ranks * (ranks - 1)) as f64
        };
        let link = || Between { bytes_per_s: over(|link| link.bytes_per_s), latency: Seconds(over(|l| l.latency.0)) };
        let time = (0..problem.graph.tasks().len()).map(mean).collect();
        Self { problem, time, link: (ranks > 1).then(link) }
    }

    /// w̄ of a task.
    fn time(&self, task: TaskId) -> f64 {
        self.time[task]
    }

    /// c̄ of a tensor.
    fn message(&self, bytes: Bytes) -> f64 {
        self.link.map_or(0.0, |link| link.time(bytes + self.problem.header).0)
    }

    /// rankᵤ of each task.
    pub fn upward(&self) -> Vec<f64> {
        let graph = self.problem.graph;
        let mut rank = vec![0.0; self.time.len()];
        for &task in graph.order().iter().rev() {
            let behind = graph.successors(task).map(|(next, bytes)| self.message(bytes) + rank[next]);
            rank[task] = self.time(task) + behind.fold(0.0, f64::max);
        }
        rank
    }

    /// rank_d of each task.
    pub fn downward(&self) -> Vec<f64> {
        let graph = self.problem.graph;
        let mut rank = vec![0.0; self.time.len()];
        for &task in graph.order() {
            let before = graph.predecessors(task);
            let before = before.map(|(other, bytes)| rank[other] + self.time(other) + self.message(bytes));
            rank[task] = before.fold(0.0, f64::max);
        }
        rank
    }

    /// OCT of each task on each rank.
    pub fn optimistic(&self) -> Vec<Vec<f64>> {
        let (problem, ranks) = (self.problem, self.problem.ranks());
        let mut table = vec![vec![0.0f64; ranks]; self.time.len()];
        // By task and rank: OCT and the time itself; by task: the least of them.
        let mut from = vec![vec![f64::INFINITY; ranks]; self.time.len()];
        let mut least = vec![f64::INFINITY; self.time.len()];
        for &task in problem.graph.order().iter().rev() {
            for (next, bytes) in problem.graph.successors(task) {
                // A rank q = p costs no message, so the least of all with a message needs no exception for it.
                let elsewhere = least[next] + self.message(bytes);
                let row = table[task].iter_mut().zip(&from[next]);
                row.for_each(|(cost, here)| *cost = cost.max(here.min(elsewhere)));
            }
            for rank in (0..ranks).filter(|rank| problem.allows(task, *rank)) {
                from[task][rank] = table[task][rank] + problem.time[task][rank].0;
                least[task] = least[task].min(from[task][rank]);
            }
        }
        table
    }
}
