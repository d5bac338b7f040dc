//! Machines by hand: times, joules, what is held, called off, paced, and what switches its power mode.

use super::super::{Pass, Switch};
use super::*;
use crate::units::{Flops, Watts};

fn machine(flops_per_s: f64) -> Machine {
    let watts = |compute, idle, send, receive| Power {
        compute: Watts(compute),
        idle: Watts(idle),
        send: Watts(send),
        receive: Watts(receive),
    };
    Machine::new(&Profile { power: watts(8.0, 2.0, 3.0, 2.5), ..Profile::new("toy", flops_per_s) }, "mlp")
}

fn compute(machine: &Machine, flops: u64) {
    machine.charge(&Work { flops: Flops(flops), blocks: 0..1, rows: 1, pass: Pass::Forward });
}

/// Two machines, 1 and 2 FLOP/s. The first works 6 FLOP (6 s) and sends, the link takes 0.5 s; the second
/// has worked 10 FLOP (5 s) and takes the message at 6.5 s, then works 3 FLOP (1.5 s): 8 s.
#[test]
fn a_two_stage_chain_by_hand() {
    let (slow, fast) = (machine(1.0), machine(2.0));
    compute(&slow, 6);
    compute(&fast, 10);
    assert_eq!((slow.now(), fast.now()), (Seconds(6.0), Seconds(5.0)));
    fast.arrived(slow.now() + Seconds(0.5), Seconds(0.5));
    compute(&fast, 3);
    assert_eq!(fast.now(), Seconds(8.0));
    fast.arrived(Seconds(1.0), Seconds(0.5));
    assert_eq!(fast.now(), Seconds(8.0), "an old message does not turn the clock back");
    assert_eq!(fast.ledger().receiving, Seconds(1.0), "and was received all the same");
}

/// 4 s computing, then 1 s sending and 2 s receiving with nothing else to do: 8·4 + 3·1 + 2.5·2 = 40 J. The same
/// once more while computing: 8·4 + (3 - 2)·1 + (2.5 - 2)·2 = 34 J in 4 s.
#[test]
fn energy_by_hand() {
    let machine = machine(1.0);
    compute(&machine, 4);
    machine.sent(Seconds(1.0));
    machine.advance_to(Seconds(5.0));
    machine.arrived(Seconds(7.0), Seconds(2.0));
    let serial = machine.ledger();
    let (compute_j, idle_j) = (Joules(32.0), Joules(6.0));
    let expected = Energy { compute: compute_j, idle: idle_j, send: Joules(1.0), receive: Joules(1.0) };
    assert_eq!(machine.energy(&serial), expected);
    assert_eq!(machine.energy(&serial).total(), Joules(40.0));
    machine.sent(Seconds(1.0));
    compute(&machine, 4);
    machine.arrived(Seconds(9.0), Seconds(2.0));
    let overlapping = machine.ledger() - serial;
    assert_eq!((overlapping.time, overlapping.idle()), (Seconds(4.0), Seconds(0.0)));
    assert_eq!(machine.energy(&overlapping).total(), Joules(34.0));
}

/// A board that draws less while it sends than while it waits, as measurements may say, earns nothing by sending.
#[test]
fn sending_is_never_paid_back() {
    let power = Power { idle: Watts(2.0), send: Watts(1.0), ..Power::default() };
    let ledger = Ledger { time: Seconds(3.0), sending: Seconds(3.0), ..Ledger::default() };
    assert_eq!(Energy::of(&ledger, &power).total(), Joules(6.0));
}

#[test]
fn nothing_moves_a_held_machine() {
    let machine = machine(1.0);
    compute(&machine, 1);
    let before = machine.ledger();
    machine.hold(true);
    compute(&machine, 5);
    machine.arrived(Seconds(9.0), Seconds(1.0));
    machine.sent(Seconds(1.0));
    machine.advance_to(Seconds(20.0));
    assert_eq!(machine.ledger(), before);
    machine.hold(false);
    compute(&machine, 5);
    assert_eq!(machine.now(), Seconds(6.0));
}

/// At 3 s of idling a task of 10 s begins, whose answer is sent for 2 s. Called off at 7 s it has cost 3·2 J of waiting
/// and 4·8 J of computing; the second of receiving before it, 0.5 J above idling, stays.
#[test]
fn what_is_called_off_costs_what_was_done_until_then() {
    let begun = || {
        let machine = machine(1.0);
        machine.arrived(Seconds(3.0), Seconds(1.0));
        let mark = machine.mark();
        compute(&machine, 10);
        machine.sent(Seconds(2.0));
        machine.arrived(Seconds(14.0), Seconds(0.5));
        (machine, mark)
    };
    for (at, time, computing, joules) in [
        (7.0, 7.0, 4.0, 6.0 + 32.0 + 0.5),
        (3.0, 3.0, 0.0, 6.5),
        // Before it began: it did not begin.
        (1.0, 3.0, 0.0, 6.5),
    ] {
        let (machine, mark) = begun();
        machine.cancel(&mark, Seconds(at));
        let expected = Ledger {
            time: Seconds(time),
            computing: Seconds(computing),
            sending: Seconds(0.0),
            receiving: Seconds(1.0),
            ..Ledger::default()
        };
        assert_eq!(machine.ledger(), expected, "called off at {at}");
        assert_eq!(machine.energy(&expected).total(), Joules(joules), "called off at {at}");
        compute(&machine, 2);
        assert_eq!(machine.now(), Seconds(time + 2.0), "it goes on from there");
    }
    for at in [14.0, 20.0] {
        let (machine, mark) = begun();
        let before = machine.ledger();
        machine.cancel(&mark, Seconds(at));
        assert_eq!(machine.ledger(), before, "all was done before {at}");
    }
    let (machine, mark) = begun();
    machine.hold(true);
    machine.cancel(&mark, Seconds(7.0));
    assert_eq!(machine.now(), Seconds(14.0), "nothing moves a held machine");
}

#[test]
fn a_machine_that_is_kept_awake_says_how_long_to_sleep() {
    let start = Instant::now();
    let machine = machine(1.0).paced(start);
    machine.keep_awake(true);
    let mark = machine.mark();
    compute(&machine, 1000);
    assert!(start.elapsed() < Duration::from_secs(100), "it slept");
    assert!((Duration::from_secs(900)..=Duration::from_secs(1000)).contains(&machine.lag()), "{:?}", machine.lag());
    machine.cancel(&mark, Seconds(0.0));
    assert_eq!(machine.lag(), Duration::ZERO);
    machine.keep_awake(false);
    machine.charge_seconds(Seconds(0.02));
    assert!(start.elapsed() >= Duration::from_millis(20) && machine.lag() == Duration::ZERO);
    let unpaced = self::machine(1.0);
    compute(&unpaced, 1000);
    assert_eq!(unpaced.lag(), Duration::ZERO, "nobody waits for virtual time");
}

/// 8 W and speed 1 until 4 s, then 2 W and speed 0.5 until 10 s, then back; waiting 2 W, 1 W, 2 W; sending 1 W, 0.5 W and
/// receiving 0.5 W, 0.25 W above it.
fn switching() -> Machine {
    let profile = machine(1.0).profile().clone();
    let watts = |watts: [f64; 4]| {
        let [compute, idle, send, receive] = watts.map(Watts);
        Power { compute, idle, send, receive }
    };
    let slow = Switch { at: Seconds(4.0), mode: "5W".into(), speed: 0.5, power: watts([2.0, 1.0, 1.5, 1.25]) };
    let back = Switch { at: Seconds(10.0), mode: "MAXN".into(), speed: 1.0, power: profile.power };
    Machine::new(&Profile { switches: vec![slow, back], ..profile }, "mlp")
}

/// Until 2 s it waits; 6 FLOP take 2 s fast, 6 s slow (3 FLOP) and 1 s fast again: 11 s. Then it waits until 12 s.
#[test]
fn work_and_joules_follow_the_power_modes() {
    let machine = switching();
    machine.advance_to(Seconds(2.0));
    machine.sent(Seconds(1.0));
    assert_eq!(machine.price(&Work { flops: Flops(6), blocks: 0..1, rows: 1, pass: Pass::Forward }), Seconds(9.0));
    compute(&machine, 6);
    machine.arrived(Seconds(12.0), Seconds(2.0));
    let all = machine.ledger();
    assert_eq!((all.time, all.computing, all.idle()), (Seconds(12.0), Seconds(9.0), Seconds(3.0)));
    let [compute_j, idle, send, receive] = [8.0 * 3.0 + 2.0 * 6.0, 6.0, 1.0, 1.0].map(Joules);
    assert_eq!(machine.energy(&all), Energy { compute: compute_j, idle, send, receive });

    let machine = switching();
    machine.advance_to(Seconds(5.0));
    machine.sent(Seconds(2.0));
    let before = machine.ledger();
    machine.sent(Seconds(3.0));
    machine.unsent(&before);
    // Two messages of 1 s, of before the switch and of after it, in either order.
    machine.arrived(Seconds(6.0), Seconds(1.0));
    machine.arrived(Seconds(3.0), Seconds(1.0));
    let all = machine.ledger();
    let [idle, send, receive] = [2.0 * 4.0 + 1.0 * 2.0, 0.5 * 2.0, 0.5 + 0.25].map(Joules);
    assert_eq!(machine.energy(&all), Energy { compute: Joules(0.0), idle, send, receive });
    let later = all - before;
    assert_eq!(machine.energy(&later), Energy { idle: Joules(1.0), receive, ..Energy::default() }, "a difference");
}

/// From 2 s on 9 s of work, called off at 6 s: 2 s at 8 W, 2 s at 2 W, and 4 J of waiting before.
#[test]
fn what_is_called_off_used_what_its_modes_draw() {
    let machine = switching();
    machine.advance_to(Seconds(2.0));
    let mark = machine.mark();
    compute(&machine, 6);
    machine.sent(Seconds(1.0));
    machine.arrived(Seconds(12.0), Seconds(2.0));
    machine.cancel(&mark, Seconds(6.0));
    let expected = Energy { compute: Joules(20.0), idle: Joules(4.0), ..Energy::default() };
    assert_eq!(machine.energy(&machine.ledger()), expected);
}
