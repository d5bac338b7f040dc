//! The formulas against each algorithm, carried out message by message with numbers in it.

use super::*;
use std::ops::Range;

/// One thing that a rank does: it sends a range, receives one, or both at once.
#[derive(Debug, Clone)]
struct Step {
    send: Option<(usize, Range<usize>)>,
    recv: Option<(usize, Range<usize>)>,
    /// Whether what comes is added to what is there, or takes its place.
    add: bool,
}

fn send(to: usize, range: Range<usize>) -> Step {
    Step { send: Some((to, range)), recv: None, add: false }
}

fn recv(from: usize, range: Range<usize>, add: bool) -> Step {
    Step { send: None, recv: Some((from, range)), add }
}

fn swap(with: usize, mine: Range<usize>, theirs: Range<usize>, add: bool) -> Step {
    Step { send: Some((with, mine)), recv: Some((with, theirs)), add }
}

/// Ranks with a vector of whole numbers each, a byte an element, on a network where a message begins when both ends are
/// ready for it.
struct World {
    wire: Wire,
    clocks: Vec<f64>,
    vectors: Vec<Vec<u64>>,
}

impl World {
    fn new(wire: Wire, vectors: Vec<Vec<u64>>) -> Self {
        Self { wire, clocks: vec![0.0; vectors.len()], vectors }
    }

    /// Carries out everybody's steps and gives the time of the last to finish.
    fn run(mut self, programs: Vec<Vec<Step>>) -> (f64, Vec<Vec<u64>>) {
        let ranks = programs.len();
        let mut at = vec![0; ranks];
        let mut half = vec![(false, false); ranks];
        // When the step began, and when its halves ended.
        let mut began = vec![0.0; ranks];
        // What a rank has when it begins a step is what it sends.
        let mut before = self.vectors.clone();
        loop {
            let current = |rank: usize| programs[rank].get(at[rank]);
            let pair = (0..ranks).find_map(|from| {
                let (to, sent) = current(from)?.send.clone().filter(|_| !half[from].0)?;
                let (source, received) = current(to)?.recv.clone().filter(|_| !half[to].1)?;
                (source == from).then_some((from, to, sent, received, current(to)?.add))
            });
            let Some((from, to, sent, received, add)) = pair else { break };
            assert_eq!(sent.len(), received.len(), "{from} to {to}");
            let end = f64::max(began[from], began[to]) + self.wire.send(Bytes(sent.len() as u64)).0;
            let message = before[from][sent].to_vec();
            for (value, new) in self.vectors[to][received].iter_mut().zip(&message) {
                *value = if add { *value + new } else { *new };
            }
            let added = if add { message.len() as f64 * self.wire.gamma } else { 0.0 };
            (half[from].0, half[to].1) = (true, true);
            self.clocks[from] = self.clocks[from].max(end);
            self.clocks[to] = self.clocks[to].max(end + added);
            for rank in [from, to] {
                let step = &programs[rank][at[rank]];
                if (step.send.is_none() || half[rank].0) && (step.recv.is_none() || half[rank].1) {
                    (half[rank], began[rank]) = ((false, false), self.clocks[rank]);
                    before[rank].clone_from(&self.vectors[rank]);
                    at[rank] += 1;
                }
            }
        }
        assert!((0..ranks).all(|rank| at[rank] == programs[rank].len()), "somebody waits for ever: {at:?}");
        (self.clocks.iter().copied().fold(0.0, f64::max), self.vectors)
    }
}

/// Piece i of n elements in p pieces; p divides n.
fn piece(i: usize, p: usize, n: usize) -> Range<usize> {
    let i = i % p;
    i * n / p..(i + 1) * n / p
}

fn ring(p: usize, n: usize) -> Vec<Vec<Step>> {
    let step = |rank: usize, k: usize, add| {
        // Before the sum is whole a rank sends the piece that is k behind it, then the one before that.
        let first = if add { rank + p - k } else { rank + 1 + p - k };
        let (to, from) = ((rank + 1) % p, (rank + p - 1) % p);
        Step { send: Some((to, piece(first, p, n))), recv: Some((from, piece(first + p - 1, p, n))), add }
    };
    let steps = |rank| {
        let adding = (0..p - 1).map(move |k| step(rank, k, true));
        adding.chain((0..p - 1).map(move |k| step(rank, k, false))).collect()
    };
    (0..p).map(steps).collect()
}

/// What q ranks (a power of two) do, between handing over and giving back of the others.
fn folded(p: usize, n: usize, inner: impl Fn(usize, usize, &dyn Fn(usize) -> usize) -> Vec<Step>) -> Vec<Vec<Step>> {
    let q = 1 << p.ilog2();
    let extra = p - q;
    // The first 2·extra ranks are pairs, of which the odd one takes part.
    let real = |inner: usize| if inner < extra { 2 * inner + 1 } else { inner + extra };
    let mut programs = vec![Vec::new(); p];
    for pair in 0..extra {
        programs[2 * pair].push(send(2 * pair + 1, 0..n));
        programs[2 * pair + 1].push(recv(2 * pair, 0..n, true));
    }
    (0..q).for_each(|rank| programs[real(rank)].extend(inner(rank, q, &real)));
    for pair in 0..extra {
        programs[2 * pair + 1].push(send(2 * pair, 0..n));
        programs[2 * pair].push(recv(2 * pair + 1, 0..n, false));
    }
    programs
}

fn recursive_doubling(p: usize, n: usize) -> Vec<Vec<Step>> {
    folded(p, n, |rank, q, real| {
        let steps = (0..q.ilog2()).map(|bit| swap(real(rank ^ (1 << bit)), 0..n, 0..n, true));
        steps.collect()
    })
}

fn rabenseifner(p: usize, n: usize) -> Vec<Vec<Step>> {
    folded(p, n, |rank, q, real| {
        let (mut mine, mut back, mut steps) = (0..n, Vec::new(), Vec::new());
        for bit in (0..q.ilog2()).rev() {
            let middle = (mine.start + mine.end) / 2;
            let (low, high) = (mine.start..middle, middle..mine.end);
            let (kept, given) = if rank >> bit & 1 == 0 { (low, high) } else { (high, low) };
            let with = real(rank ^ (1 << bit));
            steps.push(swap(with, given.clone(), kept.clone(), true));
            back.push(swap(with, kept.clone(), given, false));
            mine = kept;
        }
        steps.extend(back.into_iter().rev());
        steps
    })
}

fn at_rank_zero(p: usize, n: usize) -> Vec<Vec<Step>> {
    let zero = (1..p).map(|from| recv(from, 0..n, true)).chain((1..p).map(|to| send(to, 0..n))).collect();
    let others = (1..p).map(|_| vec![send(0, 0..n), recv(0, 0..n, false)]);
    std::iter::once(zero).chain(others).collect()
}

const WIRES: [Wire; 3] = [
    Wire { alpha: Seconds(1.0), beta: 0.25, gamma: 0.125 },
    Wire { alpha: Seconds(64.0), beta: 0.5, gamma: 0.0 },
    Wire { alpha: Seconds(0.0), beta: 1.0, gamma: 2.0 },
];

#[test]
fn every_sum_is_right_and_takes_what_its_formula_says() {
    for p in 1..=9 {
        let n = 5040; // in as many pieces as there are ranks, and in halves
        let vectors: Vec<Vec<u64>> = (0..p).map(|rank| (0..n).map(|i| (rank * n + i * i) as u64).collect()).collect();
        let sum: Vec<u64> = (0..n).map(|i| vectors.iter().map(|vector| vector[i]).sum()).collect();
        for wire in WIRES {
            for how in AllReduce::ALL {
                let programs = match how {
                    _ if p == 1 => vec![Vec::new()],
                    AllReduce::Ring => ring(p, n),
                    AllReduce::RecursiveDoubling => recursive_doubling(p, n),
                    AllReduce::Rabenseifner => rabenseifner(p, n),
                    AllReduce::AtRankZero => at_rank_zero(p, n),
                };
                let (seconds, vectors) = World::new(wire, vectors.clone()).run(programs);
                assert!(vectors.iter().all(|vector| *vector == sum), "{how:?} of {p}");
                let formula = wire.all_reduce(how, p, Bytes(n as u64)).0;
                assert!((seconds - formula).abs() <= 1e-9 * formula, "{how:?} of {p}: {seconds}, not {formula}");
            }
        }
    }
}

/// Who holds it hands it to the rank half as far away as before, from the farthest on; `part` says what of it.
fn tree(p: usize, part: impl Fn(usize, usize) -> Range<usize>) -> Vec<Vec<Step>> {
    let mut programs = vec![Vec::new(); p];
    let mut distance = p.next_power_of_two() / 2;
    while distance > 0 {
        for from in (0..p).step_by(2 * distance).filter(|from| from + distance < p) {
            let (to, range) = (from + distance, part(from + distance, (from + 2 * distance).min(p)));
            programs[from].push(send(to, range.clone()));
            programs[to].push(recv(from, range, false));
        }
        distance /= 2;
    }
    programs
}

#[test]
fn a_broadcast_reaches_everybody_in_the_time_of_its_formula() {
    for (p, wire) in (2..=9).flat_map(|p| WIRES.map(|wire| (p, wire))) {
        let n = 5040;
        let mut vectors = vec![vec![0; n]; p];
        vectors[0] = (1..=n as u64).collect();
        let around = |k: usize, rank: usize| Step {
            send: Some(((rank + 1) % p, piece(rank + p - k, p, n))),
            recv: Some(((rank + p - 1) % p, piece(rank + 2 * p - 1 - k, p, n))),
            add: false,
        };
        let mut scattered = tree(p, |first, end| piece(first, p, n).start..piece(end - 1, p, n).end);
        (0..p).for_each(|rank| scattered[rank].extend((0..p - 1).map(|k| around(k, rank))));
        let others = (1..p).map(|_| vec![recv(0, 0..n, false)]);
        let serial = std::iter::once((1..p).map(|to| send(to, 0..n)).collect()).chain(others).collect();
        for (how, programs) in [
            (Broadcast::Binomial, tree(p, |_, _| 0..n)),
            (Broadcast::ScatterAllGather, scattered),
            (Broadcast::Serial, serial),
        ] {
            let (seconds, got) = World::new(wire, vectors.clone()).run(programs);
            assert!(got.iter().all(|vector| *vector == vectors[0]), "{how:?} to {p}");
            let formula = wire.broadcast(how, p, Bytes(n as u64)).0;
            assert!((seconds - formula).abs() <= 1e-9 * formula, "{how:?} to {p}: {seconds}, not {formula}");
        }
    }
}

#[test]
fn an_all_gather_takes_what_its_formula_says() {
    for (p, wire) in (2..=9).flat_map(|p| WIRES.map(|wire| (p, wire))) {
        let n = 8;
        let all: Vec<u64> = (0..(p * n) as u64).collect();
        // Bruck keeps its own piece first and those of the ranks behind it after it.
        let start = |turned: bool| {
            let own = |rank: usize| {
                let mut vector = vec![0; p * n];
                let place = if turned { 0 } else { rank };
                vector[place * n..(place + 1) * n].copy_from_slice(&all[rank * n..(rank + 1) * n]);
                vector
            };
            (0..p).map(own).collect::<Vec<_>>()
        };
        let ring = |rank: usize| {
            let step = |k: usize| Step {
                send: Some(((rank + 1) % p, piece(rank + p - k, p, p * n))),
                recv: Some(((rank + p - 1) % p, piece(rank + 2 * p - 1 - k, p, p * n))),
                add: false,
            };
            (0..p - 1).map(step).collect()
        };
        let bruck = |rank: usize| {
            let far = (0..p.next_power_of_two().ilog2()).map(|bit| 1usize << bit);
            let step = |far: usize| {
                let more = far.min(p - far);
                Step {
                    send: Some(((rank + p - far) % p, 0..more * n)),
                    recv: Some(((rank + far) % p, far * n..(far + more) * n)),
                    add: false,
                }
            };
            far.map(step).collect()
        };
        let cases: [(AllGather, bool, Vec<Vec<Step>>); 2] = [
            (AllGather::Ring, false, (0..p).map(ring).collect()),
            (AllGather::Bruck, true, (0..p).map(bruck).collect()),
        ];
        for (how, turned, programs) in cases {
            let (seconds, mut got) = World::new(wire, start(turned)).run(programs);
            if turned {
                got.iter_mut().enumerate().for_each(|(rank, vector)| vector.rotate_right(rank * n));
            }
            assert!(got.iter().all(|vector| *vector == all), "{how:?} of {p}");
            let formula = wire.all_gather(how, p, Bytes(n as u64)).0;
            assert!((seconds - formula).abs() <= 1e-9 * formula, "{how:?} of {p}: {seconds}, not {formula}");
        }
    }
}

#[test]
fn figures_worked_out_by_hand() {
    let wire = Wire { alpha: Seconds(10.0), beta: 1.0, gamma: 0.5 };
    let n = Bytes(120);
    for (how, ranks, expected) in [
        (AllReduce::Ring, 4, 6.0 * 10.0 + 180.0 + 45.0),
        (AllReduce::RecursiveDoubling, 4, 2.0 * (10.0 + 120.0 + 60.0)),
        (AllReduce::RecursiveDoubling, 3, 3.0 * 10.0 + 3.0 * 120.0 + 2.0 * 60.0),
        (AllReduce::Rabenseifner, 4, 4.0 * 10.0 + 180.0 + 45.0),
        (AllReduce::Rabenseifner, 6, 6.0 * 10.0 + 3.5 * 120.0 + 1.75 * 60.0),
        (AllReduce::AtRankZero, 3, 4.0 * 130.0 + 2.0 * 60.0),
    ] {
        assert_eq!(wire.all_reduce(how, ranks, n), Seconds(expected), "{how:?} of {ranks}");
    }
    assert_eq!(wire.send(n), Seconds(130.0));
    assert_eq!(wire.serve(2, n), Seconds(4.0 * 130.0 + 2.0 * 60.0));
    assert_eq!([1, 2, 3, 8, 9].map(|ranks| wire.barrier(ranks).0), [0.0, 10.0, 20.0, 30.0, 40.0]);
    assert_eq!(wire.broadcast(Broadcast::Binomial, 5, n), Seconds(3.0 * 130.0));
    assert_eq!(wire.all_gather(AllGather::Bruck, 5, n), Seconds(30.0 + 480.0));
    let alone = [wire.broadcast(Broadcast::Serial, 1, n), wire.all_gather(AllGather::Ring, 1, n), wire.serve(0, n)];
    assert_eq!(alone, [Seconds(0.0); 3]);
}

#[test]
fn short_vectors_and_long_ones_have_different_fastest_ways() {
    let wire = Wire { alpha: Seconds(1e-6), beta: 1e-10, gamma: 1e-10 };
    assert_eq!(wire.fastest_all_reduce(16, Bytes(64)).0, AllReduce::RecursiveDoubling);
    assert_eq!(wire.fastest_all_reduce(16, Bytes(1 << 24)).0, AllReduce::Rabenseifner);
    assert_eq!(wire.fastest_all_reduce(15, Bytes(1 << 24)).0, AllReduce::Ring, "no whole vector changes hands twice");
}
