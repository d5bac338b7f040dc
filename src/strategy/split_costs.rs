//! What splitting a network costs on real profiles: the link between networks, device files and the split planner.

use crate::device::{Devices, Pass, Ports, Profile, Work};
use crate::nn::{Flavor, Network, Part, Program, Span};
use crate::plan::split::{CutCost, Fleet, Member, Phase, Phases, Protocol, Server, Way};
use crate::units::{Bytes, Flops, Seconds};
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

/// What surrounds a message's payload.
const HEADER: u64 = 32;

/// Some blocks of a network as a network of their own.
struct Half {
    blocks: Range<usize>,
    part: Part,
    program: Program,
}

impl Half {
    /// None, of no blocks.
    fn of(network: &Network, blocks: Range<usize>) -> Option<Self> {
        if blocks.is_empty() {
            return None;
        }
        let (places, all) = (network.cuts(), network.nodes().len());
        let node = |block: usize| match block {
            0 => 0,
            block => places.get(block - 1).copied().unwrap_or(all),
        };
        let nodes: Vec<usize> = (node(blocks.start)..node(blocks.end)).collect();
        let part = network.part(&nodes).expect("a cut of a network that was built");
        let program = Program::compile(&part.network, Flavor::Fused);
        // The gradient of the samples themselves is nobody's.
        let program = if blocks.start > 0 { program.with_input_gradients() } else { program };
        Some(Self { blocks, part, program })
    }

    /// Its time on a device at speed 1.
    fn time(&self, profile: &Profile, model: &str, batch: usize, pass: Pass) -> Seconds {
        let flops = self.program.flops();
        let each = if pass == Pass::Forward { flops.forward.0 } else { flops.backward().0 };
        let work = Work { flops: Flops(each * batch as u64), blocks: self.blocks.clone(), rows: batch, pass };
        Profile { speed: 1.0, ..profile.clone() }.price(model, &work)
    }

    /// Its weights, their gradient, what the optimizer keeps, and a workspace.
    fn memory(&self, terms: &SplitTerms) -> Bytes {
        let weights = self.part.network.theta_len() as u64 * 4;
        Bytes(weights * (2 + terms.vectors as u64) + self.program.workspace_bytes(terms.batch, true))
    }

    /// The message that carries its weights and running statistics.
    fn weights(&self) -> Bytes {
        let len = |spans: &[Span]| spans.iter().map(|span| span.len as u64).sum::<u64>();
        Bytes(HEADER + 4 * (len(&self.part.theta) + len(&self.part.sigma)))
    }

    /// Elements of a sample that it hands on.
    fn handed_on(&self) -> u64 {
        let export = self.part.network.exports().first();
        export.map_or(0, |value| self.part.network.shapes()[*value].elements() as u64)
    }
}

/// What the cuts 0..=L of a network cost on a device and a server, both at speed 1.
///
/// Measured times of the profiles where they have some for this network, else by its arithmetic.
///
/// # Units
/// Seconds a batch; bytes of whole messages: the activations and labels of a batch go up, their gradient comes down.
pub fn cut_costs(network: &Network, device: &Profile, server: &Profile, terms: &SplitTerms) -> Vec<CutCost> {
    let (blocks, model, batch) = (network.cuts().len() + 1, &network.spec().name, terms.batch as u64);
    let cost = |cut: usize| {
        let mut cost = CutCost { weights_up: Bytes(HEADER), weights_down: Bytes(HEADER), ..CutCost::default() };
        // What crosses the cut: behind no block the samples, whose gradient is nobody's.
        let (mut crossing, mut back) = (network.spec().input.elements() as u64, 0);
        if let Some(half) = Half::of(network, 0..cut) {
            cost.forward = half.time(device, model, terms.batch, Pass::Forward);
            cost.backward = half.time(device, model, terms.batch, Pass::Backward);
            cost.memory = half.memory(terms);
            (cost.weights_up, cost.weights_down) = (half.weights(), half.weights());
            crossing = half.handed_on();
            back = crossing;
        }
        if let Some(half) = Half::of(network, cut..blocks) {
            let time = |pass| half.time(server, model, terms.batch, pass);
            cost.server = time(Pass::Forward) + time(Pass::Backward);
            cost.server_memory = half.memory(terms);
            cost.up = Bytes(HEADER + 4 * batch * (crossing + 1));
            cost.down = Bytes(HEADER + 4 * batch * back);
        }
        if cut < terms.least {
            // No device has that much: the planner never takes it.
            cost.memory = Bytes(u64::MAX);
        }
        cost
    };
    (0..=blocks).map(cost).collect()
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
    use crate::nn::{Shape, zoo};

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
        assert_eq!(whole.weights_up, Bytes(32 + 4 * (network.theta_len() + network.sigma_len()) as u64));
        // Behind no block the samples go up, and nothing but a header comes down.
        assert_eq!((costs[0].up, costs[0].down, costs[0].weights_up), (Bytes(32 + 400 * 3073), Bytes(32), Bytes(32)));
        assert_eq!(costs[0].memory, Bytes(u64::MAX), "samples stay where they are");
        assert_eq!(costs_of(SplitTerms { least: 0, ..TERMS })[0].memory, Bytes(0));
        let flops = Program::compile(&network, Flavor::Fused).flops();
        let all = 100.0 * (flops.forward.0 + flops.backward().0) as f64 / 1e11;
        assert!((costs[0].server.0 / all - 1.0).abs() < 1e-9 && costs.is_sorted_by(|a, b| a.server.0 >= b.server.0));
        assert!(costs[1..].iter().all(|cost| cost.memory.0 > 2 * (cost.weights_up.0 - 32)));
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
