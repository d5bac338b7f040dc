//! Rounds by hand, and against real emulated machines.

use super::super::tests::{Draws, random_member};
use super::super::{Phase, Server};
use super::*;
use crate::device::{Ledger, Link, Machine, Power, Profile, Trace};
use crate::units::Watts;

fn power() -> Power {
    Power { compute: Watts(8.0), idle: Watts(2.0), send: Watts(3.0), receive: Watts(2.5) }
}

/// Two steps of a device: forward 1 s, up 1 s and 0.5 s of latency, server 1 s, down 2 s and 0.5 s, backward 2 s.
/// With cut 1 it does all by itself, in 3 s and 4 s. Its parts take 1 s and 0.5 s either way.
fn member(weights: bool) -> Member {
    let weights = if weights { Bytes(10) } else { Bytes(0) };
    let parts = CutCost { weights_up: weights, weights_down: Bytes(weights.0 / 2), ..CutCost::default() };
    let split = CutCost {
        forward: Seconds(1.0),
        backward: Seconds(2.0),
        server: Seconds(1.0),
        up: Bytes(10),
        down: Bytes(10),
        ..parts
    };
    let whole = CutCost { forward: Seconds(3.0), backward: Seconds(4.0), ..parts };
    let link = |rate| Link::new(rate, Seconds(0.5));
    Member::new("toy", vec![split, whole], link(10.0), link(5.0), power(), 2)
}

fn fleet(members: Vec<Member>, protocol: Protocol) -> Fleet {
    Fleet::new(members, Server::new(power()), protocol)
}

/// One machine or one a device, one transmitter or one a device.
///
/// ```text
/// first   forward until 1, there at 2.5; served until 3.5, sent until 5.5, back at 6; backward until 8, forward until 9,
///         there at 10.5; served until 11.5, sent until 13.5, back at 14; backward until 16
/// second  forward until 1, there at 2.5; served until 4.5 (3.5 with its own core), sent until 6.5, back at 7, …: until 17
/// ```
/// With one transmitter its gradient is sent from 5.5 to 7.5 and there at 8; it is ready again at 11, there at 12.5,
/// served until 13.5, sent until 15.5, back at 16, done at 18.
#[test]
fn two_devices_by_hand() {
    for (contended, ports_each, weights, protocol, ends) in [
        (true, true, false, Protocol::Ares, [16.0, 17.0]),
        (true, false, false, Protocol::Ares, [16.0, 18.0]),
        (false, true, false, Protocol::Ares, [16.0, 16.0]),
        (true, true, false, Protocol::SplitFedV1, [16.0, 17.0]),
        (true, true, false, Protocol::SplitFedV2, [16.0, 17.0]),
        (true, true, false, Protocol::Sequential, [16.0, 32.0]),
        (true, true, false, Protocol::Federated, [14.0, 14.0]),
        (true, true, true, Protocol::Federated, [15.5, 15.5]),
        (true, false, true, Protocol::Federated, [15.5, 16.5]),
        // 1.5 s for its part, 16 s of steps, 1.5 s for the part to go up, before the second begins.
        (true, true, true, Protocol::Sequential, [17.5, 19.0 + 17.5]),
    ] {
        let mut fleet = fleet(vec![member(weights); 2], protocol);
        (fleet.server.contended, fleet.server.ports_each) = (contended, ports_each);
        let round = fleet.simulate(&[0, 0], Seconds(0.0));
        let up = if weights { 1.5 } else { 0.0 };
        let what = format!("{contended} {ports_each} {weights} {protocol:?}");
        assert_eq!([0, 1].map(|at| round.devices[at].end.0), ends, "{what}");
        assert_eq!([0, 1].map(|at| round.devices[at].delivered.0), ends.map(|end| end + up), "{what}");
        assert_eq!(round.time().0, ends[1] + up, "{what}");
        // The same later, and with times that are the doubles.
        let later = fleet.simulate(&[0, 0], Seconds(100.0));
        assert_eq!(later.time(), round.time(), "{what}");
    }
}

/// The first of the rounds above: 6 s of computing, 2 s of sending, 4 s of receiving until 17 s.
#[test]
fn energy_by_hand() {
    let mut fleet = fleet(vec![member(false); 2], Protocol::Ares);
    let round = fleet.simulate(&[0, 0], Seconds(0.0));
    let first = Share {
        end: Seconds(16.0),
        delivered: Seconds(16.0),
        computing: Seconds(6.0),
        sending: Seconds(2.0),
        receiving: Seconds(4.0),
        served: Seconds(2.0),
        // From 1 to 6 and from 9 to 14.
        waiting: Seconds(10.0),
        energy: Joules(8.0 * 6.0 + 2.0 * 11.0 + 1.0 * 2.0 + 0.5 * 4.0),
    };
    assert_eq!(round.devices[0], first);
    let server = &round.server;
    assert_eq!((server.computing, server.sending, server.receiving), (Seconds(4.0), Seconds(8.0), Seconds(4.0)));
    assert_eq!(server.energy, Joules(8.0 * 4.0 + 2.0 * 13.0 + 8.0 + 0.5 * 4.0));
    assert_eq!(fleet.point(&[0, 0], Seconds(0.0)), Point { time: Seconds(17.0), energy: Joules(148.0) });
    fleet.server_energy = true;
    assert_eq!(fleet.point(&[0, 0], Seconds(0.0)).energy, Joules(148.0 + 68.0));
    (fleet.idle, fleet.server_energy) = (Idle::Free, false);
    assert_eq!(fleet.point(&[0, 0], Seconds(0.0)).energy, Joules(2.0 * (48.0 + 6.0 + 10.0)));
}

/// A slow device (5 s a step) before a fast one (1 s); messages take no time, the server 1 s a batch.
#[test]
fn who_waits_for_whom() {
    let device = |forward| {
        let instant = Link::new(f64::INFINITY, Seconds(0.0));
        let cost = CutCost {
            forward: Seconds(forward),
            server: Seconds(1.0),
            up: Bytes(1),
            down: Bytes(1),
            ..CutCost::default()
        };
        Member::new("toy", vec![cost, CutCost::default()], instant.clone(), instant, power(), 2)
    };
    for (protocol, ends) in [
        // The fast one is served at 1 and at 3.
        (Protocol::Ares, [12.0, 4.0]),
        // Its second batch has to wait until the slow one's first was served at 5.
        (Protocol::SplitFedV1, [12.0, 7.0]),
        // And its first as well.
        (Protocol::SplitFedV2, [12.0, 13.0]),
    ] {
        let round = fleet(vec![device(5.0), device(1.0)], protocol).simulate(&[0, 0], Seconds(0.0));
        assert_eq!([0, 1].map(|at| round.devices[at].end.0), ends, "{protocol:?}");
    }
}

/// From 4 s on it computes with half the speed and draws half as much: two steps of 7 s, of which 4 s are at full speed.
#[test]
fn power_modes_switch_within_a_round() {
    let mut member = member(false);
    let half = |watts: Watts| Watts(watts.0 / 2.0);
    let saving = Power { compute: half(power().compute), idle: half(power().idle), ..power() };
    let phase = |from, speed, power| Phase { from: Seconds(from), speed, power };
    member.phases = Phases::new(vec![phase(0.0, 1.0, power()), phase(4.0, 0.5, saving)]);
    let round = fleet(vec![member], Protocol::Federated).simulate(&[1], Seconds(0.0));
    assert_eq!(round.time(), Seconds(4.0 + 20.0));
    assert_eq!(round.energy(), Joules(8.0 * 4.0 + 4.0 * 20.0));
}

/// Plays a round of [`Protocol::Ares`] with real machines and transmitters kept as `comm::Emulated` does, by asking again
/// and again which batch is there first.
fn with_machines(fleet: &Fleet, cuts: &[usize], start: Seconds) -> (f64, Vec<Ledger>, Ledger) {
    let machine = |power: Power| {
        let machine = Machine::new(&Profile { power, ..Profile::new("toy", 1.0) }, "toy");
        machine.advance_to(start);
        machine
    };
    let server = machine(fleet.server.phases.all()[0].power);
    let devices: Vec<Machine> = fleet.members.iter().map(|member| machine(member.phases.all()[0].power)).collect();
    let mut free = vec![Seconds(0.0); cuts.len() + if fleet.server.ports_each { cuts.len() } else { 1 }];
    let port = |device: usize| cuts.len() + if fleet.server.ports_each { device } else { 0 };
    let link = |way: &Way| match way {
        Way::Open(link) => link.clone(),
        Way::Closed => panic!("an open way"),
    };
    let send = |from: &Machine, free: &mut Seconds, way: &Way, bytes: Bytes| {
        let (depart, link) = (Seconds(from.now().0.max(free.0)), link(way));
        let transmission = link.bandwidth.transmission_from(depart, bytes);
        *free = depart + transmission;
        from.sent(transmission);
        *free + link.latency
    };
    let take = |to: &Machine, way: &Way, arrival: Seconds, bytes: Bytes| {
        let link = link(way);
        to.arrived(arrival, link.bandwidth.transmission_until(arrival - link.latency, bytes));
    };
    let (cost, member) =
        (|device: usize| &fleet.members[device].cuts[cuts[device]], |device: usize| &fleet.members[device]);
    for (device, machine) in devices.iter().enumerate() {
        let (way, bytes) = (&member(device).down, cost(device).weights_down);
        let arrival = send(&server, &mut free[port(device)], way, bytes);
        take(machine, way, arrival, bytes);
    }
    let mut left: Vec<u64> = fleet.members.iter().map(|member| member.steps).collect();
    let mut waiting: Vec<Option<Seconds>> = vec![None; cuts.len()];
    loop {
        for device in 0..cuts.len() {
            while left[device] > 0 && waiting[device].is_none() {
                devices[device].charge_seconds(cost(device).forward);
                if cuts[device] == fleet.blocks() {
                    devices[device].charge_seconds(cost(device).backward);
                    left[device] -= 1;
                } else {
                    waiting[device] =
                        Some(send(&devices[device], &mut free[device], &member(device).up, cost(device).up));
                }
            }
        }
        let there = (0..cuts.len()).filter_map(|device| Some((waiting[device]?, device)));
        let Some((arrival, device)) = there.min_by(|one, other| one.0.0.total_cmp(&other.0.0)) else { break };
        waiting[device] = None;
        left[device] -= 1;
        take(&server, &member(device).up, arrival, cost(device).up);
        server.charge_seconds(cost(device).server);
        let arrival = send(&server, &mut free[port(device)], &member(device).down, cost(device).down);
        take(&devices[device], &member(device).down, arrival, cost(device).down);
        devices[device].charge_seconds(cost(device).backward);
    }
    for device in 0..cuts.len() {
        let arrival = send(&devices[device], &mut free[device], &member(device).up, cost(device).weights_up);
        take(&server, &member(device).up, arrival, cost(device).weights_up);
    }
    let end = server.now();
    devices.iter().for_each(|machine| machine.advance_to(end));
    ((end - start).0, devices.iter().map(Machine::ledger).collect(), server.ledger())
}

/// Random links that change and fail over time, over one transmitter or many.
#[test]
fn rounds_are_those_of_real_machines() {
    let mut draws = Draws::new(20);
    let near = |one: f64, other: f64| (one - other).abs() <= 1e-9 * one.abs().max(1.0);
    for number in 0..300 {
        let devices = 1 + draws.below(5);
        let trace = |draws: &mut Draws| {
            let rows = (1..6)
                .map(|at| format!("{},{}\n", at * 7, if draws.one_in(3) { 0.0 } else { draws.between(0.001, 0.02) }));
            let text = format!("time_s,mbit_per_s\n0,0.01\n{}99,0.004\n", rows.collect::<String>());
            Way::Open(Link {
                bandwidth: Trace::parse("toy.csv", &text).unwrap(),
                latency: Seconds(draws.between(0.0, 0.5)),
            })
        };
        let mut members: Vec<Member> = (0..devices)
            .map(|_| {
                let steps = 1 + draws.below(6) as u64;
                random_member(&mut draws, 3, steps)
            })
            .collect();
        if draws.one_in(2) {
            members.iter_mut().for_each(|member| (member.up, member.down) = (trace(&mut draws), trace(&mut draws)));
        }
        let cuts: Vec<usize> = (0..devices).map(|_| draws.below(4)).collect();
        let mut fleet = fleet(members, Protocol::Ares);
        fleet.server.ports_each = draws.one_in(2);
        let start = Seconds(draws.between(0.0, 30.0));
        let (round, (time, ledgers, server)) = (fleet.simulate(&cuts, start), with_machines(&fleet, &cuts, start));
        assert!(near(round.time().0, time), "{number}: {} {time}", round.time().0);
        let shares = round.devices.iter().zip(&fleet.members).map(|(share, member)| (share, &member.phases));
        let all = shares.chain([(&round.server, &fleet.server.phases)]).zip(ledgers.iter().chain([&server]));
        for ((share, phases), ledger) in all {
            // The machine idled until the round began, too.
            let ledger = Ledger { time: ledger.time - start, ..*ledger };
            let energy = crate::device::Energy::of(&ledger, &phases.all()[0].power).total().0;
            for (ours, theirs) in [
                (share.computing.0, ledger.computing.0),
                (share.sending.0, ledger.sending.0),
                (share.receiving.0, ledger.receiving.0),
                (share.energy.0, energy),
            ] {
                assert!(near(ours, theirs), "{number}: {share:?} {ledger:?} {energy}");
            }
        }
    }
}
