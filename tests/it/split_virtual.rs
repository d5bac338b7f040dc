//! Split learning on emulated machines: its virtual times and joules are those of the planner's simulation, cuts that
//! move lose nothing, and a device that dies costs the others nothing but itself.

use super::comm_threads::{BUFFERED, RENDEZVOUS};
use super::delayed::Delayed;
use crate::cases::conv::Conv;
use crate::cases::iris::{Iris, hyper};
use crate::cases::training::{Recorder, bits, distance, reference};
use goai::comm::{Communicator, Emulated, ThreadOptions, run_threads};
use goai::device::{Clock, Devices, EmulatedClock, Link, Machine, Pace, Ports, Power, Profile, Trace};
use goai::event::{EpochRecord, Event, SplitRecord};
use goai::optim::Rule;
use goai::plan::split as plan;
use goai::strategy::{Adaptive, Fit, Protocol, Split, SplitCuts, SplitTerms, Strategy, Task, Turn, fit, split_fleet};
use goai::units::{Seconds, Watts};
use std::num::NonZeroU64;

/// A server and three boards that differ, links that differ, and one that changes.
fn devices(ports: Ports) -> Devices {
    let watts = |a: f64| Power { compute: Watts(8.0 + a), idle: Watts(2.0), send: Watts(3.0 + a), receive: Watts(2.5) };
    let board = |name: &str, rate: f64, ports| Profile { power: watts(rate / 1e6), ports, ..Profile::new(name, rate) };
    let profiles = vec![
        board("server", 2e6, ports),
        board("slow", 1e5, Ports::One),
        board("fast", 7e5, Ports::One),
        board("fast", 7e5, Ports::One),
    ];
    let changing = Trace::parse("t.csv", "time_s,mbit_per_s\n0,0.3\n0.4,0.02\n2,0\n2.5,0.2\n").unwrap();
    Devices::new("toy", profiles, Link::new(3e4, Seconds(0.001)))
        .with_link(1, 0, Link::new(1e4, Seconds(0.02)))
        .with_link(0, 2, Link { bandwidth: changing, latency: Seconds(0.005) })
}

fn run(
    task: &Task,
    split: &Split,
    devices: &Devices,
    options: ThreadOptions,
    delay_ms: u64,
    wish: Option<(usize, u64)>,
) -> Vec<(Fit, Recorder)> {
    run_threads(devices.profiles().len(), options, |comm| {
        let late = Delayed::new(comm, delay_ms);
        let task = Task { split: Some(split), hyper: task.hyper.clone(), ..*task };
        let model = &task.network.spec().name;
        let clock = EmulatedClock::start(Machine::new(devices.profile(comm.rank()), model), Pace::Virtual);
        let emulated = Emulated::new(&late, clock.machine().unwrap(), devices);
        let wish = wish.filter(|(rank, _)| *rank == comm.rank()).map(|(_, step)| (step, Turn::Stop));
        let mut job = Recorder { wish, ..Recorder::default() };
        let fit = fit(Strategy::Split, &task, &emulated, &clock, &mut job).unwrap();
        (fit, job)
    })
}

fn rounds(job: &Recorder) -> Vec<&[SplitRecord]> {
    let rounds = job.events.iter().filter_map(|event| match event {
        Event::Round { devices, .. } => Some(devices.as_slice()),
        _ => None,
    });
    rounds.collect()
}

fn epochs(job: &Recorder) -> Vec<&EpochRecord> {
    job.events.iter().filter_map(|event| if let Event::Epoch(record) = event { Some(record) } else { None }).collect()
}

fn near(ours: f64, expected: f64, what: &str) {
    assert!((ours - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{what}: {ours} instead of {expected}");
}

fn fixed(protocol: Protocol, cuts: &[usize]) -> Split {
    Split { protocol, cuts: SplitCuts::Fixed(cuts.to_vec()), round_steps: None, shards: None }
}

/// One round is one epoch of five steps of four samples a device. The simulation knows the links, the boards and the
/// sizes of messages, and nothing else of the strategy.
#[test]
fn a_round_takes_what_the_planner_simulates() {
    let iris = Iris::load();
    let task = iris.task(hyper(Rule::Sgd, 0.05, 12, 1));
    let steps = task.train.len() / 12;
    for ports in [Ports::One, Ports::Each] {
        let devices = devices(ports);
        let terms = SplitTerms { batch: 4, steps: steps as u64, vectors: 0, least: 0 };
        for (protocol, cuts) in [
            (Protocol::Ares, [1, 2, 0]),
            (Protocol::Ares, [3, 1, 1]),
            (Protocol::Ares, [2, 2, 2]),
            (Protocol::SplitFedV1, [1, 1, 1]),
            (Protocol::SplitFedV2, [2, 2, 2]),
            (Protocol::Sequential, [1, 1, 1]),
            (Protocol::Federated, [3, 3, 3]),
        ] {
            let fleet = split_fleet(task.network, &devices, &terms);
            let fleet = plan::Fleet { protocol, server_energy: true, ..fleet };
            let expected = fleet.simulate(&cuts, Seconds(0.0));
            for (options, delay_ms) in [(BUFFERED, 0), (RENDEZVOUS, 0), (BUFFERED, 2)] {
                let jobs = run(&task, &fixed(protocol, &cuts), &devices, options, delay_ms, None);
                let job = &jobs[0].1;
                let what = format!("{} {cuts:?} {ports:?}", protocol.name());
                near(epochs(job)[0].modelled_epoch_s.unwrap(), expected.time().0, &what);
                for (device, record) in rounds(job)[0].iter().enumerate() {
                    let (times, share) = (record.modelled.unwrap(), &expected.devices[device]);
                    let what = format!("{what}: device {device}");
                    near(times.round_s, share.delivered.0, &format!("{what} delivers"));
                    near(times.device_s, share.computing.0, &format!("{what} computes"));
                    near(times.server_s, share.served.0, &format!("{what} is served"));
                    near(times.wait_s, share.waiting.0, &format!("{what} waits"));
                    near(record.modelled_j.unwrap(), share.energy.0, &format!("{what} joules"));
                }
                near(
                    epochs(job)[0].modelled_energy_j.unwrap(),
                    fleet.cost(&expected).energy.0,
                    &format!("{what} joules"),
                );
            }
        }
    }
}

/// Cuts that are chosen anew every round, on links that change.
fn adaptive(hysteresis: f64) -> Split {
    let objective = plan::Objective::weighted(1.0);
    let cuts = SplitCuts::Auto(Adaptive { objective, smoothing: 1.0, hysteresis, least: 0 });
    Split { protocol: Protocol::Ares, cuts, round_steps: NonZeroU64::new(2), shards: None }
}

/// A server and a board whose link is fast, slow and fast again.
fn changing() -> Devices {
    let board = |name: &str, rate| Profile::new(name, rate);
    let trace = Trace::parse("t.csv", "time_s,mbit_per_s\n0,400\n0.05,0.08\n3,400\n").unwrap();
    let link = Link { bandwidth: trace, latency: Seconds(0.001) };
    Devices::new("toy", vec![board("server", 1e9), board("board", 2e7)], link)
}

/// Optimizer state, too, is where it was: momentum would show if it were lost.
#[test]
fn cuts_that_move_change_no_result() {
    let pictures = Conv::new(false, true);
    for protocol in [Protocol::Ares, Protocol::SplitFedV2, Protocol::Sequential] {
        let task = pictures.task(hyper(Rule::Momentum(0.9), 0.01, 12, 8));
        let one = reference(&task);
        let split = Split { protocol, ..adaptive(0.0) };
        let jobs = run(&task, &split, &changing(), BUFFERED, 0, None);
        let cuts: Vec<usize> = rounds(&jobs[0].1).iter().map(|round| round[0].cut).collect();
        let (falls, rises) = (cuts.is_sorted_by(|a, b| a >= b), cuts.is_sorted());
        assert!(!falls && !rises, "{}: the cuts are to move both ways: {cuts:?}", protocol.name());
        for (fit, _) in &jobs {
            let distance = distance(&fit.theta, &one.theta);
            assert!(distance <= 1e-5, "{}, cuts {cuts:?}: {distance:e}", protocol.name());
        }
    }
}

/// What the look at the links took before the first round is no part of it, and links that stay are known from there on.
#[test]
fn what_was_predicted_comes() {
    let iris = Iris::load();
    let task = iris.task(hyper(Rule::Sgd, 0.05, 12, 3));
    let board = |rate: f64| {
        let power = Power { compute: Watts(8.0), idle: Watts(2.0), send: Watts(3.0), receive: Watts(2.5) };
        Profile { power, ports: Ports::Each, ..Profile::new("board", rate) }
    };
    let devices = Devices::new("toy", vec![board(2e6), board(1e5), board(7e5)], Link::new(3e4, Seconds(0.001)));
    let jobs = run(&task, &Split { round_steps: None, ..adaptive(0.02) }, &devices, BUFFERED, 0, None);
    for (at, record) in rounds(&jobs[0].1).iter().flat_map(|round| round.iter()).enumerate() {
        let near = |ours: f64, expected: f64| (ours / expected - 1.0).abs() < 0.01;
        let came = (record.modelled.unwrap().round_s, record.modelled_j.unwrap());
        let foreseen = (record.predicted_s.unwrap(), record.predicted_j.unwrap());
        assert!(near(came.0, foreseen.0) && near(came.1, foreseen.1), "record {at}: {came:?} {foreseen:?}");
    }
}

/// The same devices choose the same cuts and get the same bits, however the threads run.
#[test]
fn choices_repeat() {
    let iris = Iris::load();
    let task = iris.task(hyper(Rule::Momentum(0.9), 0.02, 12, 3));
    let runs = [(BUFFERED, 0), (RENDEZVOUS, 1), (BUFFERED, 2)].map(|(options, delay_ms)| {
        let jobs = run(&task, &adaptive(0.02), &devices(Ports::Each), options, delay_ms, None);
        let told: Vec<Vec<SplitRecord>> = rounds(&jobs[0].1)
            .iter()
            .map(|round| {
                let unmeasured = |record: &SplitRecord| SplitRecord { measured: Default::default(), ..record.clone() };
                round.iter().map(unmeasured).collect()
            })
            .collect();
        (bits(&jobs[0].0.theta), told)
    });
    assert!(runs[1..].iter().all(|other| *other == runs[0]));
    assert!(runs[0].1.iter().flatten().all(|record| !record.reason.is_empty()));
}
