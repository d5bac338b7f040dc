//! Ways of choosing cuts, compared over many rounds.

use super::{Controller, Fleet, Infeasible, Member, Norms, Objective, Observation, Point, Protocol, Round, Share};
use crate::units::{Joules, Seconds};

/// A way of choosing cuts.
#[derive(Debug, Clone, PartialEq)]
pub enum Policy {
    /// The best cuts for the conditions at time 0, kept for ever.
    Static,
    /// Chosen every round out of what the rounds before it showed, by a [`super::Controller`].
    Ares {
        /// Weight of the newest round.
        smoothing: f64,
        /// Share by which other cuts have to be better.
        hysteresis: f64,
    },
    /// Chosen every round, knowing what the links and machines will do in it. No policy is better in a single round.
    Clairvoyant,
    /// These cuts, one a device.
    Fixed(Vec<usize>),
    /// Everything on the devices.
    Federated,
    /// Classic split learning: devices one after the other, with this common cut or the best for time 0.
    Classic(Option<usize>),
}

/// One round as a policy played it.
#[derive(Debug, Clone, PartialEq)]
pub struct Played {
    /// The cuts.
    pub cuts: Vec<usize>,
    /// When the round began.
    pub start: Seconds,
    /// Its time, and the energy of all devices.
    pub point: Point,
    /// The server's energy.
    pub server: Joules,
}

/// Rounds as a policy played them.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The rounds.
    pub rounds: Vec<Played>,
    /// What they are weighed by: the same for all policies of a fleet.
    pub norms: Norms,
    /// The weight of time.
    pub alpha: f64,
}

/// How much more than another run one took, as shares: 0.05 is 5 % more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Regret {
    /// Of time.
    pub time: f64,
    /// Of energy.
    pub energy: f64,
    /// Of the objective J, in the norms at time 0.
    pub value: f64,
}

impl Run {
    /// Time and energy of all devices, of all rounds.
    pub fn total(&self) -> Point {
        let time = self.rounds.iter().map(|round| round.point.time).sum();
        let energy = self.rounds.iter().map(|round| round.point.energy).sum();
        Point { time, energy }
    }

    /// The objective J of all rounds.
    pub fn value(&self) -> f64 {
        Objective::weighted(self.alpha).value(self.total(), &self.norms).unwrap_or(f64::INFINITY)
    }

    /// How much more than another run this one took.
    pub fn regret(&self, best: &Self) -> Regret {
        let more = |this: f64, best: f64| if this == best { 0.0 } else { this / best - 1.0 };
        let (this, other) = (self.total(), best.total());
        Regret {
            time: more(this.time.0, other.time.0),
            energy: more(this.energy.0, other.energy.0),
            value: more(self.value(), best.value()),
        }
    }
}

/// What decides on the next round.
enum Mind {
    Fixed(Vec<usize>),
    Controller(Box<Controller>),
    Clairvoyant,
}

impl Policy {
    /// Its name in tables.
    pub fn name(&self) -> String {
        match self {
            Self::Static => "static".into(),
            Self::Ares { .. } => "ares".into(),
            Self::Clairvoyant => "clairvoyant".into(),
            Self::Fixed(cuts) => {
                let common = cuts.iter().all(|cut| *cut == cuts[0]).then(|| &cuts[..1]);
                let cuts: Vec<String> = common.unwrap_or(cuts).iter().map(usize::to_string).collect();
                format!("split {}", cuts.join(","))
            }
            Self::Federated => "federated".into(),
            Self::Classic(None) => "classic".into(),
            Self::Classic(Some(cut)) => format!("classic {cut}"),
        }
    }

    /// Plays so many rounds, each from when the one before ended.
    ///
    /// # Errors
    /// When no cuts are within the limits of the objective.
    pub fn play(&self, fleet: &Fleet, objective: &Objective, rounds: usize) -> Result<Run, Infeasible> {
        let begin = Seconds(0.0);
        let norms = fleet.norms(begin)?;
        let protocol = match self {
            Self::Federated => Protocol::Federated,
            Self::Classic(_) => Protocol::Sequential,
            _ => fleet.protocol,
        };
        let fleet = &Fleet { protocol, ..fleet.clone() };
        let all = |cut: usize| Mind::Fixed(vec![cut; fleet.members.len()]);
        let mut mind = match self {
            Self::Static | Self::Classic(None) => Mind::Fixed(fleet.frozen(begin).choose(objective, begin)?.cuts),
            Self::Ares { smoothing, hysteresis } => {
                Mind::Controller(Box::new(Controller::new(fleet, *objective, *smoothing, *hysteresis)))
            }
            Self::Clairvoyant => Mind::Clairvoyant,
            Self::Fixed(cuts) => Mind::Fixed(cuts.clone()),
            Self::Federated => all(fleet.blocks()),
            Self::Classic(Some(cut)) => all(*cut),
        };
        let mut run = Run { rounds: Vec::with_capacity(rounds), norms, alpha: objective.alpha };
        let mut start = begin;
        for _ in 0..rounds {
            let cuts = match &mut mind {
                Mind::Fixed(cuts) => cuts.clone(),
                Mind::Controller(controller) => controller.decide()?.iter().map(|decision| decision.cut).collect(),
                Mind::Clairvoyant => fleet.choose(objective, start)?.cuts,
            };
            let round = fleet.simulate(&cuts, start);
            if let Mind::Controller(controller) = &mut mind {
                let seen = fleet.seen(&cuts, &round);
                seen.into_iter().enumerate().for_each(|(device, seen)| controller.observe(device, seen));
            }
            let point = fleet.cost(&round);
            run.rounds.push(Played { cuts, start, point, server: round.server.energy });
            start = round.end;
        }
        Ok(run)
    }
}

impl Fleet {
    /// What a round shows of each device: what it sent and received by how long that took, what it computed by what that
    /// costs, and the power mode in which it ends.
    pub fn seen(&self, cuts: &[usize], round: &Round) -> Vec<Observation> {
        let share = |amount: f64, by: Seconds| (amount > 0.0 && by.0 > 0.0).then(|| amount / by.0);
        let of = |((member, share_of), cut): ((&Member, &Share), &usize)| {
            let (cost, steps) = (&member.cuts[*cut], member.steps as f64);
            let whole = |a_step: u64, a_round: u64| steps * a_step as f64 + a_round as f64;
            Observation {
                up_bytes_per_s: share(whole(cost.up.0, cost.weights_up.0), share_of.sending),
                down_bytes_per_s: share(whole(cost.down.0, cost.weights_down.0), share_of.receiving),
                compute_ratio: share(share_of.computing.0, Seconds(steps * cost.compute().0)),
                server_ratio: share(share_of.served.0, Seconds(steps * cost.server.0)),
                power: Some(member.phases.at(round.end).power),
            }
        };
        self.members.iter().zip(&round.devices).zip(cuts).map(of).collect()
    }
}

#[cfg(test)]
mod tests;
