//! Two graphs of four tasks on emulated devices, computed by hand: every number is exact in binary, so they are compared
//! as they are.

use super::*;
use crate::device::{Devices, Energy, Link, Power, Profile};
use crate::plan::placement::{Problem, Task, Tensor};
use crate::units::{Bytes, Joules, Watts};

fn graph(name: &str, flops: [u64; 4], tensors: &[(usize, &[usize], u64)]) -> TaskGraph {
    let task =
        |(at, flops)| Task { name: format!("{}", ['a', 'b', 'c', 'd'][at]), flops: Flops(flops), memory: Bytes(1) };
    let tasks = flops.into_iter().enumerate().map(task).collect();
    let tensor =
        |(from, to, bytes): &(usize, &[usize], u64)| Tensor { from: *from, to: to.to_vec(), bytes: Bytes(*bytes) };
    TaskGraph::new(name, tasks, tensors.iter().map(tensor).collect()).unwrap()
}

/// A device with one transmitter, of this speed in FLOP/s, which draws so many W while computing, waiting, sending,
/// receiving, and costs so much a second.
fn device(flops_per_s: f64, watts: [f64; 4], price_per_s: f64) -> Profile {
    let [compute, idle, send, receive] = watts.map(Watts);
    Profile { power: Power { compute, idle, send, receive }, price_per_s, ..Profile::new("toy", flops_per_s) }
}

const HEADER: Bytes = Bytes(8);

fn run(graph: &TaskGraph, devices: &Devices, rank: [usize; 4]) -> (Script, Vec<Energy>) {
    let plan = Plan { rank: rank.to_vec(), place: (0..4).collect() };
    let requests = [Request { source: 0, arrival: Seconds(0.0) }];
    let scene = Scene { graph, requests: &requests, queue: 1, header: HEADER };
    let mut ranks = EmulatedRanks::new(graph, devices);
    let script = simulate(&scene, &mut ranks, &mut vec![plan], &mut |_, _| 0);
    (script, ranks.energies())
}

/// A rank, from when and to when.
type Span = (usize, f64, f64);

/// By task, its rank, beginning and end; by message, its receiver, when it was sent and when it was there.
fn times(script: &Script) -> (Vec<Span>, Vec<Span>) {
    let acts = script.acts.iter().enumerate().flat_map(|(rank, acts)| acts.iter().map(move |act| (rank, act)));
    let mut acts: Vec<_> = acts.map(|(rank, act)| (act.task, (rank, act.start.0, act.end.0))).collect();
    acts.sort_by_key(|(task, _)| *task);
    let messages = script.messages.iter().map(|message| (message.to, message.sent.0, message.arrival.0));
    (acts.into_iter().map(|(_, times)| times).collect(), messages.collect())
}

/// A diamond: rank 0 does a and d, rank 1 b, rank 2 c. Links take 16 B/s, and 0.25 s; a header is 8 B.
///
/// - a: 8 FLOP at 4 FLOP/s, 0 to 2. Its one tensor of 24 B is 32 B on the wire, 2 s each: to rank 1 from 2 to 4, there at
///   4.25; to rank 2 the transmitter sends it from 4 to 6, there at 6.25.
/// - b: 16 FLOP at 8 FLOP/s, 4.25 to 6.25. 8 B + 8 B take 1 s: there at 6.25 + 1 + 0.25 = 7.5.
/// - c: 16 FLOP at 16 FLOP/s, 6.25 to 7.25. 24 B + 8 B take 2 s: there at 7.25 + 2 + 0.25 = 9.5.
/// - d: 4 FLOP at 4 FLOP/s, 9.5 to 10.5.
///
/// Rank 0: 3 s computing at 8 W, 7.5 s waiting at 2 W, 2 + 2 s sending at 2 W more, 1 + 2 s receiving at 1 W more:
/// 24 + 15 + 8 + 3 = 50 J. Rank 1: 2 s at 16 W, 8.5 s at 4 W, 1 s sending at 2 W more, 2 s receiving at 1 W more:
/// 32 + 34 + 2 + 2 = 70 J. Rank 2: 1 s at 32 W, 9.5 s at 8 W, 2 s sending at nothing more, 2 s receiving at 2 W more:
/// 32 + 76 + 0 + 4 = 112 J. The price: 3 · 0 + 2 · 0.5 + 1 · 4 = 5.
#[test]
fn a_diamond_on_three_devices() {
    let graph = graph("diamond", [8, 16, 16, 4], &[(0, &[1, 2], 24), (1, &[3], 8), (2, &[3], 24)]);
    let profiles = vec![
        device(4.0, [8.0, 2.0, 4.0, 3.0], 0.0),
        device(8.0, [16.0, 4.0, 6.0, 5.0], 0.5),
        device(16.0, [32.0, 8.0, 8.0, 10.0], 4.0),
    ];
    let devices = Devices::new("diamond.toml", profiles, Link::new(16.0, Seconds(0.25)));
    let (script, energies) = run(&graph, &devices, [0, 1, 2, 0]);
    let (acts, messages) = times(&script);
    assert_eq!(acts, [(0, 0.0, 2.0), (1, 4.25, 6.25), (2, 6.25, 7.25), (0, 9.5, 10.5)]);
    assert_eq!(messages, [(1, 2.0, 4.25), (2, 2.0, 6.25), (0, 6.25, 7.5), (0, 7.25, 9.5)]);
    let parts = energies.iter().map(|energy| [energy.compute, energy.idle, energy.send, energy.receive].map(|j| j.0));
    assert_eq!(parts.collect::<Vec<_>>(), [[24.0, 15.0, 8.0, 3.0], [32.0, 34.0, 2.0, 2.0], [32.0, 76.0, 0.0, 4.0]]);
    // What planners see comes to the same.
    let problem = Problem::on_devices(&graph, &devices, 0, HEADER, Seconds(0.0));
    let comes = problem.comes(&Plan { rank: vec![0, 1, 2, 0], place: (0..4).collect() });
    assert_eq!((comes.time, comes.energy, comes.price), (Seconds(10.5), Joules(232.0), 5.0));
}

/// A chain a, b, c with a branch a, d: rank 0 does a and c, rank 1 b and d. Links take 16 B/s, and 0.5 s; a header is 8 B.
///
/// - a: 4 FLOP at 4 FLOP/s, 0 to 1. Two tensors of 8 B, 1 s each on the wire: the one for b from 1 to 2, there at 2.5; the
///   one for d from 2 to 3, there at 3.5.
/// - b: 16 FLOP at 8 FLOP/s, 2.5 to 4.5. Its 8 B are there at 4.5 + 1 + 0.5 = 6.
/// - d: its tensor is there at 3.5 and rank 1 has time at 4.5; 8 FLOP, 4.5 to 5.5.
/// - c: 2 FLOP at 4 FLOP/s, 6 to 6.5: the end.
///
/// Rank 0: 1.5 s computing at 8 W, 5 s waiting at 2 W, 2 s sending at 2 W more, 1 s receiving at 1 W more: 12 + 10 + 4 + 1
/// = 27 J. Rank 1: 3 s at 16 W, 3.5 s at 4 W, 1 s sending at 2 W more, 2 s receiving at 1 W more: 48 + 14 + 2 + 2 = 66 J.
/// The price: 1.5 · 0.5 + 3 · 2 = 6.75.
#[test]
fn a_branched_chain_on_two_devices() {
    let graph = graph("branch", [4, 16, 2, 8], &[(0, &[1], 8), (0, &[3], 8), (1, &[2], 8)]);
    let profiles = vec![device(4.0, [8.0, 2.0, 4.0, 3.0], 0.5), device(8.0, [16.0, 4.0, 6.0, 5.0], 2.0)];
    let devices = Devices::new("branch.toml", profiles, Link::new(16.0, Seconds(0.5)));
    let (script, energies) = run(&graph, &devices, [0, 1, 0, 1]);
    let (acts, messages) = times(&script);
    assert_eq!(acts, [(0, 0.0, 1.0), (1, 2.5, 4.5), (0, 6.0, 6.5), (1, 4.5, 5.5)]);
    assert_eq!(messages, [(1, 1.0, 2.5), (1, 1.0, 3.5), (0, 4.5, 6.0)]);
    let parts = energies.iter().map(|energy| [energy.compute, energy.idle, energy.send, energy.receive].map(|j| j.0));
    assert_eq!(parts.collect::<Vec<_>>(), [[12.0, 10.0, 4.0, 1.0], [48.0, 14.0, 2.0, 2.0]]);
    let problem = Problem::on_devices(&graph, &devices, 0, HEADER, Seconds(0.0));
    let comes = problem.comes(&Plan { rank: vec![0, 1, 0, 1], place: (0..4).collect() });
    assert_eq!((comes.time, comes.energy, comes.price), (Seconds(6.5), Joules(93.0), 6.75));
}
