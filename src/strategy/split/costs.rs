//! What splitting a network costs on real profiles: the link between networks, device files and the split planner.

use super::sides::{Side, Sides};
use super::wire::{Figures, Round};
use super::{Split, SplitCuts};
use crate::comm::{HEADER, Kind};
use crate::device::{Devices, Pass, Ports, Profile};
use crate::nn::Network;
use crate::plan::split::{CutCost, Fleet, Member, Phase, Phases, Protocol, Server, Way};
use crate::strategy::Hyper;
use crate::strategy::figures::elements;
use crate::units::{Bytes, Seconds};
use std::ops::Range;

/// How a network is trained in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SplitTerms {
    /// Samples of a device's step.
    pub batch: usize,
    /// Steps of a device in a round.
    pub steps: u64,
    /// Vectors as long as the weights that the optimizer keeps.
    pub vectors: usize,
    /// The fewest blocks that a device keeps. With 0 a device may send its samples as they are.
    pub least: usize,
}

/// What the cuts 0..=L cost, but for time: messages and memory.
///
/// Cuts before `least` need more memory than any device has, so that the planner never takes them.
pub(super) fn sizes(sides: &Sides, rows: usize, vectors: usize, least: usize) -> Vec<CutCost> {
    let blocks = sides.blocks();
    let message = |elements: usize| Bytes((HEADER + 4 * elements) as u64);
    let memory = |side: Option<&Side>| Bytes(side.map_or(0, |side| side.memory(rows, vectors)));
    let cost = |cut: usize| {
        let weights = sides.theta_at(cut) + sides.sigma_at(cut);
        // What crosses the cut: behind no block the samples, whose gradient is nobody's.
        let crossing = rows * sides.crossing(cut);
        let (up, down) = match cut {
            cut if cut == blocks => (Bytes(0), Bytes(0)),
            cut => (message(crossing + rows), message(if cut > 0 { crossing } else { 0 })),
        };
        CutCost {
            up,
            down,
            memory: if cut < least { Bytes(u64::MAX) } else { memory(sides.device(cut)) },
            server_memory: memory(sides.server(cut)),
            weights_up: message(weights + elements::<Figures>(Kind::F32)),
            weights_down: message(weights + elements::<Round>(Kind::F32)),
            ..CutCost::default()
        }
    };
    (0..=blocks).map(cost).collect()
}

/// What a device needs for its part at each cut 0..=L, predicted: weights, their gradient, `vectors` of the optimizer and a
/// workspace for `rows` samples.
pub fn device_memory(network: &Network, rows: usize, vectors: usize) -> Vec<Bytes> {
    sizes(&Sides::new(network), rows, vectors, 0).into_iter().map(|cost| cost.memory).collect()
}

impl Split {
    /// What the device needs that needs most, predicted, of so many: with the most blocks that any may get.
    pub fn most_memory(&self, network: &Network, hyper: &Hyper, devices: usize) -> Bytes {
        let needs = device_memory(network, hyper.global_batch.div_ceil(devices), hyper.rule.vectors());
        match &self.cuts {
            SplitCuts::Fixed(cuts) => {
                cuts.iter().map(|cut| needs[*cut]).max_by_key(|needs| needs.0).unwrap_or_default()
            }
            SplitCuts::Auto(_) => needs.last().copied().unwrap_or_default(),
        }
    }
}

/// What the cuts 0..=L of a network cost on a device and a server, both at speed 1.
///
/// Measured times of the profiles where they have some for this network, else by its arithmetic.
///
/// # Units
/// Seconds a batch; bytes of whole messages: the activations and labels of a batch go up, their gradient comes down.
pub fn cut_costs(network: &Network, device: &Profile, server: &Profile, terms: &SplitTerms) -> Vec<CutCost> {
    let (sides, model) = (Sides::new(network), &network.spec().name);
    let blocks = sides.blocks();
    let time = |profile: &Profile, blocks: Range<usize>, pass: Pass| match blocks.is_empty() {
        true => Seconds(0.0),
        false => Profile { speed: 1.0, switches: Vec::new(), ..profile.clone() }
            .price(model, &sides.work(blocks, terms.batch, pass)),
    };
    let sizes = sizes(&sides, terms.batch, terms.vectors, terms.least).into_iter().enumerate();
    let costs = sizes.map(|(cut, cost)| CutCost {
        forward: time(device, 0..cut, Pass::Forward),
        backward: time(device, 0..cut, Pass::Backward),
        server: time(server, cut..blocks, Pass::Forward) + time(server, cut..blocks, Pass::Backward),
        ..cost
    });
    costs.collect()
}

/// The first of these devices as a server, all others as devices of it that train a network by the rules of ARES.
///
/// # Panics
/// If there is no device beside the server.
pub fn split_fleet(network: &Network, devices: &Devices, terms: &SplitTerms) -> Fleet {
    let (server, boards) = devices.profiles().split_first().expect("a server");
    let members = boards.iter().enumerate().map(|(at, board)| {
        let rank = at + 1;
        let way = |from, to| Way::Open(devices.link(from, to).clone());
        Member {
            name: format!("rank {rank} ({})", board.name),
            cuts: cut_costs(network, board, server, terms),
            up: way(rank, 0),
            down: way(0, rank),
            phases: phases(board),
            memory: Bytes(board.memory.0.min(u64::MAX - 1)),
            steps: terms.steps,
        }
    });
    let ports_each = server.ports == Ports::Each;
    let server = Server { phases: phases(server), memory: server.memory, contended: true, ports_each };
    Fleet::new(members.collect(), server, Protocol::Ares)
}

/// A profile's power modes over time.
fn phases(profile: &Profile) -> Phases {
    let mut phases = vec![Phase { from: Seconds(0.0), speed: profile.speed, power: profile.power }];
    for switch in &profile.switches {
        phases.retain(|phase| phase.from.0 < switch.at.0);
        phases.push(Phase { from: switch.at, speed: switch.speed, power: switch.power });
    }
    Phases::new(phases)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Switch;
    use crate::nn::{Flavor, Program, Shape, zoo};

    const TERMS: SplitTerms = SplitTerms { batch: 100, steps: 50, vectors: 1, least: 1 };

    fn vgg5() -> Network {
        Network::build(zoo::by_name("vgg5", &Shape::image(3, 32, 32), 10).unwrap()).unwrap()
    }

    /// Cut 2 of vgg5 on the Raspberry Pi, by ARES's tables; 8192 activations a sample.
    #[test]
    fn the_costs_of_vgg5_are_those_of_ares() {
        let (devices, network) = (Devices::load("ares").unwrap(), vgg5());
        let costs_of = |terms| cut_costs(&network, devices.profile(1), devices.profile(0), &terms);
        let costs = costs_of(TERMS);
        assert_eq!(costs.len(), 8);
        let two = &costs[2];
        assert_eq!((two.forward, two.backward), (Seconds(0.9474797248840332), Seconds(0.5453286170959473)));
        assert_eq!((two.up, two.down), (Bytes(32 + 400 * 8193), Bytes(32 + 400 * 8192)));
        let elements: Vec<u64> = costs[1..7].iter().map(|cost| (cost.down.0 - 32) / 400).collect();
        assert_eq!(elements, [32768, 8192, 16384, 4096, 4096, 128]);
        let whole = &costs[7];
        assert_eq!((whole.up, whole.down, whole.server, whole.server_memory), Default::default());
        let weights = 4 * (network.theta_len() + network.sigma_len()) as u64;
        assert!((weights..weights + 512).contains(&whole.weights_up.0) && whole.weights_up.0 > whole.weights_down.0);
        // Behind no block the samples go up, and nothing but a header comes down.
        assert_eq!((costs[0].up, costs[0].down), (Bytes(32 + 400 * 3073), Bytes(32)));
        assert_eq!(costs[0].memory, Bytes(u64::MAX), "samples stay where they are");
        assert_eq!(costs_of(SplitTerms { least: 0, ..TERMS })[0].memory, Bytes(0));
        let flops = Program::compile(&network, Flavor::Fused).flops();
        let all = 100.0 * (flops.forward.0 + flops.backward().0) as f64 / 1e11;
        assert!((costs[0].server.0 / all - 1.0).abs() < 1e-9 && costs.is_sorted_by(|a, b| a.server.0 >= b.server.0));
        assert!(costs[1..].iter().all(|cost| cost.memory.0 > 2 * (cost.weights_up.0 - 512).min(cost.weights_up.0)));
        assert!(costs[1..].is_sorted_by(|a, b| a.server_memory.0 >= b.server_memory.0));
    }

    /// Costs are at speed 1, whatever mode a board begins in; its modes are the member's phases.
    #[test]
    fn a_fleet_has_the_modes_links_and_ports_of_its_file() {
        let network = vgg5();
        let fleet = split_fleet(&network, &Devices::load("ares_modes").unwrap(), &TERMS);
        assert_eq!((fleet.members.len(), fleet.blocks(), fleet.server.ports_each), (5, 7, true));
        let speeds = |phases: &Phases| phases.all().iter().map(|phase| (phase.from.0, phase.speed)).collect::<Vec<_>>();
        assert_eq!(speeds(&fleet.members[0].phases), [(0.0, 1.0)]);
        assert_eq!(speeds(&fleet.members[3].phases), [(0.0, 1.0), (1800.0, 0.69), (3600.0, 1.0), (5400.0, 0.4)]);
        let wifi = Devices::load("ares_wifi").unwrap();
        let fleet = split_fleet(&network, &wifi, &TERMS);
        assert_eq!(fleet.members[4].up, Way::Open(wifi.link(5, 0).clone()));
        let mut slow = Profile { speed: 0.5, ..wifi.profile(2).clone() };
        let costs = cut_costs(&network, &slow, wifi.profile(0), &TERMS);
        assert_eq!(costs[7].compute(), fleet.members[1].cuts[7].compute());
        slow.switches = vec![Switch { at: Seconds(0.0), mode: "now".into(), speed: 0.25, power: slow.power }];
        assert_eq!(speeds(&phases(&slow)), [(0.0, 0.25)]);
    }
}
