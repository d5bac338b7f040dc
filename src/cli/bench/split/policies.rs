//! Ways of choosing cuts beside each other: time and joules a round, and what is saved.

use super::{Case, Links, saving};
use crate::config::keys;
use crate::plan::split::{Infeasible, Played, Policy, Run};
use crate::strategy::Adaptive;
use crate::units::Seconds;
use serde::Serialize;

/// All ways under one link model.
#[derive(Debug, Serialize)]
pub struct Comparison {
    pub links: Links,
    pub rounds: usize,
    /// Whether conditions change while they are played.
    pub changing: bool,
    pub rows: Vec<Row>,
}

/// One way of choosing cuts.
#[derive(Debug, Serialize)]
pub struct Row {
    pub name: String,
    pub modelled_round_s: f64,
    pub modelled_round_j: f64,
    /// Of a round's time and energy, against everything on the devices.
    pub saved_time: f64,
    pub saved_energy: f64,
    /// The cuts of the first round, one a device, and how many times some changed.
    pub cuts: Vec<usize>,
    pub changes: usize,
    /// How much more than the clairvoyant policy it took, as shares: time, energy, and the objective.
    pub regret: [f64; 3],
}

impl Comparison {
    /// The time that the slowest took.
    pub fn longest(&self) -> f64 {
        self.rows.iter().map(|row| row.modelled_round_s * self.rounds as f64).fold(0.0, f64::max)
    }
}

/// Plays all policies.
pub fn compare(case: &Case, rounds: usize, news: Option<Seconds>) -> Result<Comparison, Infeasible> {
    let fleet = &case.fleet;
    let play = |policy: &Policy| policy.play(fleet, &case.objective, rounds);
    let mut policies = vec![("local (federated)".to_owned(), Policy::Federated)];
    policies.push(("classic split (sequential)".to_owned(), Policy::Classic(None)));
    for cut in 0..fleet.blocks() {
        let cuts = vec![cut; fleet.members.len()];
        if fleet.fits(&cuts) {
            policies.push((format!("split {cut}"), Policy::Fixed(cuts)));
        }
    }
    if news.is_some() {
        policies.push(("static".to_owned(), Policy::Static));
    }
    policies.push(("ARES (auto)".to_owned(), adaptive()));
    policies.push(("clairvoyant".to_owned(), Policy::Clairvoyant));
    let runs: Result<Vec<Run>, Infeasible> = policies.iter().map(|(_, policy)| play(policy)).collect();
    let runs = runs?;
    let (local, best) = (&runs[0], &runs[runs.len() - 1]);
    let rows = policies.iter().zip(&runs).map(|((name, _), run)| row(name, run, local, best)).collect();
    Ok(Comparison { links: case.links, rounds, changing: news.is_some(), rows })
}

/// ARES with the smoothing and the hysteresis that training has, unless it is told others.
pub fn adaptive() -> Policy {
    let smoothing = keys::key("smoothing").expect("a key of mode split").defaults();
    Policy::Ares { smoothing: smoothing.parse().expect("its default is a number"), hysteresis: Adaptive::MODELLED }
}

fn row(name: &str, run: &Run, local: &Run, best: &Run) -> Row {
    let (total, local, rounds) = (run.total(), local.total(), run.rounds.len() as f64);
    let regret = run.regret(best);
    let changed = |pair: &[Played]| pair[0].cuts != pair[1].cuts;
    Row {
        name: name.to_owned(),
        modelled_round_s: total.time.0 / rounds,
        modelled_round_j: total.energy.0 / rounds,
        saved_time: saving(total.time.0, local.time.0),
        saved_energy: saving(total.energy.0, local.energy.0),
        cuts: run.rounds.first().map(|round| round.cuts.clone()).unwrap_or_default(),
        changes: run.rounds.windows(2).filter(|pair| changed(pair)).count(),
        regret: [regret.time, regret.energy, regret.value],
    }
}
