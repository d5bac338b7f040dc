//! What a plan costs when everything is added up: tasks one after the other, messages between them.
//!
//! It is exact for one request on a chain, where nothing happens at the same time. Anywhere else it is what cutting
//! methods make small, and no more than a hint at what the plan comes to.

use super::{Judge, Problem, TaskId};
use crate::units::{Bytes, Seconds};
use std::collections::BTreeSet;

/// Prices of tasks and messages, in the judge's objective.
#[derive(Debug, Clone, Copy)]
pub struct Additive<'a> {
    problem: &'a Problem<'a>,
    /// What a second, a joule and a unit of money weigh.
    weights: (f64, f64, f64),
    /// What all ranks draw while they wait, in watts, where that counts.
    waiting: f64,
}

impl<'a> Additive<'a> {
    /// The prices that a judge goes by.
    pub fn new(judge: &Judge<'a>) -> Self {
        let problem = judge.problem;
        let waiting = if problem.idle { problem.power.iter().map(|power| power.idle.0).sum() } else { 0.0 };
        Self { problem, weights: judge.weights(), waiting }
    }

    /// What a task costs on a rank; infinitely much where it may not run, or does not fit by itself.
    ///
    /// # Math
    /// w_T·t + w_E·(P_compute − P_idle + Σ P_idle)·t + w_P·p·t, the idle powers only where they count
    pub fn work(&self, task: TaskId, rank: usize) -> f64 {
        let fits = self.problem.graph.tasks()[task].memory.0 <= self.problem.memory[rank].0;
        if !fits || !self.problem.allows(task, rank) {
            return f64::INFINITY;
        }
        let (time, power) = (self.problem.time[task][rank].0, &self.problem.power[rank]);
        let idle = if self.problem.idle { power.idle.0 } else { 0.0 };
        let watts = power.compute.0 - idle + self.waiting;
        self.weighed(time, watts * time, self.problem.price_per_s[rank] * time)
    }

    /// What a message costs; nothing within a rank.
    ///
    /// # Math
    /// w_T·(b/B + l) + w_E·((P_send − P_idle)⁺ + (P_receive − P_idle)⁺)·b/B + w_E·Σ P_idle·(b/B + l)
    pub fn message(&self, from: usize, to: usize, bytes: Bytes) -> f64 {
        if from == to {
            return 0.0;
        }
        let busy = self.problem.between[from][to].transmission(bytes + self.problem.header);
        let Seconds(time) = self.problem.message(from, to, bytes);
        let (sender, receiver) = (&self.problem.power[from], &self.problem.power[to]);
        let joules = (sender.sending().0 + receiver.receiving().0) * busy.0 + self.waiting * time;
        self.weighed(time, joules, 0.0)
    }

    /// All tasks and messages of a plan: a tensor goes once to each rank that needs it.
    pub fn plan(&self, rank: &[usize]) -> f64 {
        let work: f64 = rank.iter().enumerate().map(|(task, rank)| self.work(task, *rank)).sum();
        let sent = |tensor: &super::Tensor| -> f64 {
            let to: BTreeSet<usize> = tensor.to.iter().map(|task| rank[*task]).collect();
            to.into_iter().map(|to| self.message(rank[tensor.from], to, tensor.bytes)).sum()
        };
        work + self.problem.graph.tensors().iter().map(sent).sum::<f64>()
    }

    /// What weighs nothing is left out, be it endless.
    fn weighed(&self, time: f64, joules: f64, price: f64) -> f64 {
        let figures = [(self.weights.0, time), (self.weights.1, joules), (self.weights.2, price)];
        figures.into_iter().filter(|(weight, _)| *weight > 0.0).map(|(weight, figure)| weight * figure).sum()
    }
}
