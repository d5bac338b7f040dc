//! Cuts chosen round by round, out of what was measured.

use super::{CutCost, Fleet, Infeasible, Member, Objective, Phases, Point, Server, Way};
use crate::device::Power;
use crate::units::Seconds;

/// What was seen of one device in a round; what is missing was not seen.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Observation {
    /// Bytes a second from it to the server.
    pub up_bytes_per_s: Option<f64>,
    /// Bytes a second from the server to it.
    pub down_bytes_per_s: Option<f64>,
    /// Its computing time over what [`super::CutCost`] says for the cut that it had.
    pub compute_ratio: Option<f64>,
    /// The server's computing time for it, likewise.
    pub server_ratio: Option<f64>,
    /// What it draws in its power mode now.
    pub power: Option<Power>,
}

/// What was decided for one device.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Its place among the devices.
    pub device: usize,
    /// Its cut from now on.
    pub cut: usize,
    /// The one before; the same at the first decision.
    pub previous: usize,
    /// What its next round is predicted to take, until the server has its part, and its energy in the whole round.
    pub predicted: Point,
    /// Why, in one short sentence.
    pub reason: String,
}

/// What is believed of one device.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Belief {
    /// Bytes a second to the server and from it; computing times over those of the costs, on the device and the server.
    values: [f64; 4],
    /// Which of them were seen, not only assumed.
    seen: [bool; 4],
    power: Power,
}

/// The places of a belief's values.
const UP: usize = 0;
const DOWN: usize = 1;
const COMPUTE: usize = 2;
const SERVER: usize = 3;

/// A change that is worth telling of as a reason.
const NOTEWORTHY: f64 = 1.05;

/// Chooses cuts every round.
///
/// # Math
/// With smoothing β, what is believed becomes β·seen + (1 − β)·believed; the first thing seen replaces what was assumed.
/// New cuts are taken if their value is below (1 − hysteresis) times that of staying, both measured in the same norms, or
/// if the cuts that there are do not meet the limits any more.
#[derive(Debug, Clone)]
pub struct Controller {
    /// Under the conditions at time 0.
    fleet: Fleet,
    objective: Objective,
    smoothing: f64,
    hysteresis: f64,
    /// By device; none of those that are gone.
    beliefs: Vec<Option<Belief>>,
    /// By device: what was believed when its cut was last changed.
    grounds: Vec<Option<Belief>>,
    /// By device, once decided.
    cuts: Option<Vec<usize>>,
    decided: bool,
}

impl Controller {
    /// A controller that believes what the fleet is at time 0, until it sees something else.
    ///
    /// # Panics
    /// If `smoothing`, the weight of the newest round, is not above 0 and up to 1, or `hysteresis`, the share by which
    /// other cuts have to be better, not from 0 and below 1.
    pub fn new(fleet: &Fleet, objective: Objective, smoothing: f64, hysteresis: f64) -> Self {
        assert!(smoothing > 0.0 && smoothing <= 1.0, "the newest round has a weight above 0 and up to 1");
        assert!((0.0..1.0).contains(&hysteresis), "nothing is better by its whole value");
        let fleet = fleet.frozen(Seconds(0.0));
        let server = 1.0 / fleet.server.phases.at(Seconds(0.0)).speed;
        let belief = |member: &Member| {
            let (phase, probe) = (member.phases.at(Seconds(0.0)), member.probe());
            let rate = |way: &Way| way.throughput(Seconds(0.0), probe);
            let values = [rate(&member.up), rate(&member.down), 1.0 / phase.speed, server];
            Some(Belief { values, seen: [false; 4], power: phase.power })
        };
        let beliefs: Vec<_> = fleet.members.iter().map(belief).collect();
        let grounds = beliefs.clone();
        Self { fleet, objective, smoothing, hysteresis, beliefs, grounds, cuts: None, decided: false }
    }

    /// Begins with these cuts, one a device, instead of the best: as one that goes on after a pause.
    ///
    /// # Panics
    /// If there are not as many cuts as devices.
    pub fn starting_with(self, cuts: Vec<usize>) -> Self {
        assert_eq!(cuts.len(), self.beliefs.len(), "a cut a device");
        Self { cuts: Some(cuts), decided: true, ..self }
    }

    /// Takes notice of what was seen of a device. What cannot be, a rate below 0 or a ratio of 0, was not seen.
    pub fn observe(&mut self, device: usize, seen: Observation) {
        let Some(belief) = &mut self.beliefs[device] else { return };
        let news = [seen.up_bytes_per_s, seen.down_bytes_per_s, seen.compute_ratio, seen.server_ratio];
        for (at, new) in news.into_iter().enumerate() {
            let Some(new) = new.filter(|new| *new >= 0.0 && (*new > 0.0 || at < COMPUTE)) else { continue };
            let old = belief.values[at];
            // An infinite rate has no part that could be kept.
            let smooth = belief.seen[at] && old.is_finite() && new.is_finite();
            belief.values[at] = if smooth { self.smoothing * new + (1.0 - self.smoothing) * old } else { new };
            belief.seen[at] = true;
        }
        belief.power = seen.power.unwrap_or(belief.power);
    }

    /// Forgets a device that has died; the others keep their numbers.
    pub fn remove(&mut self, device: usize) {
        self.beliefs[device] = None;
    }

    /// What is believed: the devices that are left, in their order, under constant conditions. None if none is left.
    pub fn believed(&self) -> Option<Fleet> {
        let members: Vec<Member> = (self.fleet.members.iter().zip(&self.beliefs))
            .filter_map(|(member, belief)| Some(belief.as_ref()?.applied_to(member)))
            .collect();
        let power = self.fleet.server.phases.at(Seconds(0.0)).power;
        let server = Server { phases: Phases::constant(power), ..self.fleet.server.clone() };
        (!members.is_empty()).then(|| Fleet { members, server, ..self.fleet.clone() })
    }

    /// The devices that are left.
    fn left(&self) -> Vec<usize> {
        (0..self.beliefs.len()).filter(|device| self.beliefs[*device].is_some()).collect()
    }

    /// Decides on the next round: one decision for each device that is left, in their order.
    ///
    /// # Errors
    /// When no cuts are within the limits. What was decided before stays.
    pub fn decide(&mut self) -> Result<Vec<Decision>, Infeasible> {
        let fleet = self.believed().ok_or(Infeasible::Nothing)?;
        let left = self.left();
        let previous: Option<Vec<usize>> =
            self.cuts.as_ref().map(|cuts| left.iter().map(|device| cuts[*device]).collect());
        let best = fleet.choose_from(&self.objective, Seconds(0.0), previous.as_deref().unwrap_or(&[]))?;
        let staying = match &previous {
            Some(cuts) if fleet.fits(cuts) => {
                let norms = fleet.norms(Seconds(0.0))?;
                let point = fleet.point(cuts, Seconds(0.0));
                let value = |point| self.objective.value(point, &norms);
                value(point).map(|stay| if stay > 0.0 { 1.0 - value(best.point).unwrap_or(stay) / stay } else { 0.0 })
            }
            _ => None,
        };
        let verdict = match (&previous, staying) {
            (None, _) => Verdict::Begin,
            (Some(cuts), Some(_)) if *cuts == best.cuts => Verdict::Stay { saving: 0.0 },
            (Some(_), Some(saving)) if saving > self.hysteresis => Verdict::Change { saving },
            (Some(_), Some(saving)) => Verdict::Stay { saving },
            (Some(_), None) => Verdict::Must,
        };
        let cuts = match (verdict, &previous) {
            (Verdict::Stay { .. }, Some(previous)) => previous.clone(),
            _ => best.cuts.clone(),
        };
        let round = fleet.simulate(&cuts, Seconds(0.0));
        let decisions = left.iter().enumerate().map(|(at, &device)| {
            let (cut, before) = (cuts[at], previous.as_ref().map_or(cuts[at], |previous| previous[at]));
            let share = &round.devices[at];
            let predicted = Point { time: share.delivered, energy: share.energy };
            let reason = self.reason(verdict, device, before, cut, best.cuts[at], predicted);
            Decision { device, cut, previous: before, predicted, reason }
        });
        let decisions: Vec<Decision> = decisions.collect();
        self.remember(&decisions);
        Ok(decisions)
    }

    fn remember(&mut self, decisions: &[Decision]) {
        let mut all = self.cuts.take().unwrap_or_else(|| vec![0; self.beliefs.len()]);
        for decision in decisions {
            all[decision.device] = decision.cut;
            if !self.decided || decision.cut != decision.previous {
                self.grounds[decision.device] = self.beliefs[decision.device];
            }
        }
        (self.cuts, self.decided) = (Some(all), true);
    }

    fn reason(&self, verdict: Verdict, device: usize, before: usize, cut: usize, best: usize, next: Point) -> String {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        match verdict {
            Verdict::Begin => format!("begins at {cut}: {:.3} s and {:.3} J a round", next.time.0, next.energy.0),
            Verdict::Stay { .. } if best == cut => format!("stays at {cut}: nothing is better"),
            Verdict::Stay { saving } => {
                let most = percent(self.hysteresis);
                format!("stays at {cut}: {best} would save {}, not more than {most}", percent(saving))
            }
            Verdict::Must if cut == before => format!("stays at {cut}: others had to change"),
            Verdict::Must => format!("{before} -> {cut}: {before} is not within the limits any more"),
            Verdict::Change { .. } if cut == before => format!("stays at {cut}: best beside the new cuts of others"),
            Verdict::Change { saving } => {
                let why = self.change(device).unwrap_or_else(|| format!("saves {}", percent(saving)));
                format!("{before} -> {cut}: {why}")
            }
        }
    }

    /// What has changed most since this device's cut was chosen.
    fn change(&self, device: usize) -> Option<String> {
        let (new, old) = (self.beliefs[device].as_ref()?, self.grounds[device].as_ref()?);
        let ratio = |at: usize| new.values[at] / old.values[at];
        let size = |at: &usize| ratio(*at).ln().abs();
        let most = [UP, DOWN, COMPUTE, SERVER].into_iter().filter(|at| size(at) > NOTEWORTHY.ln());
        let at = most.max_by(|one, other| size(one).total_cmp(&size(other)))?;
        let mbit = new.values[at] * 8.0 / 1e6;
        let direction = if ratio(at) < 1.0 { "fell" } else { "rose" };
        Some(match at {
            UP => format!("uplink {direction} to {mbit:.1} Mbit/s"),
            DOWN => format!("downlink {direction} to {mbit:.1} Mbit/s"),
            COMPUTE => format!("device computes for {:.2} times as long", ratio(at)),
            _ => format!("server computes for {:.2} times as long", ratio(at)),
        })
    }
}

#[derive(Debug, Clone, Copy)]
enum Verdict {
    /// There were no cuts.
    Begin,
    /// The best would save too little.
    Stay { saving: f64 },
    /// The best save enough.
    Change { saving: f64 },
    /// The cuts that there were are not within the limits.
    Must,
}

impl Belief {
    fn applied_to(&self, member: &Member) -> Member {
        let scaled = |time: Seconds, at: usize| Seconds(time.0 * self.values[at]);
        let cuts = member.cuts.iter().map(|cost| CutCost {
            forward: scaled(cost.forward, COMPUTE),
            backward: scaled(cost.backward, COMPUTE),
            server: scaled(cost.server, SERVER),
            ..*cost
        });
        Member {
            cuts: cuts.collect(),
            up: Way::constant(self.values[UP], member.up.latency()),
            down: Way::constant(self.values[DOWN], member.down.latency()),
            phases: Phases::constant(self.power),
            ..member.clone()
        }
    }
}

#[cfg(test)]
mod tests;
