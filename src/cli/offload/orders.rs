//! What rank 0 decides and all ranks carry out: who asks when, which plans there are, which request has which.

use super::measured::Rates;
use crate::cli::failure::Failure;
use crate::comm::HEADER;
use crate::config::{Config, PlanObjective, Policy};
use crate::device::{Devices, Tier};
use crate::plan::placement::policy::{Dealt, Tried, deal};
use crate::plan::placement::simulate::Request;
use crate::plan::placement::stream::Stream;
use crate::plan::placement::{Ask, Judge, Limits, Objective, PlacementError, Plan, Problem, TaskGraph};
use crate::units::{Bytes, Joules, Seconds};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// What all ranks get from rank 0.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Orders {
    /// Source and seconds of each request.
    requests: Vec<(usize, f64)>,
    /// Ranks and places of all tasks, by plan.
    plans: Vec<(Vec<usize>, Vec<usize>)>,
    /// By request: its plan.
    pub choice: Vec<usize>,
    /// What was measured of ranks that emulate no machine.
    pub rates: Option<Rates>,
}

impl Orders {
    /// Requests with their plans.
    pub fn new(requests: &[Request], plans: &[Plan], choice: Vec<usize>, rates: Option<Rates>) -> Self {
        Self {
            requests: requests.iter().map(|request| (request.source, request.arrival.0)).collect(),
            plans: plans.iter().map(|plan| (plan.rank.clone(), plan.place.clone())).collect(),
            choice,
            rates,
        }
    }

    /// The requests.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.iter().map(|(source, at)| Request { source: *source, arrival: Seconds(*at) }).collect()
    }

    /// The plans.
    pub fn plans(&self) -> Vec<Plan> {
        self.plans.iter().map(|(rank, place)| Plan { rank: rank.clone(), place: place.clone() }).collect()
    }
}

/// What is planned for.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The graph.
    pub graph: &'a TaskGraph,
    /// The machines, where ranks emulate any.
    pub devices: Option<&'a Devices>,
    /// What was measured of ranks that do not.
    pub rates: Option<&'a Rates>,
    /// The ranks.
    pub ranks: usize,
}

/// Plans that one annealing tries.
pub const EVALUATIONS: usize = 2000;

impl<'a> Task<'a> {
    /// The costs as one source sees them at a time.
    pub fn problem(&self, source: usize, at: Seconds) -> Problem<'a> {
        match (self.devices, self.rates) {
            (Some(devices), _) => Problem::on_devices(self.graph, devices, source, Bytes(HEADER as u64), at),
            (None, Some(rates)) => rates.problem(self.graph, source, self.ranks),
            (None, None) => unreachable!("ranks emulate machines or are measured"),
        }
    }

    /// What is small and what is kept.
    pub fn judged(&self) -> (Objective, Limits) {
        let config = self.config;
        let objective = match config.objective {
            PlanObjective::Time => Objective::Time,
            PlanObjective::Energy => Objective::Energy,
            PlanObjective::Weighted => Objective::Weighted { alpha: config.alpha },
        };
        let limits = Limits {
            budget: config.budget,
            deadline: config.deadline.map(Seconds),
            energy: config.energy_budget.map(Joules),
        };
        (objective, limits)
    }

    /// Where each rank stands.
    pub fn tiers(&self) -> Vec<Option<Tier>> {
        self.devices.map_or(vec![None; self.ranks], |it| it.profiles().iter().map(|profile| profile.tier).collect())
    }

    /// Plans for the requests, by the policy of the configuration.
    ///
    /// # Errors
    /// When there are none; exit code 3.
    pub fn deal(&self, requests: &[Request]) -> Result<Dealt, Failure> {
        let (objective, limits) = self.judged();
        let tiers = self.tiers();
        let asks = |source: &&usize| requests.iter().any(|request| request.source == **source);
        let problem = |source: &usize| (*source, self.problem(*source, Seconds(0.0)));
        let problems: Vec<(usize, Problem)> = self.config.sources.0.iter().filter(asks).map(problem).collect();
        let mut asks: Vec<(usize, Ask)> = Vec::with_capacity(problems.len());
        for (source, problem) in &problems {
            let judge = Judge::new(problem, objective, limits);
            asks.push((*source, Ask { judge, tiers: &tiers, seed: self.config.seed, evaluations: EVALUATIONS }));
        }
        let (begun, most) = (Instant::now(), self.config.plan_time);
        let stream = Stream { requests, queue: self.config.queue.get() };
        let mut still = |share: f64| begun.elapsed().as_secs_f64() < share * most;
        let dealt = deal(self.config.policy.word(), &asks, &stream, &mut still).map_err(refused)?;
        if self.config.policy != Policy::Auto {
            for ((_, ask), plan) in asks.iter().zip(&dealt.deal.plans) {
                ask.judge.check_limits(plan).map_err(refused)?;
            }
        }
        Ok(dealt)
    }
}

/// A plan that cannot be made is a matter of the configuration.
pub fn refused(error: PlacementError) -> Failure {
    Failure::new(3, error.to_string())
}

/// What a candidate came to, in a cell or two.
pub fn tried_line(tried: &Tried) -> (String, Option<f64>) {
    match &tried.outcome {
        Ok(comes) => (tried.name.clone(), Some(comes.time.0)),
        Err(_) => (tried.name.clone(), None),
    }
}
