//! Random graphs and problems for the tests of all methods.

use super::{Between, Problem, Task, TaskGraph, Tensor};
use crate::device::{Ports, Power};
use crate::rng::{Purpose, below, stream, unit};
use crate::units::{Bytes, Flops, Seconds, Watts};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;

/// What random graphs and problems look like.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shape {
    pub tasks: usize,
    pub ranks: usize,
    /// The first and the last task are rank 0's.
    pub pinned: bool,
    /// Messages wait for each other.
    pub contended: bool,
}

fn draws(what: u64, seed: u64) -> ChaCha8Rng {
    stream(seed, Purpose::Placement, 1 << 32, what)
}

impl Shape {
    fn some_tasks(&self, rng: &mut ChaCha8Rng) -> Vec<Task> {
        let task = |at: usize| Task {
            name: format!("t{at}"),
            flops: Flops(1 + below(rng, 100)),
            memory: Bytes(1 + below(rng, 100)),
        };
        (0..self.tasks).map(task).collect()
    }

    /// One behind the other.
    pub fn chain(&self, seed: u64) -> TaskGraph {
        let mut rng = draws(1, seed);
        let tasks = self.some_tasks(&mut rng);
        let edges: Vec<_> = (1..self.tasks).map(|to| (to - 1, to, Bytes(below(&mut rng, 200)))).collect();
        TaskGraph::of_edges("chain", tasks, &edges).unwrap()
    }

    /// In one piece from the first task to the last; some tasks make two tensors, some tensors have several readers.
    pub fn dag(&self, seed: u64) -> TaskGraph {
        let mut rng = draws(2, seed);
        let tasks = self.some_tasks(&mut rng);
        let last = self.tasks - 1;
        let mut tensors: Vec<Tensor> = Vec::new();
        for from in 0..last {
            for _ in 0..1 + below(&mut rng, 2) {
                let reader = |rng: &mut ChaCha8Rng| from + 1 + below(rng, (last - from) as u64) as usize;
                let to: BTreeSet<usize> = (0..1 + below(&mut rng, 3)).map(|_| reader(&mut rng)).collect();
                tensors.push(Tensor { from, to: to.into_iter().collect(), bytes: Bytes(below(&mut rng, 200)) });
            }
        }
        for task in 1..=last {
            if !tensors.iter().any(|tensor| tensor.to.contains(&task)) {
                let from = below(&mut rng, task as u64) as usize;
                tensors.push(Tensor { from, to: vec![task], bytes: Bytes(below(&mut rng, 200)) });
            }
        }
        TaskGraph::new("dag", tasks, tensors).unwrap()
    }

    /// What a graph costs.
    pub fn problem<'a>(&self, graph: &'a TaskGraph, seed: u64) -> Problem<'a> {
        let mut rng = draws(3, seed);
        let mut up_to = |most: f64| most * unit(&mut rng);
        let speeds: Vec<f64> = (0..self.ranks).map(|_| 1.0 + up_to(9.0)).collect();
        let time = |task: &Task| speeds.iter().map(|speed| Seconds(task.flops.0 as f64 / speed)).collect();
        let time = graph.tasks().iter().map(time).collect();
        let mut problem = Problem::textbook(graph, time);
        for between in problem.between.iter_mut().flatten() {
            *between = Between { bytes_per_s: 5.0 + up_to(50.0), latency: Seconds(up_to(2.0)) };
        }
        for power in &mut problem.power {
            let idle = up_to(3.0);
            let mut above = |most: f64| Watts(idle + up_to(most) - 0.5);
            *power = Power { compute: above(10.0), idle: Watts(idle), send: above(2.0), receive: above(2.0) };
            power.compute.0 += 0.5;
        }
        problem.price_per_s.iter_mut().for_each(|price| *price = up_to(4.0));
        problem.idle = true;
        problem.header = Bytes(32);
        if self.contended {
            problem.ports = Some((0..self.ranks).map(|rank| [Ports::One, Ports::Each][rank % 2]).collect());
        }
        if self.pinned {
            (problem.pinned[0], problem.pinned[graph.tasks().len() - 1]) = (Some(0), Some(0));
        }
        problem
    }
}

/// Every way to give tasks to ranks that may run them.
pub fn every_placement<'a>(problem: &'a Problem) -> impl Iterator<Item = Vec<usize>> + 'a {
    let (tasks, ranks) = (problem.graph.tasks().len(), problem.ranks());
    let digits = move |mut number: usize| -> Vec<usize> {
        let mut digit = || {
            let digit = number % ranks;
            number /= ranks;
            digit
        };
        (0..tasks).map(|_| digit()).collect()
    };
    let all = (0..ranks.pow(tasks as u32)).map(digits);
    all.filter(|rank| rank.iter().enumerate().all(|(task, rank)| problem.allows(task, *rank)))
}
