//! The planner against brute force written another way, on random chains.

use super::super::Norms;
use super::super::tests::Draws;
use super::*;
use crate::units::{Joules, Watts};

/// A chain of random machines; times and bytes of the blocks one by one.
fn random(draws: &mut Draws, machines: usize) -> Chain {
    let blocks = 1 + draws.below(7);
    let sums = |draws: &mut Draws, most: usize| {
        let steps = (0..blocks).scan(0, |sum, _| {
            *sum += draws.below(most) as u64;
            Some(Bytes(*sum))
        });
        [Bytes(0)].into_iter().chain(steps).collect::<Vec<_>>()
    };
    let memory = sums(draws, 100);
    let total = memory[blocks].0;
    let tier = |draws: &mut Draws, at: usize| {
        let mut cumulative = vec![Seconds(0.0)];
        cumulative.extend((1..=blocks).map(|cut| Seconds(draws.between(0.0, cut as f64))));
        let idle = draws.between(0.0, 2.0);
        let mut watts = || Watts(draws.between(0.5, 9.0));
        let power = Power { compute: watts(), idle: Watts(idle), send: watts(), receive: watts() };
        let memory = if draws.one_in(3) { Bytes(draws.below(total as usize + 1) as u64) } else { Bytes(u64::MAX) };
        Tier { name: format!("tier {at}"), cumulative, power, memory }
    };
    let tiers = (0..machines).map(|at| tier(draws, at)).collect();
    let way = |draws: &mut Draws| match draws.one_in(20) {
        true => Way::Closed,
        false => Way::constant(draws.between(10.0, 1000.0), Seconds(draws.between(0.0, 0.5))),
    };
    let ways = (1..machines).map(|_| (way(draws), way(draws))).collect();
    let crossing = |draws: &mut Draws| (0..=blocks).map(|_| Bytes(draws.below(1000) as u64)).collect();
    let (up, down) = (crossing(draws), crossing(draws));
    let idle = if draws.one_in(2) { Idle::Charged } else { Idle::Free };
    Chain { tiers, ways, up, down, memory, idle }
}

/// Time and energy as plain numbers; walks the sample's way block by block.
fn walked(chain: &Chain, owner: &[usize]) -> Option<(f64, f64)> {
    let (machines, blocks) = (chain.tiers.len(), owner.len());
    let held = |machine: usize| {
        let mine: Vec<usize> = (0..blocks).filter(|block| owner[*block] == machine).collect();
        match (mine.first(), mine.last()) {
            (Some(first), Some(last)) => (*first, *last + 1),
            _ => (0, 0),
        }
    };
    let (mut time, mut busy) = (0.0, vec![[0.0; 3]; machines]);
    for machine in 0..machines {
        let ((first, end), tier) = (held(machine), &chain.tiers[machine]);
        if (chain.memory[end].0 - chain.memory[first].0) > tier.memory.0 {
            return None;
        }
        busy[machine][0] = (tier.cumulative[end].0 - tier.cumulative[first].0).max(0.0);
        time += busy[machine][0];
        // All that it and the machines before hold; whatever is left has to be sent on.
        let cut = owner.iter().filter(|owner| **owner <= machine).count();
        if cut == blocks || machine + 1 == machines {
            continue;
        }
        let (up, down) = &chain.ways[machine];
        for (way, bytes, from, to) in [(up, chain.up[cut], 0, 1), (down, chain.down[cut], 1, 0)] {
            if bytes == Bytes(0) {
                continue;
            }
            let Way::Open(link) = way else { return Some((f64::INFINITY, f64::INFINITY)) };
            let seconds = bytes.0 as f64 / (1.0 / link.bandwidth.transmission_from(Seconds(0.0), Bytes(1)).0);
            busy[machine + from][1] += seconds;
            busy[machine + to][2] += seconds;
            time += seconds + link.latency.0;
        }
    }
    let energy = chain.tiers.iter().zip(&busy).map(|(tier, [compute, send, receive])| {
        let Power { compute: c, idle: i, send: s, receive: r } = tier.power;
        match chain.idle {
            Idle::Free => c.0 * compute + s.0 * send + r.0 * receive,
            Idle::Charged => {
                c.0 * compute + i.0 * (time - compute) + (s.0 - i.0).max(0.0) * send + (r.0 - i.0).max(0.0) * receive
            }
        }
    });
    Some((time, energy.sum()))
}

/// Every way to give blocks to machines in their order, found by counting through all ways to give them at all.
fn brute_force(chain: &Chain, objective: &Objective) -> Option<(f64, f64, f64)> {
    let (machines, blocks) = (chain.tiers.len(), chain.up.len() - 1);
    let mut all = Vec::new();
    for number in 0..machines.pow(blocks as u32) {
        let owner: Vec<usize> = (0..blocks).map(|block| number / machines.pow(block as u32) % machines).collect();
        if owner.windows(2).all(|pair| pair[0] <= pair[1]) {
            all.extend(walked(chain, &owner).filter(|(time, _)| time.is_finite()));
        }
    }
    let norm = |of: fn(&(f64, f64)) -> f64| all.iter().map(|point| of(point).powi(2)).sum::<f64>().sqrt();
    let (times, energies) = (norm(|point| point.0), norm(|point| point.1));
    let within = |point: &&(f64, f64)| {
        objective.deadline.is_none_or(|deadline| point.0 <= deadline.0)
            && objective.budget.is_none_or(|budget| point.1 <= budget.0)
    };
    let value = |(time, energy): &(f64, f64)| match (objective.deadline, objective.budget) {
        (Some(_), None) => *energy,
        (None, Some(_)) => *time,
        _ => {
            let part = |weight: f64, value: f64, norm: f64| if norm > 0.0 { weight * value / norm } else { 0.0 };
            part(objective.alpha, *time, times) + part(1.0 - objective.alpha, *energy, energies)
        }
    };
    let best = all.iter().filter(within).min_by(|one, other| value(one).total_cmp(&value(other)))?;
    Some((value(best), times, energies))
}

#[test]
fn ten_thousand_random_chains_against_brute_force() {
    let mut draws = Draws::new(10);
    let (mut found, mut missed, mut short) = (0, 0, 0);
    for number in 0..10_000 {
        let chain = random(&mut draws, 2 + number % 2);
        let mut objective = Objective::weighted([0.0, 0.25, 0.6, 1.0][draws.below(4)]);
        if draws.one_in(3) {
            objective.deadline = Some(Seconds(draws.between(0.5, 15.0)));
        }
        if draws.one_in(4) {
            objective.budget = Some(Joules(draws.between(1.0, 150.0)));
        }
        match (chain.choose(&objective), brute_force(&chain, &objective)) {
            (Ok((cuts, point)), Some((least, times, energies))) => {
                let value = objective.value(point, &Norms { time: times, energy: energies }).unwrap();
                assert!((value - least).abs() <= 1e-9 * least.abs(), "{number}: {cuts:?} {value} {least}\n{chain:?}");
                found += 1;
            }
            (Err(Infeasible::Memory { needs, has, .. }), None) => {
                assert!(needs.0 > has.0);
                short += 1;
            }
            (Err(_), None) => missed += 1,
            (ours, theirs) => panic!("{number}: {ours:?} and {theirs:?}"),
        }
    }
    assert!(found > 6000 && missed > 300 && short > 100, "{found} {missed} {short}");
}

/// Four blocks of 1 s on the device, 0.5 s at the edge, 0.1 s at the server. Cut 1 crosses with 10 bytes, all others with
/// 100; 100 B/s to the edge, 10 B/s from there, nothing comes back.
#[test]
fn device_edge_and_server_by_hand() {
    let tier = |name: &str, seconds: f64| Tier {
        name: name.into(),
        cumulative: (0..=4).map(|cut| Seconds(seconds * f64::from(cut))).collect(),
        power: Power { compute: Watts(2.0), ..Power::default() },
        memory: Bytes(u64::MAX),
    };
    let way = |rate| (Way::constant(rate, Seconds(0.25)), Way::constant(f64::INFINITY, Seconds(0.0)));
    let mut chain = Chain {
        tiers: vec![tier("device", 1.0), tier("edge", 0.5), tier("server", 0.1)],
        ways: vec![way(100.0), way(10.0)],
        up: [100, 10, 100, 100, 0].map(Bytes).to_vec(),
        down: vec![Bytes(0); 5],
        memory: [0, 1, 2, 3, 4].map(Bytes).to_vec(),
        idle: Idle::Free,
    };
    let time = |chain: &Chain, cuts: &[usize]| chain.step(cuts).map(|point| point.time.0);
    assert_eq!(time(&chain, &[1, 4]), Some(1.0 + 0.1 + 0.25 + 1.5));
    assert_eq!(time(&chain, &[0, 1]), Some(1.0 + 0.25 + 0.5 + 1.0 + 0.25 + 0.30000000000000004));
    assert_eq!(time(&chain, &[4, 4]), Some(4.0));
    let near = |one: Option<f64>, other: f64| one.is_some_and(|one| (one - other).abs() < 1e-12);
    assert!(near(time(&chain, &[1, 1]), 1.0 + 0.35 + 1.25 + 0.3), "the edge passes it on");
    assert_eq!(chain.choose(&Objective::weighted(1.0)).unwrap().0, [1, 4]);
    chain.tiers[1].memory = Bytes(2);
    assert_eq!(chain.step(&[1, 4]), None, "three blocks are too many for the edge");
    chain.tiers[2].memory = Bytes(0);
    assert_eq!(chain.choose(&Objective::weighted(1.0)).unwrap().0, [4, 4]);
    chain.tiers[0].memory = Bytes(3);
    assert_eq!(chain.choose(&Objective::weighted(1.0)).unwrap().0, [2, 4]);
    chain.tiers[0].memory = Bytes(1);
    let message = chain.choose(&Objective::weighted(1.0)).unwrap_err().to_string();
    assert!(message.contains("no cut fits the memory of") && message.contains("1 B more"), "{message}");
}
