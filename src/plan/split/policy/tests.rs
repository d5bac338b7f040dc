//! Policies on links that change.

use super::super::{CutCost, Server};
use super::*;
use crate::device::{Link, Power, Trace};
use crate::units::{Bytes, Watts};

/// Two devices with cuts 0, 1 and 2; the first one's link changes as `mbit` says, every 150 s.
fn fleet(mbit: &[f64]) -> Fleet {
    let cost = |forward, up, server| CutCost {
        forward: Seconds(forward),
        backward: Seconds(forward),
        server: Seconds(server),
        up: Bytes(up),
        down: Bytes(up),
        weights_up: Bytes(1000),
        weights_down: Bytes(1000),
        ..CutCost::default()
    };
    let cuts = vec![cost(0.0, 1_000_000, 0.02), cost(0.3, 100_000, 0.01), cost(0.6, 0, 0.0)];
    let rows: String = mbit.iter().enumerate().map(|(at, rate)| format!("{},{rate}\n", 150 * at)).collect();
    let trace = Trace::parse("toy.csv", &format!("time_s,mbit_per_s\n{rows}")).unwrap();
    let changing = Link { bandwidth: trace, latency: Seconds(0.001) };
    let power = Power { compute: Watts(6.0), idle: Watts(1.5), send: Watts(2.5), receive: Watts(2.5) };
    let steady = Link::new(20.0 * 1e6 / 8.0, Seconds(0.001));
    let members = vec![
        Member::new("changing", cuts.clone(), changing.clone(), changing, power, 5),
        Member::new("steady", cuts, steady.clone(), steady, power, 5),
    ];
    Fleet::new(members, Server::new(power), Protocol::Ares)
}

fn ares() -> Policy {
    Policy::Ares { smoothing: 0.7, hysteresis: 0.02 }
}

#[test]
fn on_a_link_that_changes_the_controller_stays_close_to_knowing_the_future() {
    let fleet = fleet(&[50.0, 10.0, 40.0, 2.0, 60.0, 8.0]);
    let objective = Objective::weighted(0.6);
    let play = |policy: Policy| policy.play(&fleet, &objective, 300).unwrap();
    let best = play(Policy::Clairvoyant);
    let cuts: std::collections::BTreeSet<_> = best.rounds.iter().map(|round| round.cuts[0]).collect();
    assert!(cuts.len() > 1, "the trace asks for different cuts: {cuts:?}");
    let (adaptive, fixed) = (play(ares()).regret(&best), play(Policy::Static).regret(&best));
    assert!(adaptive.value < 0.05 && adaptive.value < fixed.value, "{adaptive:?} {fixed:?}");
    for policy in [Policy::Federated, Policy::Classic(None), Policy::Classic(Some(1)), Policy::Fixed(vec![1, 1])] {
        let regret = play(policy.clone()).regret(&best);
        assert!(regret.value > adaptive.value, "{}: {regret:?}", policy.name());
    }
    for pair in best.rounds.windows(2) {
        assert!((pair[0].start.0 + pair[0].point.time.0 - pair[1].start.0).abs() < 1e-9);
    }
}

#[test]
fn where_nothing_changes_all_that_choose_choose_the_same() {
    let fleet = fleet(&[20.0]);
    let objective = Objective::weighted(0.6);
    let play = |policy: Policy| policy.play(&fleet, &objective, 8).unwrap();
    let best = play(Policy::Clairvoyant);
    for policy in [ares(), Policy::Static, Policy::Fixed(best.rounds[0].cuts.clone())] {
        let regret = play(policy.clone()).regret(&best);
        assert!(regret.value.abs() < 1e-9 && regret.time.abs() < 1e-9, "{}: {regret:?}", policy.name());
    }
    let federated = play(Policy::Federated);
    assert!(federated.rounds.iter().all(|round| round.cuts == [2, 2]));
    let by_hand = federated.rounds.iter().map(|round| round.point.time.0).sum::<f64>();
    assert_eq!(federated.total().time.0, by_hand);
}

#[test]
fn names() {
    for (policy, name) in [
        (Policy::Fixed(vec![3, 3]), "split 3"),
        (Policy::Fixed(vec![3, 4]), "split 3,4"),
        (Policy::Classic(None), "classic"),
        (ares(), "ares"),
    ] {
        assert_eq!(policy.name(), name);
    }
}
