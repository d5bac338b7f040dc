//! Rank 0 decides: requests, plans, and with `--replan` a plan for each request in the conditions of its moment.

use super::orders::{Orders, Task, refused};
use crate::cli::failure::Failure;
use crate::comm::HEADER;
use crate::device::{Devices, Power};
use crate::plan::placement::policy::{Dealt, Tried};
use crate::plan::placement::simulate::{EmulatedRanks, Moment, Request, Scene, Script, simulate};
use crate::plan::placement::{Ask, Judge, PlacementError, Plan, Problem, replan};
use crate::units::{Bytes, Flops, Seconds};
use std::time::{Duration, Instant};

/// What was decided, and what rank 0 tells of it.
pub struct Decision {
    /// For all ranks.
    pub orders: Orders,
    /// The name of what was taken.
    pub taken: String,
    /// What was looked at.
    pub tried: Vec<Tried>,
    /// How long it took.
    pub took: Duration,
    /// Mean seconds of a request with the plans of the beginning, and how many plans there are without them; both
    /// modelled. Only where requests were planned one by one.
    pub replanned: Option<(f64, usize)>,
}

/// Plans that one annealing tries when a request is planned by itself.
const QUICK: usize = 150;

/// Decides.
///
/// # Errors
/// A policy that finds no plan.
pub fn decide(task: &Task, requests: &[Request]) -> Result<Decision, Failure> {
    let began = Instant::now();
    let Dealt { deal, tried, .. } = task.deal(requests)?;
    let (mut plans, mut choice) = (deal.plans, deal.choice);
    let mut replanned = None;
    if let Some(devices) = task.devices.filter(|_| task.config.replan) {
        let fixed = run(task, devices, requests, &mut plans.clone(), &mut |moment, _| choice[moment.request]);
        let mean =
            |script: &Script| script.answers.iter().map(|answer| answer.time().0).sum::<f64>() / requests.len() as f64;
        let mut online = Online { task, last: vec![None; task.ranks], trouble: None };
        let before = plans.len();
        let script = run(task, devices, requests, &mut plans, &mut |moment, plans| {
            online.choose(&moment, requests[moment.request].source, choice[moment.request], plans)
        });
        if let Some(error) = online.trouble {
            return Err(refused(error));
        }
        choice = script.answers.iter().map(|answer| answer.plan).collect();
        replanned = Some((mean(&fixed), plans.len() - before));
    }
    let orders = Orders::new(requests, &plans, choice, task.rates.cloned());
    Ok(Decision { orders, taken: deal.name, tried, took: began.elapsed(), replanned })
}

fn run(
    task: &Task,
    devices: &Devices,
    requests: &[Request],
    plans: &mut Vec<Plan>,
    choose: &mut dyn FnMut(Moment, &mut Vec<Plan>) -> usize,
) -> Script {
    let (queue, header) = (task.config.queue.get(), Bytes(HEADER as u64));
    let scene = Scene { graph: task.graph, requests, queue, header };
    simulate(&scene, &mut EmulatedRanks::new(task.graph, devices), plans, choose)
}

/// The costs under which a source planned last, and the plan.
type Last = (Vec<Vec<Seconds>>, Vec<u64>, Vec<Power>, usize);

/// Plans each request in the conditions of the moment in which it is taken up; no future is looked into.
struct Online<'a> {
    task: &'a Task<'a>,
    /// By source.
    last: Vec<Option<Last>>,
    trouble: Option<PlacementError>,
}

impl Online<'_> {
    /// The plan of a request; the first one of all as long as nothing has changed.
    fn choose(&mut self, moment: &Moment, source: usize, first: usize, plans: &mut Vec<Plan>) -> usize {
        let mut problem = self.task.problem(source, moment.at);
        crowd(&mut problem, moment.backlog);
        let links: Vec<u64> = problem.between.iter().flatten().map(|between| between.bytes_per_s.to_bits()).collect();
        let known = self.last[source].as_ref();
        if let Some((times, rates, power, plan)) = known
            && *times == problem.time
            && *rates == links
            && *power == problem.power
        {
            return *plan;
        }
        let so_far = known.map_or(first, |last| last.3);
        let (objective, limits) = self.task.judged();
        let tiers = self.task.tiers();
        let judge = Judge::new(&problem, objective, limits);
        let ask = Ask { judge, tiers: &tiers, seed: self.task.config.seed, evaluations: QUICK };
        let plan = match replan(&ask, Some(&plans[so_far]), &mut || true) {
            Ok(found) => plans.iter().position(|plan| *plan == found.plan).unwrap_or_else(|| {
                plans.push(found.plan);
                plans.len() - 1
            }),
            // What limits forbid now was allowed when it was planned.
            Err(PlacementError::Budget { .. }) => so_far,
            Err(error) => {
                self.trouble.get_or_insert(error);
                so_far
            }
        };
        self.last[source] = Some((problem.time.clone(), links, problem.power.clone(), plan));
        plan
    }
}

/// Lets a rank that has work before it take longer: whoever gives it all of a request waits for all of that work, whoever
/// gives it a part for as large a part.
///
/// # Math
/// t' = t (1 + backlog / FLOP of a request)
fn crowd(problem: &mut Problem, backlog: &[Flops]) {
    let request: u64 = problem.graph.tasks().iter().map(|task| task.flops.0).sum();
    if request == 0 {
        return;
    }
    for times in &mut problem.time {
        for (time, before) in times.iter_mut().zip(backlog) {
            time.0 *= 1.0 + before.0 as f64 / request as f64;
        }
    }
}
