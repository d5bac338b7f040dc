//! The planner against the figures that ARES's authors published, and what all its tests share.

use super::*;
use crate::device::{Link, Power};
use crate::rng::{Purpose, below, stream, unit};
use crate::units::{Bytes, Seconds, Watts};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

const ORACLE: &str = include_str!("../../../tests/oracles/ares.json");

/// Random numbers of a test.
pub(super) struct Draws(ChaCha8Rng);

impl Draws {
    pub(super) fn new(test: u64) -> Self {
        Self(stream(6, Purpose::Split, 0, test))
    }

    pub(super) fn between(&mut self, least: f64, most: f64) -> f64 {
        least + (most - least) * unit(&mut self.0)
    }

    pub(super) fn below(&mut self, count: usize) -> usize {
        below(&mut self.0, count as u64) as usize
    }

    pub(super) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// A device of random costs; the last cut exchanges nothing.
pub(super) fn random_member(draws: &mut Draws, blocks: usize, steps: u64) -> Member {
    let bytes = |draws: &mut Draws, most| Bytes(1 + draws.below(most) as u64);
    let mut cost = |cut: usize| {
        let exchanged = cut < blocks;
        CutCost {
            forward: Seconds(draws.between(0.0, 2.0)),
            backward: Seconds(draws.between(0.0, 2.0)),
            server: Seconds(if exchanged { draws.between(0.0, 1.0) } else { 0.0 }),
            up: if exchanged { bytes(draws, 1000) } else { Bytes(0) },
            down: if exchanged { bytes(draws, 1000) } else { Bytes(0) },
            memory: bytes(draws, 100),
            server_memory: bytes(draws, 100),
            weights_up: bytes(draws, 1000),
            weights_down: bytes(draws, 1000),
        }
    };
    let cuts = (0..=blocks).map(&mut cost).collect();
    let mut link = || Link::new(draws.between(100.0, 2000.0), Seconds(draws.between(0.0, 0.3)));
    let (up, down) = (link(), link());
    let idle = draws.between(0.0, 3.0);
    let mut watts = || Watts(draws.between(idle * 0.8, 9.0));
    let power = Power { compute: watts(), idle: Watts(idle), send: watts(), receive: watts() };
    Member::new("toy", cuts, up, down, power, steps)
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// The Raspberry Pi at cuts 1..=7, both directions charged, 4 bytes an element.
fn raspberry_pi(oracle: &Value, mbit_per_s: f64) -> Member {
    let elements = numbers(&oracle["activation_elements"]);
    let seconds = &oracle["cumulative_seconds_per_batch_of_100"]["raspberry_pi"];
    let (forward, backward) = (numbers(&seconds["forward"]), numbers(&seconds["backward"]));
    let watts = |what: &str| Watts(oracle["power_mW"]["MAXN"][what].as_f64().unwrap() / 1000.0);
    let cuts = (0..elements.len()).map(|cut| {
        let bytes = Bytes(4 * 100 * elements[cut] as u64);
        let (forward, backward) = (Seconds(forward[cut]), Seconds(backward[cut]));
        CutCost { forward, backward, up: bytes, down: bytes, ..CutCost::default() }
    });
    let link = Link::new(mbit_per_s * 1e6 / 8.0, Seconds(0.0));
    let power = Power { compute: watts("compute"), idle: Watts(1.25), send: watts("tx"), receive: watts("rx") };
    Member::new("raspberry_pi", cuts.collect(), link.clone(), link, power, 1)
}

#[test]
fn the_published_optima_exactly() {
    let oracle: Value = serde_json::from_str(ORACLE).unwrap();
    let table = &oracle["argmin_by_alpha_0_0.25_0.5_0.75_1"]["raspberry_pi, 4 bytes/element, MAXN"];
    let mut compared = 0;
    for (rate, expected) in table.as_object().unwrap() {
        let member = raspberry_pi(&oracle, rate.trim_end_matches(" Mbit/s").parse().unwrap());
        for (alpha, expected) in [0.0, 0.25, 0.5, 0.75, 1.0].into_iter().zip(numbers(expected)) {
            let objective = Objective::weighted(alpha);
            let chosen = objective.choose(&member.steps(Seconds(0.0), Idle::Free)).unwrap();
            assert_eq!(chosen, expected as usize, "{rate}, alpha {alpha}");
            // A fleet of one that takes one step decides the same.
            let server = Server::new(Power::default());
            let fleet = Fleet { idle: Idle::Free, ..Fleet::new(vec![member.clone()], server, Protocol::Ares) };
            let choice = fleet.choose(&objective, Seconds(0.0)).unwrap();
            assert_eq!((choice.cuts, choice.exact), (vec![chosen], true), "{rate}, alpha {alpha}, as a fleet");
            compared += 1;
        }
    }
    assert_eq!(compared, 20);
}

/// Split 1, split 3 and everything on the device, with the fitted constants: uplink only.
fn fitted(oracle: &Value, mbit_per_s: f64) -> Vec<f64> {
    let elements = numbers(&oracle["activation_elements"]);
    let split = |constant, at: usize| CutCost {
        forward: Seconds(constant),
        up: Bytes(4 * 100 * elements[at] as u64),
        ..CutCost::default()
    };
    let local = oracle["measured_raspberry_pi_seconds_per_iteration"]["local"].as_f64().unwrap();
    let local = CutCost { forward: Seconds(local), ..CutCost::default() };
    let link = Link::new(mbit_per_s * 1e6 / 8.0, Seconds(0.0));
    let cuts = vec![split(1.287, 1), split(2.832, 3), local];
    let member = Member::new("raspberry_pi", cuts, link.clone(), link, Power::default(), 1);
    member.steps(Seconds(0.0), Idle::Charged).into_iter().map(|point| point.unwrap().time.0).collect()
}

#[test]
fn the_measured_times_and_where_splitting_begins_to_pay() {
    let oracle: Value = serde_json::from_str(ORACLE).unwrap();
    let measured = &oracle["measured_raspberry_pi_seconds_per_iteration"];
    let (mut worst, mut compared) = (0.0_f64, 0);
    for (at, name) in ["split 1 (0-based)", "split 3"].into_iter().enumerate() {
        for pair in measured[name].as_array().unwrap() {
            let [rate, seconds] = numbers(pair)[..] else { panic!("a rate and a time") };
            worst = worst.max((fitted(&oracle, rate)[at] / seconds - 1.0).abs());
            compared += 1;
        }
    }
    assert!(compared == 6 && worst <= 0.026, "{worst}");
    let (mut splitting, mut local) = (100.0, 1.0);
    while splitting - local > 1e-6 {
        let middle = (splitting + local) / 2.0;
        let times = fitted(&oracle, middle);
        if times[0] < times[2] { splitting = middle } else { local = middle }
    }
    assert!((splitting - 11.5_f64).abs() < 0.1, "{splitting}");
}

#[test]
fn a_closed_link_takes_for_ever_where_it_is_used() {
    let oracle: Value = serde_json::from_str(ORACLE).unwrap();
    let mut member = raspberry_pi(&oracle, 20.0);
    (member.up, member.cuts[6].up, member.cuts[6].down) = (Way::constant(0.0, Seconds(0.1)), Bytes(0), Bytes(0));
    let points = member.steps(Seconds(0.0), Idle::Charged);
    assert!(points[..6].iter().all(|point| *point == Some(Point::ENDLESS)), "{points:?}");
    assert_eq!(Objective::weighted(0.5).choose(&points), Ok(6));
    assert_eq!(Objective::weighted(0.5).choose(&points[..6]), Err(Infeasible::Endless));
    // Its weights have to go up as well.
    member.cuts.iter_mut().for_each(|cut| cut.weights_up = Bytes(100));
    for protocol in Protocol::ALL {
        let fleet = Fleet::new(vec![member.clone(); 2], Server::new(Power::default()), protocol);
        let limited = Objective { deadline: Some(Seconds(9.0)), ..Objective::weighted(0.5) };
        for objective in [Objective::weighted(0.5), limited] {
            assert_eq!(fleet.choose(&objective, Seconds(0.0)), Err(Infeasible::Endless), "{protocol:?}");
        }
    }
}

/// The closed formula is the simulation of one device that takes one step and moves no weights.
#[test]
fn one_step_alone_is_a_simulated_round() {
    let mut draws = Draws::new(1);
    for round in 0..200 {
        let mut member = random_member(&mut draws, 4, 1);
        member.cuts.iter_mut().for_each(|cut| (cut.weights_up, cut.weights_down) = (Bytes(0), Bytes(0)));
        let idle = if round % 2 == 0 { Idle::Charged } else { Idle::Free };
        let fleet = Fleet { idle, ..Fleet::new(vec![member], Server::new(Power::default()), Protocol::Ares) };
        for cut in 0..=4 {
            let (closed, played) = (fleet.members[0].step(cut, Seconds(0.0), idle), fleet.point(&[cut], Seconds(0.0)));
            let near = |one: f64, other: f64| (one - other).abs() < 1e-12 * one.abs().max(1.0);
            assert!(near(closed.time.0, played.time.0), "{cut}: {closed:?} {played:?}");
            assert!(near(closed.energy.0, played.energy.0), "{cut}: {closed:?} {played:?}");
        }
    }
}

/// For one device; of several, one that is faster may stand in the way of another.
#[test]
fn more_bandwidth_never_hurts_the_best_time() {
    let mut draws = Draws::new(2);
    for _ in 0..500 {
        let mut member = random_member(&mut draws, 5, 1);
        let best = |member: &Member| {
            let points = member.steps(Seconds(0.0), Idle::Charged);
            points[Objective::weighted(1.0).choose(&points).unwrap()].unwrap().time.0
        };
        let before = best(&member);
        let Way::Open(link) = &member.up else { panic!("an open way") };
        let rate = 1000.0 / link.bandwidth.transmission_from(Seconds(0.0), Bytes(1000)).0;
        member.up = Way::constant(rate * draws.between(1.0, 9.0), link.latency);
        assert!(best(&member) <= before);
    }
}
