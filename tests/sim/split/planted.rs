//! Planted bugs: what the simulator must find.

use super::case::{Case, PROTOCOLS, world};
use super::mutant::{Bug, Mutant, MutantJob};
use super::{Counts, World, plain, tell};
use goai::comm::simulated::{Fault, Moment, Plan};
use goai::optim::Rule as Optim;
use goai::strategy::Protocol;

const WITHIN: u64 = 200;

/// A bug, the cases in which it could do harm, and the fault that it needs.
struct Planted {
    bug: Bug,
    fits: fn(&Case) -> bool,
    fault: fn(&Plan) -> Vec<Fault>,
}

fn any(_: &Case) -> bool {
    true
}

fn several_rounds(case: &Case) -> bool {
    case.hyper.epochs > 1
}

fn nothing(_: &Plan) -> Vec<Fault> {
    Vec::new()
}

fn stop(plan: &Plan) -> Vec<Fault> {
    vec![Fault::Stop { rank: 1, at: plan.work * 8 }]
}

fn stop_server(plan: &Plan) -> Vec<Fault> {
    vec![Fault::Stop { rank: 0, at: plan.work * 30 }]
}

fn crash(_: &Plan) -> Vec<Fault> {
    vec![Fault::Crash { rank: 1, call: 25, moment: Moment::Before }]
}

const PLANTED: &[Planted] = &[
    Planted { bug: Bug::LostGradient, fits: any, fault: nothing },
    Planted { bug: Bug::BatchTwice, fits: any, fault: nothing },
    Planted { bug: Bug::ShiftedLabels, fits: any, fault: nothing },
    Planted { bug: Bug::WrongShare, fits: any, fault: nothing },
    Planted { bug: Bug::StaleReport, fits: several_rounds, fault: nothing },
    Planted { bug: Bug::StaleRound, fits: several_rounds, fault: nothing },
    Planted { bug: Bug::OldFinalWeights, fits: any, fault: nothing },
    Planted { bug: Bug::StopDropped, fits: |case| case.hyper.epochs > 2, fault: stop },
    Planted { bug: Bug::LostUnnoticed, fits: |case| case.ranks > 2, fault: crash },
    Planted { bug: Bug::ForgottenMomentum, fits: |case| case.hyper.rule != Optim::Sgd, fault: stop_server },
    Planted { bug: Bug::LateCursor, fits: several_rounds, fault: stop_server },
];

/// What is told of a case with a bug in it.
fn told(bug: Bug, case: &Case, world: &World, plan: &Plan) -> Result<Counts, String> {
    tell(case, world, plan, &|comm, outside, train| train(&Mutant::on(comm, bug), &mut MutantJob { outside, bug }))
}

#[test]
fn every_planted_bug_is_found() {
    let world = world();
    let mut missed = Vec::new();
    for planted in PLANTED {
        let plan = |case: &Case| {
            let plan = Plan { limit: std::time::Duration::from_secs(20), ..case.plan() };
            Plan { faults: (planted.fault)(&plan), ..plan }
        };
        let finds = |case: &Case| told(planted.bug, case, &world, &plan(case)).err();
        let cases = (0..WITHIN).map(|seed| Case::draw(seed, &PROTOCOLS)).filter(|case| (planted.fits)(case));
        let Some((words, case)) = cases.filter_map(|case| Some((finds(&case)?, case))).next() else {
            missed.push(planted.bug);
            continue;
        };
        println!("{:?}: found by seed {} ({}): {words}", planted.bug, case.seed, case.split.protocol.name());
        // It is the bug that was found: without it the same world is in order.
        tell(&case, &world, &plan(&case), &plain).unwrap();
    }
    assert!(missed.is_empty(), "not found within {WITHIN} seeds: {missed:#?}");
}

/// Whichever protocol: a lost gradient shows in all that send any.
#[test]
fn a_lost_gradient_shows_in_every_protocol() {
    let world = world();
    for protocol in PROTOCOLS.into_iter().filter(|protocol| *protocol != Protocol::Federated) {
        let found = (0..40).map(|seed| Case::draw(seed, &[protocol])).any(|case| {
            let plan = Plan { faults: Vec::new(), ..case.plan() };
            told(Bug::LostGradient, &case, &world, &plan).is_err()
        });
        assert!(found, "{}", protocol.name());
    }
}
