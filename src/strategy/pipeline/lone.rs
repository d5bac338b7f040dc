//! What it takes a sample that is alone in a chain of devices to come to each exit head, worked out without ranks.
//!
//! A training on emulated machines measures this by sending one sample through. A finished model has no ranks: here the
//! same machines do the same things, one after the other.

use super::channel::CREDIT;
use crate::comm::{Buffer, Kind};
use crate::device::{Devices, Energy, Ledger, Link, Machine, Pass, Transmitters, Work};
use crate::nn::Network;
use crate::strategy::exits::Way;
use crate::strategy::share::Share;
use crate::units::{Bytes, Flops, Seconds};

/// Where to cut a network so that each of its outputs is the head of a stage: trunk blocks before each cut. A stage ends
/// at the first place to cut behind its head; none, if two heads are in one block, or out of order.
pub fn cuts_behind_heads(network: &Network) -> Option<Vec<usize>> {
    let places = network.cuts();
    let (_, heads) = network.outputs().split_last()?;
    let behind = |value: usize| {
        let node = value.checked_sub(network.num_inputs())?;
        places.iter().position(|place| *place > node).map(|at| at + 1)
    };
    let cuts = heads.iter().map(|head| behind(head.value)).collect::<Option<Vec<usize>>>()?;
    cuts.is_sorted_by(|a, b| a < b).then_some(cuts)
}

/// The ways of a lone sample to all stages, stage `s` being device `s`. Modelled, exactly as a training on these devices
/// has it: every message with its header, and the credits that go up for it.
///
/// # Units
/// Seconds from the first stage's beginning; joules of computing, sending and receiving, without those of waiting.
///
/// # Panics
/// If the network has no such cuts, or if there are fewer devices than stages.
pub fn lone_sample(network: &Network, cuts: &[usize], devices: &Devices) -> Vec<Way> {
    let model = &network.spec().name;
    let shares: Vec<Share> = (0..=cuts.len()).map(|stage| Share::of(network, cuts, stage)).collect();
    let mut stations: Vec<Station> =
        (0..shares.len()).map(|stage| Station::new(Machine::new(devices.profile(stage), model))).collect();
    let credit = bytes(Kind::I64, CREDIT);
    let mut answered = Vec::with_capacity(shares.len());
    let mut message = None;
    for (stage, share) in shares.iter().enumerate() {
        if let Some((arrival, bytes)) = message {
            let (down, up) = (devices.link(stage - 1, stage), devices.link(stage, stage - 1));
            stations[stage].take(down, arrival, bytes);
            let arrival = stations[stage].send(stage - 1, up, credit);
            stations[stage - 1].take(up, arrival, credit);
        }
        stations[stage].machine.charge(&forward(share));
        answered.push(stations[stage].machine.ledger());
        if stage + 1 < shares.len() {
            let bytes = bytes(Kind::F32, share.handed_on() + 1);
            let link = devices.link(stage, stage + 1);
            message = Some((stations[stage].send(stage + 1, link, bytes), bytes));
        }
    }
    let mut before = 0.0;
    let way = |(station, ledger): (&Station, &Ledger)| {
        let way = Way { latency_s: ledger.time.0, energy_j: before + station.active(ledger) };
        before += station.active(&station.machine.ledger());
        way
    };
    stations.iter().zip(&answered).map(way).collect()
}

/// One sample through a stage.
fn forward(share: &Share) -> Work {
    let flops = Flops(share.part.network.cost().forward.0);
    Work { flops, blocks: share.blocks.clone(), rows: 1, pass: Pass::Forward }
}

/// What a message takes on the wire.
fn bytes(kind: Kind, len: usize) -> Bytes {
    Bytes(Buffer::new(kind, len).wire_len() as u64)
}

/// A machine with its transmitters.
struct Station {
    machine: Machine,
    transmitters: Transmitters,
}

impl Station {
    fn new(machine: Machine) -> Self {
        Self { transmitters: Transmitters::new(machine.profile().ports), machine }
    }

    /// Sends; returns when the message arrives.
    fn send(&mut self, to: usize, link: &Link, bytes: Bytes) -> Seconds {
        let sent = self.transmitters.send(to, link, self.machine.now(), bytes);
        self.machine.sent(sent.transmission);
        sent.arrival
    }

    fn take(&self, link: &Link, arrival: Seconds, bytes: Bytes) {
        self.machine.arrived(arrival, link.bandwidth.transmission_until(arrival - link.latency, bytes));
    }

    /// Joules without those of waiting.
    fn active(&self, ledger: &Ledger) -> f64 {
        let Energy { compute, send, receive, .. } = self.machine.energy(ledger);
        (compute + send + receive).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comm::{Communicator, Emulated, ThreadOptions, run_threads};
    use crate::data::{Layout, Samples, Visit};
    use crate::device::{Clock, EmulatedClock, Pace, Power, Profile};
    use crate::event::{Event, HeadRecord};
    use crate::nn::{Init, Shape, with_exits, zoo};
    use crate::optim::{Rule, Schedule};
    use crate::strategy::{Hyper, Job, JobError, Learn, Pipeline, State, Strategy, Task, Turn, fit};
    use crate::units::Watts;

    const POWER: Power = Power { compute: Watts(8.0), idle: Watts(2.0), send: Watts(3.0), receive: Watts(2.5) };

    fn mlp() -> Network {
        Network::build(zoo::mlp(4, &[6, 5], 3, &zoo::MlpOptions::default())).unwrap()
    }

    fn cut_at(network: &Network, blocks: &[usize]) -> Network {
        let nodes: Vec<usize> = blocks.iter().map(|block| network.cuts()[block - 1]).collect();
        Network::build(with_exits(network, &nodes)).unwrap()
    }

    #[test]
    fn cuts_are_found_again_behind_the_heads() {
        for blocks in [&[1, 2][..], &[1], &[2], &[]] {
            assert_eq!(cuts_behind_heads(&cut_at(&mlp(), blocks)), Some(blocks.to_vec()));
        }
        let vgg = Network::build(zoo::vgg5(&Shape::image(3, 8, 8), 4).unwrap()).unwrap();
        assert_eq!(cuts_behind_heads(&cut_at(&vgg, &[2, 4, 5])), Some(vec![2, 4, 5]));
        let chain = Network::build(zoo::by_name("greenai_chain", &Shape::image(3, 32, 32), 4).unwrap()).unwrap();
        assert_eq!(cuts_behind_heads(&chain), Some((1..=chain.cuts().len()).collect()));
        let mut turned = cut_at(&mlp(), &[1, 2]).spec().clone();
        turned.outputs.swap(0, 1);
        assert_eq!(cuts_behind_heads(&Network::build(turned).unwrap()), None, "heads out of order");
    }

    /// Two stages of 1 FLOP/s; by one link 1 B/s, 10 s of latency, by the other, upwards, no time at all.
    ///
    /// The first computes F0 s, its message of 32 + 4·6 + 4 = 60 B leaves until F0 + 60 and arrives 10 s later; the second
    /// answers F1 s after that. The first uses 8·F0 J until it answers and 1·60 J more to send (3 W, 2 W of them idling),
    /// the second 0.5·60 J to receive and 8·F1 J to compute.
    #[test]
    fn a_two_stage_chain_by_hand() {
        let network = cut_at(&mlp(), &[1]);
        let flops = |nodes: std::ops::Range<usize>| -> f64 {
            network.nodes()[nodes].iter().map(|node| node.cost.forward.0 as f64).sum()
        };
        let place = network.cuts()[0];
        let (f0, f1) = (flops(0..place), flops(place..network.nodes().len()));
        let profiles = vec![Profile { power: POWER, ..Profile::new("toy", 1.0) }; 2];
        let devices = Devices::new("toy", profiles, Link::new(f64::INFINITY, Seconds(0.0))).with_link(
            0,
            1,
            Link::new(1.0, Seconds(10.0)),
        );
        let ways = lone_sample(&network, &[1], &devices);
        assert_eq!(ways[0], Way { latency_s: f0, energy_j: 8.0 * f0 });
        assert_eq!(ways[1].latency_s, f0 + 60.0 + 10.0 + f1);
        assert!((ways[1].energy_j - (8.0 * f0 + 60.0 + 30.0 + 8.0 * f1)).abs() < 1e-9, "{ways:?}");
    }

    struct Rows;

    impl Samples for Rows {
        fn len(&self) -> usize {
            6
        }

        fn load(&self, i: usize, _: Visit, layout: Layout, row: &mut [f32]) {
            (0..4).for_each(|at| row[layout.at(at)] = ((i + 2 * at) % 5) as f32 - 2.0);
        }

        fn label(&self, i: usize) -> u32 {
            (i % 3) as u32
        }
    }

    /// Keeps what the heads are told to take.
    #[derive(Default)]
    struct Heads(Vec<HeadRecord>);

    impl Job for Heads {
        fn emit(&mut self, event: Event) {
            if let Event::Exits { heads, .. } = event {
                self.0 = heads;
            }
        }

        fn turn(&mut self, _: &State) -> Result<Turn, JobError> {
            Ok(Turn::GoOn)
        }

        fn save(&mut self, _: &State) -> Result<(), JobError> {
            Ok(())
        }
    }

    /// Trains on emulated machines, which sends a sample through after the last epoch.
    fn measured(network: &Network, cuts: &[usize], devices: &Devices) -> Vec<HeadRecord> {
        let learn = Learn::Local { preempt: false, replay: 0 };
        let pipeline = Pipeline { cuts: cuts.to_vec(), learn, window: 2, exits: None };
        let hyper = Hyper {
            epochs: 1,
            global_batch: 4,
            rule: Rule::Sgd,
            sampler: None,
            weight_decay: 0.0,
            schedule: Schedule { rate: 0.1, warmup: 0.0, epochs: 1.0, shape: crate::optim::Shape::Constant },
            seed: 1,
            init: Init::Glorot,
            micro_chunk: None,
            local: None,
        };
        let task = Task {
            network,
            train: &Rows,
            validation: &Rows,
            test: &Rows,
            hyper,
            pipeline: Some(&pipeline),
            grid: None,
            split: None,
            resume: None,
        };
        let all = run_threads(cuts.len() + 1, ThreadOptions::default(), |comm| {
            let machine = Machine::new(devices.profile(comm.rank()), &network.spec().name);
            let clock = EmulatedClock::start(machine, Pace::Virtual);
            let emulated = Emulated::new(comm, clock.machine().unwrap(), devices);
            let mut heads = Heads::default();
            fit(Strategy::Pipeline, &task, &emulated, &clock, &mut heads).unwrap();
            heads.0
        });
        all.into_iter().next().unwrap()
    }

    /// The model without ranks and the emulated run agree, with slow links (credits queue before activations), fast ones
    /// and machines of different speeds.
    #[test]
    fn a_real_emulated_run_measures_the_same() {
        for (blocks, rate, latency, speeds) in [
            (&[1, 2][..], 1e3, 0.01, [1e3, 2e4, 1e6]),
            (&[1, 2], 10.0, 0.5, [1e9, 1e9, 1e9]),
            (&[2], f64::INFINITY, 0.0, [1e6, 5e5, 1.0]),
            (&[], 1e3, 0.25, [1e6, 1.0, 1.0]),
        ] {
            let network = cut_at(&mlp(), blocks);
            let profiles = speeds[..=blocks.len()].iter();
            let profiles = profiles.map(|speed| Profile { power: POWER, ..Profile::new("toy", *speed) }).collect();
            let devices = Devices::new("toy", profiles, Link::new(rate, Seconds(latency)));
            let run = measured(&network, blocks, &devices);
            let modelled = lone_sample(&network, &cuts_behind_heads(&network).unwrap(), &devices);
            assert_eq!(run.len(), modelled.len());
            for (head, way) in run.iter().zip(&modelled) {
                for (run, modelled) in [(head.latency_s, way.latency_s), (head.energy_j, way.energy_j)] {
                    let run = run.expect("an emulated run models it");
                    // The run takes differences of times that lie behind its training.
                    let near = (run - modelled).abs() <= 1e-9 * modelled + 1e-12;
                    assert!(modelled > 0.0 && near, "{run} {modelled} {blocks:?} {rate}");
                }
            }
        }
    }
}
