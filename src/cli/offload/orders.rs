//! What rank 0 decides and all ranks carry out: who asks when, which plans there are, which request has which.

use super::measured::Rates;
use crate::cli::failure::{DATA, Failure};
use crate::comm::HEADER;
use crate::config::{Arrivals, Config, PlanObjective};
use crate::device::{Devices, Tier};
use crate::plan::placement::arrivals::Law;
use crate::plan::placement::policy::{Dealt, Tried, deal};
use crate::plan::placement::simulate::Request;
use crate::plan::placement::stream::Stream;
use crate::plan::placement::{Ask, Judge, Limits, Objective, PlacementError, Plan, Problem, TaskGraph};
use crate::run::error::show;
use crate::units::{Bytes, Joules, Seconds};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::{Duration, Instant};

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
    /// The requests of all sources.
    ///
    /// # Errors
    /// A trace that is no list of times, or too short; exit code 4.
    pub fn requests(&self) -> Result<Vec<Request>, Failure> {
        let config = self.config;
        let law = law(&config.arrivals)?;
        let count = config.requests.get();
        law.requests(&config.sources.0, count, config.seed).map_err(|times| {
            let (sources, each) = (config.sources.0.len(), count.div_ceil(config.sources.0.len()));
            let text = format!(
                "{}: {times} times, and each of {sources} sources asks {each} times; add lines or lower --requests",
                config.arrivals
            );
            Failure::new(DATA, text)
        })
    }

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
        let problems: Vec<(usize, Problem)> =
            self.config.sources.0.iter().map(|source| (*source, self.problem(*source, Seconds(0.0)))).collect();
        let ask = |(source, problem): &'_ (usize, Problem<'a>)| (*source, problem.clone());
        let owned: Vec<(usize, Problem)> = problems.iter().map(ask).collect();
        let asks: Vec<(usize, Ask)> = owned
            .iter()
            .map(|(source, problem)| {
                let judge = Judge::new(problem, objective, limits);
                (*source, Ask { judge, tiers: &tiers, seed: self.config.seed, evaluations: EVALUATIONS })
            })
            .collect();
        let until = Instant::now() + Duration::from_secs_f64(self.config.plan_time);
        let stream = Stream { requests, queue: self.config.queue.get() };
        deal(self.config.policy.word(), &asks, &stream, &mut || Instant::now() < until).map_err(refused)
    }
}

/// A plan that cannot be made is a matter of the configuration.
pub fn refused(error: PlacementError) -> Failure {
    Failure::new(3, error.to_string())
}

/// The law of a configuration, with its trace read.
///
/// # Errors
/// A file that is no list of times; exit code 4.
pub fn law(arrivals: &Arrivals) -> Result<Law, Failure> {
    Ok(match arrivals {
        Arrivals::AtOnce => Law::AtOnce,
        Arrivals::Poisson(rate) => Law::Poisson(*rate),
        Arrivals::Periodic(seconds) => Law::Periodic(Seconds(*seconds)),
        Arrivals::Trace(file) => Law::Trace(trace(file)?),
    })
}

/// The column time_s of a CSV file, ascending.
fn trace(file: &Path) -> Result<Vec<Seconds>, Failure> {
    let bad = |line: u64, what: String| {
        Failure::new(
            DATA,
            format!("{}:{line}: {what}; write a header with time_s and ascending seconds below", show(file)),
        )
    };
    let mut reader = csv::Reader::from_path(file)
        .map_err(|error| Failure::new(DATA, format!("{}: {error}; check the path", show(file))))?;
    let header = reader.headers().map_err(|error| bad(1, error.to_string()))?.clone();
    let Some(column) = header.iter().position(|name| name.trim() == "time_s") else {
        return Err(bad(1, "no column is named time_s".into()));
    };
    let mut times: Vec<Seconds> = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| bad(error.position().map_or(0, csv::Position::line), error.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let text = record.get(column).unwrap_or_default().trim();
        let time = text.parse::<f64>().ok().filter(|time| time.is_finite() && *time >= 0.0);
        let time = time.ok_or_else(|| bad(line, format!("'{}' is no time", text.escape_debug())))?;
        if times.last().is_some_and(|last| time < last.0) {
            return Err(bad(line, format!("{time} s comes after a later time")));
        }
        times.push(Seconds(time));
    }
    Ok(times)
}

/// What a candidate came to, in a cell or two.
pub fn tried_line(tried: &Tried) -> (String, Option<f64>) {
    match &tried.outcome {
        Ok(comes) => (tried.name.clone(), Some(comes.time.0)),
        Err(_) => (tried.name.clone(), None),
    }
}
