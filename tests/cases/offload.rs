//! The table: requests that are answered task by task, wherever the tasks run, get the answers of the whole network, and
//! on emulated machines what they take is what the simulation said.

use super::Case;
use goai::comm::{Communicator, Emulated, HEADER};
use goai::device::{
    Clock, Devices, EmulatedClock, Energy, Link, Machine, Pace, Ports, Power, Profile, RealClock, Tier,
};
use goai::nn::{Alone, Context, Flavor, Init, Network, Program, Shape, zoo};
use goai::plan::placement::arrivals::Law;
use goai::plan::placement::simulate::{EmulatedRanks, Ranks, Request, Scene, Script, simulate};
use goai::plan::placement::{
    Ask, Judge, Limits, METHODS, Objective, PlacementError, Plan, Problem, auto, by_name, fuse,
};
use goai::strategy::offload::{Granularity, Offload, OffloadGraph, Served, Weights, serve};
use goai::units::{Bytes, Seconds, Watts};
use ndarray::ArrayView2;

pub const CASES: &[Case] = &[
    ("wherever tasks run, the answers are the whole network's", equal_answers),
    ("emulated machines take what was simulated", as_simulated),
    ("under every policy the answers are the whole network's", every_policy),
];

pub const SEED: u64 = 5;
const WEIGHTS: Weights = Weights::Drawn { init: Init::He, seed: SEED };

/// The narrow networks, on pictures that are just large enough, and one with exits that nobody reads.
fn networks() -> Vec<Network> {
    let build = |name: &str, side: usize| {
        let spec = zoo::by_name_with_width(name, &Shape::image(3, side, side), 10, 0.125).unwrap();
        Network::build(spec).unwrap()
    };
    let exits = Network::build(zoo::greenai_chain(&Shape::image(3, 24, 24), 10).unwrap()).unwrap();
    vec![build("vgg16", 32), build("vgg16_19", 32), build("resnet50", 32), build("openface", 96), exits]
}

fn input(network: &Network, request: usize) -> Vec<f32> {
    let value = |i: usize| ((i * 37 + request * 101) as f32 * 0.013).sin();
    (0..network.shapes()[0].elements()).map(value).collect()
}

/// The whole network on one rank.
fn whole(network: &Network, requests: usize) -> Vec<Vec<f32>> {
    let theta = Init::He.draw(network, SEED);
    let sigma = network.initial_sigma();
    let program = Program::compile(network, Flavor::Fused);
    let mut workspace = program.forward_workspace(1);
    let last = network.outputs().last().unwrap().value;
    let answer = |request| {
        let x = input(network, request);
        workspace.assign(0, ArrayView2::from_shape((1, x.len()), &x).unwrap());
        program.forward(&Context { team: &Alone, ..Context::eval(&[0], &sigma) }, &theta, &mut workspace);
        workspace.value(last).iter().copied().collect()
    };
    (0..requests).map(answer).collect()
}

/// Plans that look like chance; input and answer stay with the source. The first leaves all with it.
fn plans(work: &OffloadGraph, sources: &[usize], ranks: usize) -> Vec<Plan> {
    let tasks = work.graph.tasks().len();
    let place: Vec<usize> = {
        let mut place = vec![0; tasks];
        work.graph.order().iter().enumerate().for_each(|(at, task)| place[*task] = at);
        place
    };
    let plan = |kind: usize, source: usize| {
        let rank = |task: usize| match (task == work.input() || task == work.answer(), kind) {
            (true, _) | (false, 0) => source,
            (false, 1) => (source + task) % ranks,
            (false, 2) => (task * ranks) / tasks,
            (false, _) => (task * task + 3 * task + source) / 2 % ranks,
        };
        Plan { rank: (0..tasks).map(rank).collect(), place: place.clone() }
    };
    (0..4).flat_map(|kind| sources.iter().map(move |source| (kind, *source))).map(|(k, s)| plan(k, s)).collect()
}

/// Which plan each request has: all kinds in turn, each its own source's.
fn choice(requests: &[Request], sources: &[usize]) -> Vec<usize> {
    let place = |request: &Request| sources.iter().position(|source| *source == request.source).unwrap();
    requests.iter().enumerate().map(|(i, request)| i % 4 * sources.len() + place(request)).collect()
}

pub fn check_answers(served: &Served, expected: &[Vec<f32>], name: &str) {
    assert_eq!(served.answers.len(), expected.len());
    for (request, (answer, expected)) in served.answers.iter().zip(expected).enumerate() {
        let answer = answer.as_ref().unwrap_or_else(|| panic!("{name}: request {request} has no answer"));
        assert_eq!(answer.len(), expected.len());
        let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
        let away = square(&mut answer.iter().zip(expected).map(|(a, b)| f64::from(*a) - f64::from(*b)));
        let norm = square(&mut expected.iter().map(|b| f64::from(*b)));
        assert!(
            norm > 0.0 && norm.is_finite() && away <= 1e-5 * norm,
            "{name}: request {request}: {away:e} of {norm:e}"
        );
    }
}

/// Every task of every request once, and every act of a rank behind the one before.
pub fn check_record(record: &Script, work: &OffloadGraph, requests: usize) {
    let mut done: Vec<(usize, usize)> = record.acts.iter().flatten().map(|act| (act.request, act.task)).collect();
    done.sort_unstable();
    let tasks = work.graph.tasks().len();
    let all: Vec<(usize, usize)> = (0..requests).flat_map(|r| (0..tasks).map(move |t| (r, t))).collect();
    assert_eq!(done, all, "each task of each request exactly once");
    for acts in &record.acts {
        assert!(acts.windows(2).all(|pair| pair[1].start >= pair[0].end));
    }
    assert!(record.answers.iter().all(|answer| answer.end >= answer.begun && answer.begun >= answer.arrival));
}

fn equal_answers(comm: &dyn Communicator) {
    let sources: Vec<usize> = if comm.size() > 2 { vec![0, 2] } else { vec![0] };
    let law = Law::Periodic(Seconds(0.001));
    for (at, network) in networks().into_iter().enumerate() {
        let granularity = if at % 2 == 0 { Granularity::Block } else { Granularity::Layer };
        let work = OffloadGraph::of(&network, granularity).unwrap();
        let requests = law.requests(&sources, 6, SEED).unwrap();
        let plans = plans(&work, &sources, comm.size());
        let offload = Offload {
            network: &network,
            work: &work,
            weights: WEIGHTS,
            input: &|request| input(&network, request),
            requests: &requests,
            plans: &plans,
            choice: &choice(&requests, &sources),
            queue: 2,
            script: None,
            replan: None,
        };
        let served = serve(&offload, comm, &RealClock::start()).unwrap();
        assert_eq!(served.is_some(), comm.rank() == 0);
        if let Some(served) = served {
            check_answers(&served, &whole(&network, requests.len()), &network.spec().name);
            check_record(&served.record, &work, requests.len());
            assert!(served.lost.is_empty() && served.replanned == 0);
        }
    }
}

/// Devices of which no two are alike, with links that differ both ways.
pub fn devices(ranks: usize) -> Devices {
    let power = Power { compute: Watts(8.0), idle: Watts(2.0), send: Watts(3.0), receive: Watts(2.5) };
    let profile = |rank: usize| {
        let ports = if rank.is_multiple_of(2) { Ports::One } else { Ports::Each };
        let tier = Some([Tier::Device, Tier::Edge, Tier::Cloud, Tier::Edge][rank % 4]);
        Profile { power, ports, tier, ..Profile::new("board", 1e8 * (1.0 + rank as f64)) }
    };
    let devices = Devices::new("toy", (0..ranks).map(profile).collect(), Link::new(3e6, Seconds(0.001)));
    match ranks {
        1 => devices,
        _ => devices.with_link(0, 1, Link::new(1e6, Seconds(0.02))),
    }
}

/// A request under the plan of every method on the same emulated machines, task by task; and under that of `auto`, as one
/// would run it, with neighbours fused.
fn every_policy(comm: &dyn Communicator) {
    let devices = devices(comm.size());
    let tiers: Vec<Option<Tier>> = devices.profiles().iter().map(|profile| profile.tier).collect();
    for network in networks() {
        let work = OffloadGraph::of(&network, Granularity::Block).unwrap();
        let problem = Problem::on_devices(&work.graph, &devices, 0, Bytes(HEADER as u64), Seconds(0.0));
        let judge = Judge::new(&problem, Objective::Time, Limits::default());
        let ask = Ask { judge, tiers: &tiers, seed: SEED, evaluations: 40 };
        let mut plans = Vec::new();
        for (policy, _) in METHODS {
            match by_name(policy, &ask, &mut || true) {
                Ok(found) => plans.push(found.plan),
                // Two ranks are a device and an edge server; only chains have a chain's programme; proofs take time.
                Err(PlacementError::Needs { .. }) => {
                    assert!(comm.size() < 3 || *policy == "chain", "{policy} on {} ranks", comm.size());
                }
                Err(PlacementError::TooLarge { .. } | PlacementError::GaveUp { .. }) => assert_eq!(*policy, "exact"),
                Err(error) => panic!("{policy}: {error}"),
            }
        }
        answered(comm, &devices, &network, &work, &plans);
        let plan = [auto(&ask, &mut || true).unwrap().plan];
        let fused = fuse(&work.graph, &plan).unwrap();
        answered(comm, &devices, &network, &work.fused(&fused), &fused.plans);
    }
}

/// A request under each of some plans.
pub fn answered(comm: &dyn Communicator, devices: &Devices, network: &Network, work: &OffloadGraph, plans: &[Plan]) {
    let requests = Law::AtOnce.requests(&[0], plans.len(), SEED).unwrap();
    let choice: Vec<usize> = (0..plans.len()).collect();
    let scene = Scene { graph: &work.graph, requests: &requests, queue: 3, header: Bytes(HEADER as u64) };
    let mut ranks = EmulatedRanks::new(&work.graph, devices);
    let script = simulate(&scene, &mut ranks, &mut plans.to_vec(), &mut |moment, _| choice[moment.request]);
    let offload = Offload {
        network,
        work,
        weights: WEIGHTS,
        input: &|request| input(network, request),
        requests: &requests,
        plans,
        choice: &choice,
        queue: 3,
        script: Some(&script),
        replan: None,
    };
    let machine = Machine::new(devices.profile(comm.rank()), work.graph.name());
    let clock = EmulatedClock::start(machine, Pace::Virtual);
    let emulated = Emulated::new(comm, clock.machine().unwrap(), devices);
    if let Some(served) = serve(&offload, &emulated, &clock).unwrap() {
        check_answers(&served, &whole(network, requests.len()), &network.spec().name);
        check_record(&served.record, work, requests.len());
    }
}

fn as_simulated(comm: &dyn Communicator) {
    let sources: Vec<usize> = if comm.size() > 2 { vec![0, 2] } else { vec![0] };
    let devices = devices(comm.size());
    let all = networks();
    for network in [0, 2, 4].map(|at| &all[at]) {
        let work = OffloadGraph::of(network, Granularity::Block).unwrap();
        let requests = Law::Poisson(20.0).requests(&sources, 8, SEED).unwrap();
        let mut plans = plans(&work, &sources, comm.size());
        let choice = choice(&requests, &sources);
        let scene = Scene { graph: &work.graph, requests: &requests, queue: 2, header: Bytes(HEADER as u64) };
        let mut ranks = EmulatedRanks::new(&work.graph, &devices);
        let script = simulate(&scene, &mut ranks, &mut plans, &mut |moment, _| choice[moment.request]);
        let offload = Offload {
            network,
            work: &work,
            weights: WEIGHTS,
            input: &|request| input(network, request),
            requests: &requests,
            plans: &plans,
            choice: &choice,
            queue: 2,
            script: Some(&script),
            replan: None,
        };
        let machine = Machine::new(devices.profile(comm.rank()), work.graph.name());
        let clock = EmulatedClock::start(machine, Pace::Virtual);
        let emulated = Emulated::new(comm, clock.machine().unwrap(), &devices);
        let Some(served) = serve(&offload, &emulated, &clock).unwrap() else { continue };
        check_answers(&served, &whole(network, requests.len()), &network.spec().name);
        check_record(&served.record, &work, requests.len());
        let near = |a: f64, b: f64, what: &str| assert!((a - b).abs() <= 1e-9 * b.abs().max(1e-3), "{what}: {a} {b}");
        for (ours, simulated) in served.record.acts.iter().zip(&script.acts) {
            for (a, b) in ours.iter().zip(simulated) {
                assert_eq!((a.request, a.task), (b.request, b.task));
                near(a.start.0, b.start.0, "start");
                near(a.end.0, b.end.0, "end");
            }
        }
        assert_eq!(served.record.messages.len(), script.messages.len());
        let arrivals = |script: &Script| {
            let mut all: Vec<f64> = script.messages.iter().map(|message| message.arrival.0).collect();
            all.sort_by(f64::total_cmp);
            all
        };
        arrivals(&served.record).iter().zip(arrivals(&script)).for_each(|(a, b)| near(*a, b, "arrival"));
        for (rank, (ours, simulated)) in served.record.ledgers.iter().zip(ranks.ledgers()).enumerate() {
            let power = &devices.profile(rank).power;
            near(Energy::of(ours, power).total().0, Energy::of(&simulated, power).total().0, "joules");
        }
    }
}
