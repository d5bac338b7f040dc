//! `goai-rs bench split`: what splitting a network between devices and a server brings, by the device file alone.
//!
//! Nothing is trained and nothing measured: rounds are played on the planner's model of the devices, message by message.

mod limits;
mod policies;
mod sweep;
mod told;

use crate::cli::args::SplitBenchArgs;
use crate::cli::failure::{DATA, Failure};
use crate::cli::printed::printed;
use crate::device::{DeviceError, Devices};
use crate::nn::Network;
use crate::plan::split::{Fleet, Idle, Infeasible, Objective, Point, Way};
use crate::strategy::{SplitTerms, split_fleet};
use crate::units::{Bytes, Seconds};
use serde::Serialize;
use std::io::Write;

/// What messages within a step are charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Links {
    /// Activations up and gradients down.
    Both,
    /// Activations up alone, as in the model fitted to ARES's measurements.
    Uplink,
}

/// All that is printed. Times in seconds, energies in joules, all of it modelled.
#[derive(Debug, Serialize)]
struct Figures {
    devices: String,
    model: String,
    batch: u64,
    round_steps: u64,
    alpha: f64,
    idle_charged: bool,
    least_cut: usize,
    boards: Vec<String>,
    comparisons: Vec<policies::Comparison>,
    sweeps: Vec<sweep::Sweep>,
    limits: Vec<limits::Limit>,
    notes: Vec<String>,
}

/// A fleet and what it is asked for.
struct Case {
    links: Links,
    fleet: Fleet,
    objective: Objective,
}

impl Case {
    /// The same with all links at one rate.
    fn at_rate(&self, mbit: f64) -> Fleet {
        let mut fleet = self.fleet.clone();
        for member in &mut fleet.members {
            member.up = Way::constant(mbit * 1e6 / 8.0, member.up.latency());
            member.down = Way::constant(mbit * 1e6 / 8.0, member.down.latency());
        }
        fleet
    }
}

/// Everything on the devices.
fn federated(fleet: &Fleet) -> Point {
    fleet.point(&vec![fleet.blocks(); fleet.members.len()], Seconds(0.0))
}

/// The device that all others wait for when everything is on the devices.
fn straggler(fleet: &Fleet) -> usize {
    let local = |at: &usize| {
        let member = &fleet.members[*at];
        let cost = member.cuts.last().map_or(0.0, |cost| cost.compute().0);
        member.steps as f64 * cost / member.phases.at(Seconds(0.0)).speed
    };
    (0..fleet.members.len()).reduce(|a, b| if local(&b) > local(&a) { b } else { a }).unwrap_or(0)
}

/// By how much less this is than that, as a share.
fn saving(this: f64, than: f64) -> f64 {
    if than > 0.0 { 1.0 - this / than } else { 0.0 }
}

/// Prints the tables, or one JSON object.
///
/// # Errors
/// Exit code 2 for options that do not fit the file, 3 when no cut is feasible, 4 for a file that cannot be used.
pub fn bench(args: &SplitBenchArgs, network: &Network, out: &mut dyn Write) -> Result<(), Failure> {
    if network.outputs().len() > 1 {
        let outputs = network.outputs().len();
        let why = format!("--model {}: it has {outputs} outputs, and mode split has one loss", args.model);
        return Err(Failure::new(2, format!("{why}; take a network without exit heads")));
    }
    let figures = figures(args, network)?;
    let text = match args.json {
        true => serde_json::to_string_pretty(&figures).expect("figures are JSON") + "\n",
        false => told::told(&figures),
    };
    printed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

fn devices(args: &SplitBenchArgs) -> Result<Devices, Failure> {
    let wrong = |error: DeviceError| match &error {
        DeviceError::Ranks { .. } => Failure::new(2, format!("--ranks: {error}")),
        _ => Failure::new(DATA, error),
    };
    let devices = Devices::load(&args.devices).map_err(wrong)?;
    let devices = match args.ranks {
        Some(ranks) => devices.first(ranks as usize).map_err(wrong)?,
        None => devices,
    };
    match devices.profiles().len() {
        1 => {
            let why = "splitting needs a server (rank 0) and at least one device, but there is 1 rank";
            Err(Failure::new(2, format!("--devices {}: {why}; use a file with two profiles or more", args.devices)))
        }
        _ => Ok(devices),
    }
}

fn figures(args: &SplitBenchArgs, network: &Network) -> Result<Figures, Failure> {
    let devices = devices(args)?;
    let blocks = network.cuts().len() + 1;
    let least = args.least_cut as usize;
    if least > blocks {
        let why = format!("--least-cut: {least} is beyond the network, which has {blocks} blocks; use 0 to {blocks}");
        return Err(Failure::new(2, why));
    }
    // The optimizer of ARES is momentum: one vector.
    let terms = SplitTerms { batch: args.batch as usize, steps: args.round_steps, vectors: 1, least };
    let idle = if args.no_idle { Idle::Free } else { Idle::Charged };
    let both = Fleet { idle, ..split_fleet(network, &devices, &terms) };
    let mut uplink = both.clone();
    for cost in uplink.members.iter_mut().flat_map(|member| &mut member.cuts) {
        cost.down = Bytes(0);
    }
    let objective = Objective::weighted(args.alpha);
    let case = |links, fleet: &Fleet| Case { links, fleet: fleet.clone(), objective };
    let mut cases = Vec::new();
    if args.both || !args.uplink_only {
        cases.push(case(Links::Both, &both));
    }
    if args.uplink_only || !args.both {
        cases.push(case(Links::Uplink, &uplink));
    }
    let infeasible = |error: Infeasible| Failure::new(3, format!("{}: {error}", args.devices));
    let news = devices.news_until();
    let rounds = rounds(args, news, &both);
    let comparisons: Result<Vec<_>, _> = cases.iter().map(|case| policies::compare(case, rounds, news)).collect();
    let comparisons = comparisons.map_err(infeasible)?;
    let (mut sweeps, mut limits) = (Vec::new(), Vec::new());
    // Of links that change there is no one rate: a sweep only where it is asked for.
    if news.is_none() || !args.rates.is_empty() {
        let rates = if args.rates.is_empty() { sweep::RATES } else { &args.rates };
        for case in &cases {
            sweeps.push(sweep::sweep(case, rates).map_err(infeasible)?);
            limits.extend(limits::limits(case).map_err(infeasible)?);
        }
    }
    let took = comparisons.iter().map(policies::Comparison::longest).fold(0.0, f64::max);
    Ok(Figures {
        devices: devices.name().to_owned(),
        model: network.spec().name.clone(),
        batch: u64::from(args.batch),
        round_steps: args.round_steps,
        alpha: args.alpha,
        idle_charged: !args.no_idle,
        least_cut: least,
        boards: devices.profiles().iter().map(|profile| profile.name.clone()).collect(),
        comparisons,
        sweeps,
        limits,
        notes: devices.outlived(Seconds(took)).into_iter().collect(),
    })
}

/// As many as were asked for, else one, or where conditions change as many as federated learning plays until they repeat.
fn rounds(args: &SplitBenchArgs, news: Option<Seconds>, fleet: &Fleet) -> usize {
    let until = |end: Seconds| (end.0 / federated(fleet).time.0).ceil().clamp(1.0, 1000.0) as usize;
    args.rounds.map_or_else(|| news.map_or(1, until), |rounds| rounds as usize)
}

#[cfg(test)]
mod tests;
