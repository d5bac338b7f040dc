//! Which cuts are next: what ranks can do and what links carried goes to the planner, and its answer is used.

use super::ability::Ability;
use super::costs::sizes;
use super::server::Server;
use super::sides::Sides;
use super::wire::Figures;
use super::{Adaptive, Split, SplitCuts};
use crate::device::{Clock, Ports, Power};
use crate::plan::split::{self as plan, Point};
use crate::plan::split::{Controller, CutCost, Decision, Fleet, Infeasible, Member, Observation, Phases, Way};
use crate::strategy::Task;
use crate::units::{Bytes, Seconds};

/// What was seen of a link before the first round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub up_bytes_per_s: f64,
    pub down_bytes_per_s: f64,
    pub latency: Seconds,
}

impl Link {
    /// Some link.
    const UNKNOWN: Self = Self { up_bytes_per_s: 1e9, down_bytes_per_s: 1e9, latency: Seconds(0.0) };
}

/// The choice of cuts.
pub(super) struct Chooser {
    adaptive: Option<Adaptive>,
    /// The server's, where cuts are chosen.
    own: Option<Ability>,
    ports_each: bool,
    abilities: Vec<Option<Ability>>,
    links: Vec<Option<Link>>,
    controller: Option<Controller>,
    /// By device: the costs of its cuts.
    costs: Vec<Vec<CutCost>>,
    /// By device: the steps of a planned round, and the samples of a step in the mean: the last of an epoch may be smaller.
    steps: Vec<u64>,
    rows: Vec<f64>,
    /// By device: what was predicted of the running round, and why its cut was chosen.
    predicted: Vec<Option<Point>>,
    reasons: Vec<String>,
}

impl Chooser {
    pub fn new(task: &Task, split: &Split, clock: &dyn Clock, sides: &Sides, rows: usize, devices: usize) -> Self {
        let adaptive = match &split.cuts {
            SplitCuts::Auto(adaptive) => Some(*adaptive),
            SplitCuts::Fixed(_) => None,
        };
        Self {
            adaptive,
            own: adaptive.map(|_| Ability::of(task, clock, sides, rows, true)),
            ports_each: clock.machine().is_none_or(|machine| machine.profile().ports == Ports::Each),
            abilities: vec![None; devices],
            links: vec![None; devices],
            controller: None,
            costs: Vec::new(),
            steps: vec![0; devices],
            rows: vec![1.0; devices],
            predicted: vec![None; devices],
            reasons: vec!["given".to_owned(); devices],
        }
    }

    /// Whether cuts are chosen, and so links have to be known.
    pub fn measures_links(&self) -> bool {
        self.adaptive.is_some()
    }

    /// A device told what it can do.
    pub fn meet(&mut self, device: usize, ability: Ability) {
        self.abilities[device] = Some(ability);
    }

    /// The machine that a device emulates; empty where it is itself.
    pub fn name(&self, device: usize) -> &str {
        self.abilities[device].as_ref().map_or("", |ability| &ability.name)
    }

    /// Whether a device emulates a machine.
    pub fn is_emulated(&self, device: usize) -> bool {
        self.abilities[device].as_ref().is_some_and(|ability| ability.emulated)
    }

    /// Whether a device told what it can do.
    pub fn has_met(&self, device: usize) -> bool {
        self.abilities[device].is_some()
    }

    /// What was seen of a device's link.
    pub fn link(&mut self, device: usize, link: Link) {
        self.links[device] = Some(link);
    }

    /// A device has died.
    pub fn remove(&mut self, device: usize) {
        if let Some(controller) = &mut self.controller {
            controller.remove(device);
        }
    }

    /// Takes decisions; the cuts that they make.
    fn take(&mut self, decisions: Vec<Decision>, cuts: &mut [usize]) {
        for decision in decisions {
            cuts[decision.device] = decision.cut;
            self.predicted[decision.device] = Some(decision.predicted);
            self.reasons[decision.device] = decision.reason;
        }
    }

    /// What was predicted of a device's running round.
    pub fn predicted(&self, device: usize) -> Option<Point> {
        self.predicted[device]
    }

    /// The samples of a device's round as it was planned.
    pub fn planned(&self, device: usize) -> f64 {
        self.steps[device] as f64 * self.rows[device]
    }

    /// Why a device's cut was chosen.
    pub fn reason(&self, device: usize) -> &str {
        &self.reasons[device]
    }
}

impl Server<'_> {
    /// The cuts of the first round.
    ///
    /// # Errors
    /// When none are within the limits. It is this rank's own error: the devices wait for orders.
    pub(super) fn first_cuts(&mut self) -> Result<(), Infeasible> {
        let Some(adaptive) = self.chooser.adaptive else { return Ok(()) };
        self.chooser.rows = (0..self.fleet.len()).map(|device| self.mean_step(device)).collect();
        let fleet = self.as_planned();
        self.chooser.steps = fleet.members.iter().map(|member| member.steps).collect();
        let known = |device: &usize| self.chooser.abilities[*device].is_some() && self.chooser.links[*device].is_some();
        let dead: Vec<usize> = (0..self.fleet.len()).filter(|device| !known(device)).collect();
        if dead.len() == self.fleet.len() {
            return Ok(());
        }
        self.chooser.costs = fleet.members.iter().map(|member| member.cuts.clone()).collect();
        let mut controller = Controller::new(&fleet, adaptive.objective, adaptive.smoothing, adaptive.hysteresis);
        dead.iter().for_each(|device| controller.remove(*device));
        let decisions = controller.decide()?;
        // The server's part is made for the first of those that share one, be it dead.
        dead.into_iter().for_each(|device| self.cuts[device] = decisions[0].cut);
        self.chooser.take(decisions, &mut self.cuts);
        self.chooser.controller = Some(controller);
        Ok(())
    }

    /// The cuts of the next round, out of what this one showed.
    ///
    /// Where none are within the limits any more those that there are stay: who trains would rather miss a limit than lose
    /// the training. Tells why.
    pub(super) fn next_cuts(&mut self, seen: &[Option<Observation>]) -> Option<Infeasible> {
        let controller = self.chooser.controller.as_mut()?;
        for (device, seen) in seen.iter().enumerate() {
            if let Some(seen) = seen {
                controller.observe(device, *seen);
            }
        }
        (0..self.fleet.len()).filter(|device| !self.fleet.stays(*device)).for_each(|device| controller.remove(device));
        if self.fleet.staying().is_empty() {
            return None;
        }
        match controller.decide() {
            Ok(decisions) => {
                self.chooser.take(decisions, &mut self.cuts);
                None
            }
            Err(why) => {
                self.chooser.reasons.iter_mut().for_each(|reason| *reason = format!("stays: {why}"));
                self.chooser.predicted.fill(None);
                Some(why)
            }
        }
    }

    /// What a device's round showed.
    pub(super) fn observation(&self, device: usize, cut: usize, figures: &Figures, report: [f64; 2]) -> Observation {
        let rate = |bytes: f64, seconds: f64| {
            (bytes > 0.0).then(|| if seconds > 0.0 { bytes / seconds } else { f64::INFINITY })
        };
        let (mut up, mut down) = (None, None);
        if self.chooser.is_emulated(device) {
            up = rate(figures.up + report[0], figures.up_s + report[1]);
            down = rate(figures.down, figures.down_s);
        } else if figures.up > 0.0 {
            // How long each direction took nobody knows: clocks of different machines are not compared. The batch that
            // waited least stood behind no other at the server.
            let (bytes, served) = (figures.up + figures.down, self.served[device][1]);
            let both = rate(bytes / figures.steps, (figures.least_wait - served / figures.steps).max(0.0));
            (up, down) = (both, both);
        }
        // Costs are those of a mean step.
        let batches = figures.samples / self.chooser.rows[device];
        let ratio = |seen: f64, cost: Seconds| (cost.0 > 0.0 && seen > 0.0).then(|| seen / (cost.0 * batches));
        let cost = self.chooser.costs.get(device).map(|costs| costs[cut]).unwrap_or_default();
        let watts = [figures.compute_w, figures.idle_w, figures.send_w, figures.receive_w].map(crate::units::Watts);
        let [compute, idle, send, receive] = watts;
        Observation {
            up_bytes_per_s: up.filter(|rate| rate.is_finite()),
            down_bytes_per_s: down.filter(|rate| rate.is_finite()),
            compute_ratio: ratio(figures.computed, cost.compute()),
            server_ratio: ratio(self.served[device][1], cost.server),
            power: self.chooser.is_emulated(device).then_some(Power { compute, idle, send, receive }),
        }
    }

    /// The devices as the planner sees them.
    fn as_planned(&self) -> Fleet {
        let (chooser, dealer) = (&self.chooser, &self.dealer);
        let own = chooser.own.as_ref().expect("cuts are chosen");
        let least = chooser.adaptive.map_or(0, |adaptive| adaptive.least);
        let sizes = |rows: usize| sizes(self.sides, rows, self.task.hyper.rule.vectors(), least);
        let whole = sizes(dealer.batch());
        let member = |device: usize| {
            // Of one that has died before it told, anything will do: it is not decided on.
            let ability = chooser.abilities[device].as_ref().unwrap_or(own);
            let link = chooser.links[device].unwrap_or(Link::UNKNOWN);
            let rows = chooser.rows[device];
            let share = |time: Seconds| Seconds(time.0 * rows / dealer.batch() as f64);
            let costs = sizes(rows.ceil() as usize).into_iter().enumerate().map(|(cut, cost)| {
                let [forward, backward] = ability.first[cut].map(share);
                // One that is alone has the mean already.
                let alone = if self.fleet.len() == 1 { whole[0].weights_down } else { cost.weights_down };
                let (memory, server_memory) = (whole[cut].memory, whole[cut].server_memory);
                let server = share(own.rest[cut]);
                CutCost { forward, backward, server, memory, server_memory, weights_down: alone, ..cost }
            });
            Member {
                name: format!("rank {}", device + 1),
                cuts: costs.collect(),
                up: Way::constant(link.up_bytes_per_s, link.latency),
                down: Way::constant(link.down_bytes_per_s, link.latency),
                phases: Phases::constant(ability.power),
                memory: Bytes(ability.memory.0.min(u64::MAX - 1)),
                steps: self.steps_of_round(device),
            }
        };
        let server =
            plan::Server { memory: own.memory, ports_each: chooser.ports_each, ..plan::Server::new(own.power) };
        Fleet::new((0..self.fleet.len()).map(member).collect(), server, self.split.protocol)
    }

    /// Samples of a device's step in the mean of an epoch; of those that it has.
    fn mean_step(&self, device: usize) -> f64 {
        let (all, parts) = (self.dealer.steps(), self.fleet.len());
        let each = (0..all).map(|step| self.dealer.samples(device, step, device, parts).len()).filter(|len| *len > 0);
        let (steps, samples) = each.fold((0, 0), |(steps, samples), len| (steps + 1, samples + len));
        if steps > 0 { f64::from(samples as u32) / f64::from(steps) } else { self.dealer.batch() as f64 }
    }

    /// Steps of a device in a whole round.
    fn steps_of_round(&self, device: usize) -> u64 {
        let (all, parts) = (self.dealer.steps(), self.fleet.len());
        let own = (0..all).filter(|step| !self.dealer.samples(device, *step, device, parts).is_empty()).count() as u64;
        self.split.round_steps.map_or(own, |steps| steps.get().min(own))
    }
}
