//! Ranks whose figures never change: what planners try plans on.

use super::{Ranks, Request, Scene, simulate};
use crate::device::{Energy, Ledger, Ports};
use crate::plan::placement::problem::Comes;
use crate::plan::placement::{Plan, Problem, TaskId};
use crate::units::{Bytes, Joules, Seconds};

/// Ranks with the figures of a problem.
pub struct FixedRanks<'a> {
    problem: &'a Problem<'a>,
    ledgers: Vec<Ledger>,
    /// By rank, and by the peer where each has its own: when the transmitter has sent all.
    free: Vec<Vec<Seconds>>,
}

impl<'a> FixedRanks<'a> {
    /// Ranks at time 0.
    pub fn new(problem: &'a Problem<'a>) -> Self {
        let ranks = problem.ranks();
        Self { problem, ledgers: vec![Ledger::default(); ranks], free: vec![vec![Seconds(0.0); ranks]; ranks] }
    }

    /// What all of them used.
    pub fn energy(&self) -> Joules {
        let used = |(ledger, power)| Energy::of(ledger, power);
        let each = self.ledgers.iter().zip(&self.problem.power).map(used);
        each.map(|energy| if self.problem.idle { energy.total() } else { energy.total() - energy.idle }).sum()
    }
}

impl Ranks for FixedRanks<'_> {
    fn now(&self, rank: usize) -> Seconds {
        self.ledgers[rank].time
    }

    fn wait(&mut self, rank: usize, until: Seconds) {
        let time = &mut self.ledgers[rank].time;
        time.0 = time.0.max(until.0);
    }

    fn work(&mut self, rank: usize, task: TaskId) {
        let time = self.problem.time[task][rank];
        self.ledgers[rank].time += time;
        self.ledgers[rank].computing += time;
    }

    fn send(&mut self, from: usize, to: usize, bytes: Bytes) -> Seconds {
        let (now, link) = (self.now(from), self.problem.between[from][to]);
        let transmission = link.transmission(bytes);
        self.ledgers[from].sending += transmission;
        let Some(ports) = &self.problem.ports else { return now + transmission + link.latency };
        let free = &mut self.free[from][if ports[from] == Ports::Each { to } else { 0 }];
        *free = Seconds(now.0.max(free.0)) + transmission;
        *free + link.latency
    }

    fn take(&mut self, from: usize, to: usize, bytes: Bytes, arrival: Seconds) {
        self.wait(to, arrival);
        self.ledgers[to].receiving += self.problem.between[from][to].transmission(bytes);
    }

    fn ledgers(&self) -> Vec<Ledger> {
        self.ledgers.clone()
    }
}

/// What one request comes to that is alone on all ranks.
pub fn alone(problem: &Problem, plan: &Plan) -> Comes {
    let mut ranks = FixedRanks::new(problem);
    let requests = [Request { source: 0, arrival: Seconds(0.0) }];
    let scene = Scene { graph: problem.graph, requests: &requests, queue: 1, header: problem.header };
    let script = simulate(&scene, &mut ranks, &mut vec![plan.clone()], &mut |_, _| 0);
    let paid = ranks.ledgers.iter().zip(&problem.price_per_s).map(|(ledger, price)| ledger.computing.0 * price);
    Comes { time: script.end(), energy: ranks.energy(), price: paid.sum() }
}
