//! What the controller believes, when it changes its mind, and what it says.

use super::super::{Idle, Protocol};
use super::*;
use crate::device::Link;
use crate::units::{Bytes, Watts};

const MBIT: f64 = 1e6 / 8.0;

/// One or more devices with cuts 0, 1 and 2: 1 MB crosses behind 0 s, 0.1 MB behind 1 s of work, nothing behind 2 s.
/// Over 8 Mbit/s (1 MB/s) these take 1 s, 1.1 s and 2 s.
fn fleet(devices: usize) -> Fleet {
    let cost = |seconds, up| CutCost {
        forward: Seconds(seconds),
        up: Bytes(up),
        weights_up: Bytes(1),
        weights_down: Bytes(1),
        ..CutCost::default()
    };
    let cuts = vec![cost(0.0, 1_000_000), cost(1.0, 100_000), cost(2.0, 0)];
    let power = Power { compute: Watts(4.0), idle: Watts(1.0), send: Watts(2.0), receive: Watts(2.0) };
    let link = |mbit: f64| Link::new(mbit * MBIT, Seconds(0.0));
    let member = Member::new("toy", cuts, link(8.0), link(1e9), power, 1);
    Fleet { idle: Idle::Charged, ..Fleet::new(vec![member; devices], Server::new(power), Protocol::Ares) }
}

fn controller(smoothing: f64, hysteresis: f64) -> Controller {
    Controller::new(&fleet(1), Objective::weighted(1.0), smoothing, hysteresis)
}

fn uplink(mbit: f64) -> Observation {
    Observation { up_bytes_per_s: Some(mbit * MBIT), ..Observation::default() }
}

fn decide(controller: &mut Controller) -> (usize, usize, String) {
    let decision = controller.decide().unwrap().remove(0);
    (decision.previous, decision.cut, decision.reason)
}

#[test]
fn it_follows_the_link_and_says_why() {
    let mut controller = controller(1.0, 0.02);
    assert_eq!(decide(&mut controller), (0, 0, "begins at 0: 1.000 s and 2.000 J a round".into()));
    assert_eq!(decide(&mut controller), (0, 0, "stays at 0: nothing is better".into()));
    // 1.12 s against 1.112 s: not worth it.
    controller.observe(0, uplink(8.0 / 1.12));
    assert_eq!(decide(&mut controller), (0, 0, "stays at 0: 1 would save 0.7 %, not more than 2.0 %".into()));
    controller.observe(0, uplink(5.2));
    assert_eq!(decide(&mut controller), (0, 1, "0 -> 1: uplink fell to 5.2 Mbit/s".into()));
    controller.observe(0, uplink(0.5));
    assert_eq!(decide(&mut controller), (1, 2, "1 -> 2: uplink fell to 0.5 Mbit/s".into()));
    controller.observe(0, uplink(40.0));
    assert_eq!(decide(&mut controller), (2, 0, "2 -> 0: uplink rose to 40.0 Mbit/s".into()));
    controller.observe(0, uplink(7.0));
    assert_eq!(decide(&mut controller).1, 1);
    controller.observe(0, Observation { compute_ratio: Some(0.5), ..Observation::default() });
    assert_eq!(decide(&mut controller).2, "stays at 1: nothing is better");
    controller.observe(0, Observation { compute_ratio: Some(0.01), ..uplink(7.0) });
    assert_eq!(decide(&mut controller).2, "1 -> 2: device computes for 0.01 times as long");
    controller.observe(0, uplink(0.0));
    assert!(matches!(controller.decide(), Err(Infeasible::Endless)), "its weights have to go up");
}

#[test]
fn what_is_seen_is_smoothed() {
    let mut controller = controller(0.25, 0.0);
    let rate = |controller: &Controller| {
        let fleet = controller.believed().unwrap();
        fleet.members[0].up.throughput(Seconds(0.0), Bytes(1000)) / MBIT
    };
    let near = |one: f64, other: f64| assert!((one - other).abs() < 1e-9, "{one} {other}");
    near(rate(&controller), 8.0);
    for (seen, believed) in [(4.0, 4.0), (8.0, 5.0), (5.0, 5.0), (1.0, 4.0), (f64::INFINITY, f64::INFINITY), (2.0, 2.0)]
    {
        controller.observe(0, uplink(seen));
        match believed {
            f64::INFINITY => assert!(rate(&controller).is_infinite()),
            believed => near(rate(&controller), believed),
        }
    }
    for (seen, believed) in [(3.0, 3.0), (1.0, 2.5), (0.0, 2.5), (f64::NAN, 2.5)] {
        controller.observe(0, Observation { compute_ratio: Some(seen), ..Observation::default() });
        near(controller.believed().unwrap().members[0].cuts[2].forward.0, 2.0 * believed);
    }
    let power = Power { compute: Watts(1.0), ..Power::default() };
    controller.observe(0, Observation { power: Some(power), ..Observation::default() });
    assert_eq!(controller.believed().unwrap().members[0].phases.at(Seconds(0.0)).power, power);
}

/// A lone outlier moves a careful controller only by its weight.
#[test]
fn hysteresis_and_smoothing_keep_it_calm() {
    let changes = |smoothing, hysteresis| {
        let mut controller = controller(smoothing, hysteresis);
        let mut cuts = Vec::new();
        for round in 0..40 {
            controller.observe(0, uplink(if round % 2 == 0 { 7.0 } else { 7.5 }));
            cuts.push(decide(&mut controller).1);
        }
        cuts.windows(2).filter(|pair| pair[0] != pair[1]).count()
    };
    // 8/7 s against 1.114 s, and 1.067 s against 1.107 s.
    assert_eq!(changes(1.0, 0.0), 39);
    assert_eq!(changes(1.0, 0.05), 0);
    assert!(changes(0.2, 0.0) < 39);
}

#[test]
fn cuts_that_break_a_limit_go_at_once() {
    let deadline = |seconds| Objective { deadline: Some(Seconds(seconds)), ..Objective::weighted(0.5) };
    let mut controller = Controller::new(&fleet(1), deadline(1.5), 1.0, 0.9);
    // The least energy within 1.5 s: cut 0, 2 J, against 4.2 J.
    assert_eq!(decide(&mut controller).1, 0);
    controller.observe(0, uplink(4.0));
    assert_eq!(decide(&mut controller).2, "0 -> 1: 0 is not within the limits any more");
    controller.observe(0, uplink(1.0));
    let error = controller.decide().unwrap_err();
    assert!(matches!(&error, Infeasible::Deadline { best, .. } if (best.0 - 1.8).abs() < 1e-3), "{error}");
    controller.observe(0, uplink(4.0));
    assert_eq!(decide(&mut controller).2, "stays at 1: nothing is better", "what was decided before stayed");
}

#[test]
fn the_dead_are_forgotten() {
    let mut controller = Controller::new(&fleet(3), Objective::weighted(1.0), 1.0, 0.0);
    let devices = |controller: &mut Controller| {
        controller.decide().unwrap().iter().map(|decision| (decision.device, decision.cut)).collect::<Vec<_>>()
    };
    assert_eq!(devices(&mut controller), [(0, 0), (1, 0), (2, 0)]);
    controller.remove(1);
    controller.observe(1, uplink(1.0));
    controller.observe(2, uplink(0.5));
    let decisions = controller.decide().unwrap();
    assert_eq!(decisions.iter().map(|d| (d.device, d.previous, d.cut)).collect::<Vec<_>>(), [(0, 0, 0), (2, 0, 2)]);
    // The round takes 2 s because of the last one; the first has the less energy the longer it waits, rather than works.
    assert_eq!(decisions[0].reason, "stays at 0: best beside the new cuts of others");
    assert!(decisions[1].reason.contains("uplink fell to 0.5"), "{decisions:?}");
    let resumed = Controller::new(&fleet(2), Objective::weighted(1.0), 1.0, 0.99).starting_with(vec![2, 1]);
    assert_eq!(devices(&mut resumed.clone()), [(0, 2), (1, 1)]);
    [0, 2].into_iter().for_each(|device| controller.remove(device));
    assert_eq!((controller.decide(), controller.believed()), (Err(Infeasible::Nothing), None));
}
