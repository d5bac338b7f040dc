//! `goai-rs bench offload`: what each policy makes of each network's tasks on given devices, by the device file alone.
//!
//! Nothing runs and nothing is measured but the planning: requests are played on the emulated machines' own model, task by
//! task and message by message. `--cost-model mec` plays the published planners against ours on their own ground.

mod mec;
mod told;

use crate::cli::args::{CostModel, OffloadBenchArgs};
use crate::cli::failure::{DATA, Failure};
use crate::cli::offload::requests;
use crate::cli::printed::printed;
use crate::comm::HEADER;
use crate::config::{Config, Granularity, Origins, PlanObjective, Policy, Sources};
use crate::device::{Devices, Tier};
use crate::nn::{Network, zoo};
use crate::plan::placement::policy::deal;
use crate::plan::placement::simulate::{EmulatedRanks, Request, Scene, Script, simulate};
use crate::plan::placement::stream::Stream;
use crate::plan::placement::{Ask, Judge, Limits, Objective, PlacementError, Problem, TaskGraph};
use crate::report::chrome_trace::ChromeTrace;
use crate::report::gantt::Gantt;
use crate::report::offload::{PolicyRow, Summary, price};
use crate::run::error::show;
use crate::run::write_atomic;
use crate::strategy::offload::{self, OffloadGraph};
use crate::units::{Bytes, Joules, Seconds};
use serde::Serialize;
use std::io::Write;
use std::time::Instant;

/// Plans that one annealing tries.
const EVALUATIONS: usize = 4_000;

/// All that is printed. Times in seconds, energies in joules: modelled, but for what planning took.
#[derive(Debug, Serialize)]
struct Figures {
    devices: String,
    ranks: Vec<String>,
    requests: usize,
    arrivals: String,
    sources: Vec<usize>,
    granularity: String,
    width: f64,
    objective: String,
    graphs: Vec<Compared>,
    charts: Vec<String>,
    notes: Vec<String>,
}

/// All policies on one graph.
#[derive(Debug, Serialize)]
struct Compared {
    graph: String,
    tasks: usize,
    gflop: f64,
    policies: Vec<PolicyRow>,
}

/// What is asked of all graphs and policies.
struct Case<'a> {
    args: &'a OffloadBenchArgs,
    config: &'a Config,
    devices: &'a Devices,
    names: Vec<String>,
    requests: Vec<Request>,
}

/// Prints the tables, or one JSON object.
///
/// # Errors
/// Exit code 2 for options that cannot be, 3 when no policy has a plan, 4 for files that cannot be used.
pub fn bench(args: &OffloadBenchArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let (config, origins) = Sources { flags: args.keys(), ..Sources::default() }.load()?;
    let graphs = graphs(args, &config)?;
    let text = match args.cost_model {
        CostModel::Mec => mec::sweep(args, &graphs)?,
        CostModel::Devices => {
            let figures = figures(args, &config, &origins, &graphs)?;
            match args.json {
                true => serde_json::to_string_pretty(&figures).expect("figures are JSON") + "\n",
                false => told::told(&figures),
            }
        }
    };
    printed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// The networks that were named, as tasks.
fn graphs(args: &OffloadBenchArgs, config: &Config) -> Result<Vec<TaskGraph>, Failure> {
    let all = args.graphs.iter().any(|name| name == "all");
    let names: Vec<&str> =
        if all { zoo::wide_names().collect() } else { args.graphs.iter().map(String::as_str).collect() };
    let granularity = match config.granularity {
        Granularity::Layer => offload::Granularity::Layer,
        Granularity::Block => offload::Granularity::Block,
    };
    let graph = |name: &&str| {
        let network = Network::build(spec(name, config.width)?)?;
        OffloadGraph::of(&network, granularity).map(|work| work.graph).map_err(|why| Failure::new(2, why))
    };
    names.iter().map(graph).collect()
}

fn spec(name: &str, width: f64) -> Result<crate::nn::Spec, Failure> {
    match (zoo::default_input(name), zoo::default_classes(name)) {
        (Some(input), Some(classes)) => zoo::by_name_with_width(name, &input, classes, width)
            .map_err(|error| Failure::new(2, format!("--graphs: {error}"))),
        _ => super::spec(name).map_err(|failure| {
            let message = failure.message.replacen("--model:", "--graphs:", 1);
            Failure { message, ..failure }
        }),
    }
}

/// The policies that were named, in the order of the table of methods.
fn policies(args: &OffloadBenchArgs) -> Result<Vec<&'static str>, Failure> {
    // Ours comes last, below what it is compared with.
    let known = || Policy::WORDS.iter().copied().filter(|word| *word != "auto").chain(["auto"]);
    if let Some(unknown) = args.policies.iter().find(|name| *name != "all" && !Policy::WORDS.contains(&name.as_str())) {
        let known = known().collect::<Vec<_>>().join(", ");
        let error = PlacementError::Unknown { policy: unknown.escape_debug().to_string(), known };
        return Err(Failure::new(2, format!("--policies: {error}")));
    }
    let all = args.policies.iter().any(|name| name == "all");
    Ok(known().filter(|word| all || args.policies.iter().any(|name| name == word)).collect())
}

fn figures(
    args: &OffloadBenchArgs,
    config: &Config,
    origins: &Origins,
    graphs: &[TaskGraph],
) -> Result<Figures, Failure> {
    let devices = Devices::load(&args.devices).map_err(|error| Failure::new(DATA, error))?;
    let ranks = devices.profiles().len();
    if let Some(source) = config.sources.0.iter().find(|source| **source >= ranks) {
        let what = format!("--sources: there is no rank {source} among the {ranks} of {}", args.devices);
        return Err(Failure::new(2, format!("{what}; name some of 0 to {}", ranks - 1)));
    }
    let names: Vec<String> = devices.profiles().iter().map(|profile| profile.name.clone()).collect();
    let case = Case { args, config, devices: &devices, names, requests: requests(config, origins)? };
    let policies = policies(args)?;
    if let Some(folder) = &args.out {
        std::fs::create_dir_all(folder)
            .map_err(|why| Failure::new(DATA, format!("{}: cannot make the folder: {why}", show(folder))))?;
    }
    let (mut compared, mut charts, mut longest) = (Vec::new(), Vec::new(), 0.0f64);
    for graph in graphs {
        let mut rows = Vec::new();
        for policy in &policies {
            let (row, script) = case.row(graph, policy);
            if let Some(script) = script {
                longest = longest.max(script.end().0);
                charts.extend(case.draw(graph, policy, &script)?);
            }
            rows.push(row);
        }
        // Where none of them can be, the first reason is the answer.
        if let Some(why) = rows[0].refused.as_ref().filter(|_| rows.iter().all(|row| row.summary.is_none())) {
            return Err(Failure::new(3, format!("{} on {}: {why}", graph.name(), args.devices)));
        }
        let gflop = graph.tasks().iter().map(|task| task.flops.0 as f64 / 1e9).sum();
        compared.push(Compared { graph: graph.name().to_owned(), tasks: graph.tasks().len(), gflop, policies: rows });
    }
    Ok(Figures {
        devices: devices.name().to_owned(),
        ranks: case.names,
        requests: case.requests.len(),
        arrivals: config.arrivals.to_string(),
        sources: config.sources.0.clone(),
        granularity: config.granularity.to_string(),
        width: config.width,
        objective: config.objective.to_string(),
        graphs: compared,
        charts,
        notes: devices.outlived(Seconds(longest)).into_iter().collect(),
    })
}

impl Case<'_> {
    /// Plans, and plays all requests.
    fn row(&self, graph: &TaskGraph, policy: &str) -> (PolicyRow, Option<Script>) {
        let begun = Instant::now();
        let outcome = self.planned(graph, policy);
        let row = PolicyRow {
            policy: policy.to_owned(),
            plan_s: begun.elapsed().as_secs_f64(),
            summary: outcome.as_ref().ok().map(|(_, summary)| summary.clone()),
            refused: outcome.as_ref().err().map(PlacementError::to_string),
        };
        (row, outcome.ok().map(|(script, _)| script))
    }

    fn planned(&self, graph: &TaskGraph, policy: &str) -> Result<(Script, Summary), PlacementError> {
        let header = Bytes(HEADER as u64);
        let problem = |source: &usize| Problem::on_devices(graph, self.devices, *source, header, Seconds(0.0));
        let problems: Vec<Problem> = self.config.sources.0.iter().map(problem).collect();
        let tiers: Vec<Option<Tier>> = self.devices.profiles().iter().map(|profile| profile.tier).collect();
        let ask = |problem| Ask {
            judge: Judge::new(problem, self.objective(), self.limits()),
            tiers: &tiers,
            seed: self.config.seed,
            evaluations: EVALUATIONS,
        };
        let asks: Vec<(usize, Ask)> = self.config.sources.0.iter().copied().zip(problems.iter().map(ask)).collect();
        let queue = self.config.queue.get();
        let stream = Stream { requests: &self.requests, queue };
        let (begun, most) = (Instant::now(), self.config.plan_time);
        // What is limited in time gives other plans on other machines: only where that is said.
        let mut still = |share: f64| policy != "auto" || begun.elapsed().as_secs_f64() < share * most;
        let dealt = deal(policy, &asks, &stream, &mut still)?.deal;
        let mut ranks = EmulatedRanks::new(graph, self.devices);
        let scene = Scene { graph, requests: &self.requests, queue, header };
        let mut plans = dealt.plans;
        let script = simulate(&scene, &mut ranks, &mut plans, &mut |moment, _| dealt.choice[moment.request]);
        let energy: Joules = ranks.energies().iter().map(|energy| energy.total()).sum();
        let (price, deadline) = (price(&script, self.devices), self.config.deadline.map(Seconds));
        let summary = Summary::of(graph, &script, Some(energy), Some(price), deadline);
        Ok((script, summary))
    }

    fn objective(&self) -> Objective {
        match self.config.objective {
            PlanObjective::Time => Objective::Time,
            PlanObjective::Energy => Objective::Energy,
            PlanObjective::Weighted => Objective::Weighted { alpha: self.config.alpha },
        }
    }

    fn limits(&self) -> Limits {
        let Config { budget, deadline, energy_budget, .. } = self.config;
        Limits { budget: *budget, deadline: deadline.map(Seconds), energy: energy_budget.map(Joules) }
    }

    /// A chart and a trace, where they were asked for; gives the chart's path.
    fn draw(&self, graph: &TaskGraph, policy: &str, script: &Script) -> Result<Option<String>, Failure> {
        let Some(folder) = &self.args.out else { return Ok(None) };
        // A network's name is of letters, digits, dots and lines; a file's may be a path.
        let name = graph.name().replace(['/', ' '], "-");
        let stem = format!("{name}_{policy}");
        let title = format!("{}, policy {policy}, on {}", graph.name(), self.devices.name());
        let chart = Gantt { title, graph, script, names: &self.names, modelled: true }.render();
        let trace = ChromeTrace { graph, script, names: &self.names, modelled: true }.render();
        let path = folder.join(format!("{stem}.svg"));
        write_atomic(&path, chart.as_bytes())?;
        write_atomic(&folder.join(format!("{stem}.trace.json")), trace.as_bytes())?;
        Ok(Some(path.to_string_lossy().into_owned()))
    }
}

#[cfg(test)]
mod tests;
