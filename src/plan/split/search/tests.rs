//! The search against brute force, and what it never does worse.

use super::super::tests::{Draws, random_member};
use super::super::{Member, Phase, Phases, Server};
use super::*;
use crate::device::Power;
use crate::units::{Bytes, Watts};

/// Some of the devices are alike; memories, modes that change and limits among them.
fn random_fleet(draws: &mut Draws, devices: usize, blocks: usize) -> Fleet {
    let mut members: Vec<Member> = Vec::new();
    for _ in 0..devices {
        let again = draws.below(members.len() + 1);
        let mut member = match members.get(again) {
            Some(member) => member.clone(),
            None => {
                let steps = 1 + draws.below(4) as u64;
                random_member(draws, blocks, steps)
            }
        };
        if members.len() <= again && draws.one_in(3) {
            member.memory = Bytes(draws.between(30.0, 100.0) as u64);
        }
        if members.len() <= again && draws.one_in(5) {
            let power = member.phases.all()[0].power;
            let saving = Power { compute: Watts(power.compute.0 / 2.0), ..power };
            let phase = |from, speed, power| Phase { from: Seconds(from), speed, power };
            member.phases = Phases::new(vec![phase(0.0, 1.0, power), phase(3.0, 0.5, saving)]);
        }
        members.push(member);
    }
    let mut fleet = Fleet::new(members, Server::new(Power::default()), Protocol::Ares);
    if draws.one_in(4) {
        fleet.server.memory = Bytes(draws.between(20.0, 200.0) as u64);
    }
    fleet.server.contended = !draws.one_in(4);
    fleet
}

fn vectors(devices: usize, cuts: usize) -> impl Iterator<Item = Vec<usize>> {
    (0..cuts.pow(devices as u32))
        .map(move |number| (0..devices).map(|at| number / cuts.pow(at as u32) % cuts).collect())
}

#[test]
fn small_fleets_against_brute_force() {
    let mut draws = Draws::new(30);
    let (mut found, mut missed) = (0, 0);
    for number in 0..400 {
        let (devices, blocks) = (1 + draws.below(3), 1 + draws.below(4));
        let fleet = random_fleet(&mut draws, devices, blocks);
        let start = Seconds(draws.between(0.0, 5.0));
        let mut objective = Objective::weighted([0.0, 0.3, 0.6, 1.0][draws.below(4)]);
        objective.deadline = draws.one_in(4).then(|| Seconds(draws.between(2.0, 20.0)));
        objective.budget = draws.one_in(4).then(|| Joules(draws.between(10.0, 200.0)));
        let allowed: Vec<Point> = vectors(devices, blocks + 1)
            .filter(|cuts| fleet.fits(cuts))
            .map(|cuts| fleet.point(&cuts, start))
            .collect();
        match fleet.choose(&objective, start) {
            Ok(choice) => {
                let norms = fleet.norms(start).unwrap();
                let value = |point: Point| objective.value(point, &norms);
                let least = allowed.iter().filter_map(|point| value(*point)).fold(f64::INFINITY, f64::min);
                assert_eq!(fleet.point(&choice.cuts, start), choice.point);
                assert!(choice.exact && value(choice.point).unwrap() <= least * SLACK, "{number}: {choice:?} {least}");
                found += 1;
            }
            Err(error) => {
                assert!(!allowed.iter().any(|point| objective.allows(*point)), "{number}: {error}");
                // The best that the message names are the best that there are.
                let least = |of: fn(&Point) -> f64| allowed.iter().map(of).fold(f64::INFINITY, f64::min);
                match error {
                    Infeasible::Deadline { best, .. } => assert!((best.0 / least(|p| p.time.0) - 1.0).abs() < 1e-9),
                    Infeasible::Budget { best, .. } => assert!((best.0 / least(|p| p.energy.0) - 1.0).abs() < 1e-9),
                    Infeasible::Memory { .. } | Infeasible::ServerMemory { .. } => assert!(allowed.is_empty()),
                    Infeasible::Both { .. } => {}
                    other => panic!("{other}"),
                }
                missed += 1;
            }
        }
    }
    assert!(found > 150 && missed > 50, "{found} {missed}");
}

#[test]
fn never_worse_than_one_cut_for_all_or_everything_on_the_devices() {
    let mut draws = Draws::new(31);
    for (devices, exact) in [(5, true), (12, true), (60, false)] {
        let mut members: Vec<Member> = (0..devices).map(|_| random_member(&mut draws, 7, 20)).collect();
        members.iter_mut().for_each(|member| member.memory = Bytes(u64::MAX));
        let fleet = Fleet::new(members, Server::new(Power::default()), Protocol::Ares);
        let objective = Objective::weighted(0.6);
        let choice = fleet.choose(&objective, Seconds(0.0)).unwrap();
        let norms = fleet.norms(Seconds(0.0)).unwrap();
        let value = |point: Point| objective.value(point, &norms).unwrap();
        for cut in 0..=7 {
            let uniform = fleet.point(&vec![cut; devices], Seconds(0.0));
            assert!(value(choice.point) <= value(uniform), "{devices}: {choice:?}, all at {cut}: {uniform:?}");
        }
        let federated = Fleet { protocol: Protocol::Federated, ..fleet.clone() };
        let federated = federated.choose(&objective, Seconds(0.0)).unwrap();
        assert_eq!(federated.cuts, vec![7; devices]);
        assert!(value(choice.point) <= value(federated.point));
        // Bounds leave little to look at of the 8^12 ways to cut twelve different devices.
        assert!(choice.exact == exact && choice.simulated < 5000, "{devices}: {} simulated", choice.simulated);
    }
}

/// What share one part on the server have one cut, the best of all.
#[test]
fn protocols_that_share_the_server_have_one_cut() {
    let mut draws = Draws::new(32);
    for protocol in [Protocol::SplitFedV1, Protocol::SplitFedV2, Protocol::Sequential] {
        for _ in 0..20 {
            let mut members: Vec<Member> = (0..3).map(|_| random_member(&mut draws, 4, 3)).collect();
            members[0].memory = Bytes(95);
            let fleet = Fleet::new(members, Server::new(Power::default()), protocol);
            let objective = Objective::weighted(1.0);
            let points: Vec<Option<Point>> =
                (0..=4).map(|cut| fleet.fits(&[cut; 3]).then(|| fleet.point(&[cut; 3], Seconds(0.0)))).collect();
            let best = objective.choose(&points).unwrap();
            assert_eq!(fleet.choose(&objective, Seconds(0.0)).unwrap().cuts, [best; 3]);
        }
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let mut draws = Draws::new(33);
    let mut members: Vec<Member> = (0..2).map(|_| random_member(&mut draws, 3, 1)).collect();
    let memories = |member: &mut Member, list: [u64; 4]| {
        member.cuts.iter_mut().zip(list).for_each(|(cut, memory)| {
            (cut.memory, cut.server_memory) = (Bytes(memory), Bytes(10));
        });
    };
    memories(&mut members[0], [10, 20, 30, 40]);
    memories(&mut members[1], [40, 30, 20, 10]);
    (members[0].name, members[1].name) = ("one".into(), "other".into());
    (members[0].memory, members[1].memory) = (Bytes(15), Bytes(15));
    let mut fleet = Fleet::new(members, Server::new(Power::default()), Protocol::Ares);
    let choose = |fleet: &Fleet| fleet.choose(&Objective::weighted(0.5), Seconds(0.0));
    assert_eq!(choose(&fleet).unwrap().cuts, [0, 3]);
    fleet.server.memory = Bytes(15);
    let message = choose(&fleet).unwrap_err().to_string();
    assert!(
        message.contains("memory of the server: the smallest parts need 20 B, 5 B more than its 15 B"),
        "{message}"
    );
    fleet.protocol = Protocol::SplitFedV1;
    let message = choose(&fleet).unwrap_err().to_string();
    assert!(message.contains("no cut fits the memory of other: the smallest needs 40 B"), "{message}");
    fleet.members[1].memory = Bytes(9);
    let message = choose(&fleet).unwrap_err().to_string();
    assert!(
        message.contains("no cut fits the memory of other: the smallest needs 10 B, 1 B more than its 9 B"),
        "{message}"
    );
}

#[test]
fn multisets_are_counted() {
    for (kinds, count, ways) in [(8, 1, 8), (8, 4, 330), (2, 3, 4), (1, 9, 1), (8, 40, 62_891_499)] {
        assert_eq!(multisets(kinds, count), ways, "{count} of {kinds}");
    }
    assert_eq!(multisets(1000, 1000), u128::MAX);
}
