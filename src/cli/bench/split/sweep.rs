//! The best cuts at each rate of the links, for each weight of time against energy.

use super::{Case, Links, federated, saving, straggler};
use crate::plan::split::{Fleet, Idle, Infeasible, Objective};
use crate::units::Seconds;
use serde::Serialize;

/// Mbit/s.
pub const RATES: &[f64] = &[5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 75.0, 100.0];

/// Weights of time against energy.
pub const ALPHAS: [f64; 6] = [0.0, 0.25, 0.5, 0.6, 0.75, 1.0];

/// One link model at all rates.
#[derive(Debug, Serialize)]
pub struct Sweep {
    pub links: Links,
    /// The rank of the device that all others wait for, whose cut is shown.
    pub straggler: usize,
    /// Its cut that is no split.
    pub whole: usize,
    pub rates: Vec<Rate>,
}

/// One rate.
#[derive(Debug, Serialize)]
pub struct Rate {
    pub mbit_per_s: f64,
    /// Everything on the devices.
    pub federated_s: f64,
    pub federated_j: f64,
    pub best: Vec<Best>,
    /// The best for the weight that was asked for, where waiting costs energy and where it does not.
    pub idle_charged: Best,
    pub idle_free: Best,
}

/// The best cuts for one weight.
#[derive(Debug, Clone, Serialize)]
pub struct Best {
    pub alpha: f64,
    pub cuts: Vec<usize>,
    /// Whether all ways to cut were looked at.
    pub exact: bool,
    pub modelled_round_s: f64,
    pub modelled_round_j: f64,
    pub saved_time: f64,
    pub saved_energy: f64,
}

/// The best at all rates.
pub fn sweep(case: &Case, rates: &[f64]) -> Result<Sweep, Infeasible> {
    let rates: Result<Vec<Rate>, _> = rates.iter().map(|mbit| rate(case, *mbit)).collect();
    let (straggler, whole) = (straggler(&case.fleet) + 1, case.fleet.blocks());
    Ok(Sweep { links: case.links, straggler, whole, rates: rates? })
}

fn rate(case: &Case, mbit: f64) -> Result<Rate, Infeasible> {
    let fleet = case.at_rate(mbit);
    let local = federated(&fleet);
    let best: Result<Vec<Best>, _> = ALPHAS.iter().map(|alpha| best(&fleet, *alpha)).collect();
    let with = |idle| best_with(&fleet, idle, case.objective.alpha);
    Ok(Rate {
        mbit_per_s: mbit,
        federated_s: local.time.0,
        federated_j: local.energy.0,
        best: best?,
        idle_charged: with(Idle::Charged)?,
        idle_free: with(Idle::Free)?,
    })
}

fn best_with(fleet: &Fleet, idle: Idle, alpha: f64) -> Result<Best, Infeasible> {
    best(&Fleet { idle, ..fleet.clone() }, alpha)
}

/// The best cuts of a fleet, and what they save against everything on the devices.
pub fn best(fleet: &Fleet, alpha: f64) -> Result<Best, Infeasible> {
    let (local, choice) = (federated(fleet), fleet.choose(&Objective::weighted(alpha), Seconds(0.0))?);
    Ok(Best {
        alpha,
        exact: choice.exact,
        modelled_round_s: choice.point.time.0,
        modelled_round_j: choice.point.energy.0,
        saved_time: saving(choice.point.time.0, local.time.0),
        saved_energy: saving(choice.point.energy.0, local.energy.0),
        cuts: choice.cuts,
    })
}
