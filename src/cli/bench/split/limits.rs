//! From which rate of the links on the published savings are reached, and from which on splitting saves anything.

use super::sweep::best;
use super::{Case, Links, saving, straggler};
use crate::plan::split::{Fleet, Idle, Infeasible, Member, Point};
use crate::units::Seconds;
use serde::Serialize;

/// What the paper's abstract says: up to 48 % less time, up to 61.4 % less energy.
pub const TIME: f64 = 0.48;
pub const ENERGY: f64 = 0.614;

/// Mbit/s between which rates are looked for.
const LOWEST: f64 = 0.1;
pub const HIGHEST: f64 = 10_000.0;

/// A saving, and the least rate that allows it; none up to [`HIGHEST`].
#[derive(Debug, Serialize)]
pub struct Limit {
    pub links: Links,
    /// Of all devices in a round, or of the straggler alone in a step, its server taking no time.
    pub of: &'static str,
    pub what: &'static str,
    pub saving: f64,
    pub mbit_per_s: Option<f64>,
}

/// What is saved: its name, how much of it, the figure, and the weight of time that saves most of it.
struct Aim<'a> {
    what: &'static str,
    saving: f64,
    case: &'a Case,
    figure: fn(Point) -> f64,
    alpha: f64,
}

/// All limits under one link model.
pub fn limits(case: &Case) -> Result<Vec<Limit>, Infeasible> {
    let with = |idle| Case { fleet: Fleet { idle, ..case.fleet.clone() }, ..*case };
    let (charged, free) = (with(Idle::Charged), with(Idle::Free));
    let mut alone = case.fleet.members[straggler(&case.fleet)].clone();
    alone.cuts.iter_mut().for_each(|cost| cost.server = Seconds(0.0));
    let time: fn(Point) -> f64 = |point| point.time.0;
    let energy: fn(Point) -> f64 = |point| point.energy.0;
    let aim = |what, saving, case, figure, alpha| Aim { what, saving, case, figure, alpha };
    let aims = [
        aim("splitting saves time", 1e-9, &charged, time, 1.0),
        aim("time", TIME, &charged, time, 1.0),
        aim("energy, waiting charged", ENERGY, &charged, energy, 0.0),
        aim("energy, waiting free", ENERGY, &free, energy, 0.0),
    ];
    let mut limits = Vec::new();
    for Aim { what, saving: target, case, figure, alpha } in aims {
        let whole = |mbit| -> Result<f64, Infeasible> {
            let best = best(&case.at_rate(mbit), alpha)?;
            Ok(if alpha > 0.0 { best.saved_time } else { best.saved_energy })
        };
        let step = |mbit| Ok(step_saving(&at_rate(&alone, mbit), case.fleet.idle, figure));
        for (of, mbit_per_s) in [
            ("all devices, a round", least_rate(target, whole)?),
            ("straggler alone, a step, server takes no time", least_rate(target, step)?),
        ] {
            limits.push(Limit { links: case.links, of, what, saving: target, mbit_per_s });
        }
    }
    Ok(limits)
}

fn at_rate(member: &Member, mbit: f64) -> Member {
    let way = |latency| crate::plan::split::Way::constant(mbit * 1e6 / 8.0, latency);
    Member { up: way(member.up.latency()), down: way(member.down.latency()), ..member.clone() }
}

/// What the best cut of one device saves in a step.
pub fn step_saving(member: &Member, idle: Idle, figure: fn(Point) -> f64) -> f64 {
    let points = member.steps(Seconds(0.0), idle);
    let least = points.iter().flatten().map(|point| figure(*point)).fold(f64::INFINITY, f64::min);
    let local = member.step(points.len() - 1, Seconds(0.0), idle);
    saving(least, figure(local))
}

/// The least rate at which a saving is reached, to a thousandth; savings grow with the rate.
fn least_rate(target: f64, saving: impl Fn(f64) -> Result<f64, Infeasible>) -> Result<Option<f64>, Infeasible> {
    let (mut below, mut reached) = (LOWEST, HIGHEST);
    if saving(reached)? < target {
        return Ok(None);
    }
    while reached / below > 1.001 {
        let middle = (below * reached).sqrt();
        match saving(middle)? < target {
            true => below = middle,
            false => reached = middle,
        }
    }
    Ok(Some(reached))
}
