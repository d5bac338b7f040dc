//! Mode split: a round of it is simulated, with the cuts that it would begin with.

use super::rates::Rates;
use super::subject::Subject;
use crate::cli::failure::Failure;
use crate::cli::prepare::Settled;
use crate::cli::split;
use crate::device::{Devices, Link, Profile};
use crate::nn::{Flavor, Program};
use crate::plan::scale::{Fabric, Prediction};
use crate::plan::split::{Fleet, Objective};
use crate::strategy::{Hyper, SplitCuts, split_fleet};
use crate::units::{Bytes, Joules, Seconds};

/// Devices beyond which all have one cut: of machines that are all alike more is not gained than it takes to find.
const MANY: usize = 8;

/// An epoch of mode split, its memory, and how it comes about. Without a device file all ranks are machines like this one.
///
/// # Errors
/// What mode split says of this configuration, and that no cut is within the limits.
pub fn predict(
    subject: &Subject,
    settled: &Settled,
    hyper: &Hyper,
    ranks: usize,
    rates: &mut Rates,
    fabric: &Fabric,
) -> Result<(Prediction, Bytes, String, Option<Joules>), Failure> {
    let (config, workers, work) = (&settled.config, ranks - 1, subject.work(hyper));
    let places = split::places(config, subject.origins, subject.network, subject.samples(), subject.devices, workers)?;
    let (protocol, cuts, _) = places;
    let least = if let SplitCuts::Auto(adaptive) = &cuts { adaptive.least } else { 0 };
    let all = work.count();
    let terms = split::terms(config, hyper, subject.samples(), workers, least);
    let (batch, steps) = (terms.batch, terms.steps.clamp(1, all));
    let made_up;
    let devices = match subject.devices {
        Some(devices) => devices,
        None => {
            made_up = alike(subject, hyper, ranks, batch, rates, fabric);
            &made_up
        }
    };
    let fleet = Fleet { protocol, ..split_fleet(subject.network, devices, &terms) };
    let (cuts, chosen) = match cuts {
        SplitCuts::Fixed(cuts) => (cuts, "given"),
        SplitCuts::Auto(adaptive) if subject.devices.is_none() && workers > MANY => {
            (one_cut(&fleet, &adaptive.objective, least), "one for all")
        }
        SplitCuts::Auto(adaptive) => {
            let choice = fleet.choose(&adaptive.objective, Seconds(0.0));
            (choice.map_err(|error| Failure::new(3, error))?.cuts, "chosen")
        }
    };
    let mut epoch = Prediction { steps: all, ..Prediction::default() };
    let (mut fleet, mut joules) = (fleet, Joules(0.0));
    for (rounds, steps) in [(all / steps, steps), (u64::from(all % steps > 0), all % steps)] {
        if rounds > 0 {
            fleet.members.iter_mut().for_each(|member| member.steps = steps);
            joules += add(&mut epoch, &fleet, &cuts, rounds);
        }
    }
    let costs = || fleet.members.iter().zip(&cuts).map(|(member, cut)| &member.cuts[*cut]);
    let on_server = costs().map(|cost| cost.server_memory.0);
    // Where all share one part on the server, it is there once.
    let on_server = if fleet.protocol.shares_server() { on_server.max().unwrap_or(0) } else { on_server.sum() };
    let memory = costs().map(|cost| cost.memory.0).max().unwrap_or(0).max(on_server);
    let told = match cuts.iter().all(|cut| *cut == cuts[0]) {
        true => format!("{} for each device", cuts[0]),
        false => cuts.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    };
    // Of machines that were made up from a measurement nobody knows what they draw.
    let joules = subject.devices.map(|_| joules);
    Ok((epoch, Bytes(memory), format!("{}, cuts {told}, {chosen}", protocol.name()), joules))
}

/// Adds so many rounds, all alike. Gives the joules of all machines in them.
fn add(epoch: &mut Prediction, fleet: &Fleet, cuts: &[usize], rounds: u64) -> Joules {
    let (round, times) = (fleet.simulate(cuts, Seconds(0.0)), rounds as f64);
    let each = |sum: f64| Seconds(sum * times / (cuts.len() + 1) as f64);
    let shares = || round.devices.iter().chain([&round.server]);
    let computing: f64 = shares().map(|share| share.computing.0).sum();
    let talking: f64 = round.devices.iter().map(|share| share.sending.0 + share.receiving.0).sum();
    let time = Seconds(round.time().0 * times);
    epoch.epoch += time;
    epoch.compute += each(computing);
    // What one end sends the other receives.
    epoch.talk += each(2.0 * talking);
    epoch.wait = Seconds((epoch.epoch.0 - epoch.compute.0 - epoch.talk.0).max(0.0));
    let costs = fleet.members.iter().zip(cuts).map(|(member, cut)| (member.steps, &member.cuts[*cut]));
    let down: u64 = costs.clone().map(|(steps, cost)| steps * cost.down.0 + cost.weights_down.0).sum();
    let up = costs.map(|(steps, cost)| steps * cost.up.0 + cost.weights_up.0).max().unwrap_or(0);
    epoch.sent += Bytes(down.max(up) * rounds);
    Joules((round.energy() + round.server.energy).0 * times)
}

/// The best of the cuts that all devices could have together.
fn one_cut(fleet: &Fleet, objective: &Objective, least: usize) -> Vec<usize> {
    let all = |cut| vec![cut; fleet.members.len()];
    let time = |cut: &usize| fleet.point(&all(*cut), Seconds(0.0)).time.0;
    debug_assert!(objective.alpha == 1.0, "nothing is known of power");
    let best = (least..=fleet.blocks()).min_by(|a, b| time(a).total_cmp(&time(b)));
    all(best.unwrap_or(fleet.blocks()))
}

/// Machines that compute as this one was measured to, one link between any two of them.
fn alike(subject: &Subject, hyper: &Hyper, ranks: usize, batch: usize, rates: &mut Rates, fabric: &Fabric) -> Devices {
    let step = rates.steps(subject, hyper, ranks, ranks - 1).step(batch).0.max(1e-12);
    let flops = Program::compile(subject.network, Flavor::Fused).flops();
    let rate = (flops.forward + flops.backward()).0 as f64 * batch as f64 / step;
    let wire = fabric.network.wire;
    let bytes_per_s = if wire.beta > 0.0 { 1.0 / wire.beta } else { f64::INFINITY };
    Devices::new("here", vec![Profile::new("this machine", rate); ranks], Link::new(bytes_per_s, wire.alpha))
}
