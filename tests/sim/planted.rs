//! Planted bugs: what the simulator must find.

use super::grid::{plan, tell};
use super::job::plain;
use super::mutant::{Bug, Mutant, MutantJob};
use super::oracle::{Arrange, by_chunk};
use super::setup::{Case, World};
use goai::comm::simulated::{Fault, Moment, Plan};
use goai::event::Applied;
use goai::plan::quorum::Rule;
use std::sync::Mutex;
use std::time::Duration;

/// A bug, the rules and the cases in which it could do harm, and the fault that it needs.
struct Planted {
    name: &'static str,
    bug: Bug,
    rules: &'static [Rule],
    fits: fn(&Case) -> bool,
    fault: fn(&Case, Duration) -> Vec<Fault>,
}

const WITHIN: u64 = 2000;

fn any(_: &Case) -> bool {
    true
}

fn nothing(_: &Case, _: Duration) -> Vec<Fault> {
    Vec::new()
}

/// A stop in the middle, so that a checkpoint is gone on from.
fn stop(_: &Case, span: Duration) -> Vec<Fault> {
    vec![Fault::Stop { rank: 0, at: span / 2 }]
}

fn leave(_: &Case, span: Duration) -> Vec<Fault> {
    vec![Fault::Leave { rank: 1, at: span / 3 }]
}

fn crash(_: &Case, _: Duration) -> Vec<Fault> {
    vec![Fault::Crash { rank: 1, call: 15, moment: Moment::Before }]
}

fn freeze(_: &Case, span: Duration) -> Vec<Fault> {
    vec![Fault::Freeze { rank: 1, from: span / 4, until: span / 2 }]
}

fn slow(_: &Case, _: Duration) -> Vec<Fault> {
    vec![Fault::Slow { rank: 1, factor: 10 }]
}

const SYNCHRONOUS: &[Rule] = &[Rule::KSync, Rule::KBatch];

const PLANTED: &[Planted] = &[
    Planted {
        name: "the ledger is not looked at: a chunk is applied twice",
        bug: Bug::ForgottenLedger,
        rules: Rule::ALL,
        fits: any,
        fault: stop,
    },
    Planted {
        name: "one result more than K",
        bug: Bug::None,
        rules: &[Rule::Shards],
        fits: Case::sends_deltas,
        fault: nothing,
    },
    Planted {
        name: "a stale result is taken for a fresh one",
        bug: Bug::StaleAsFresh,
        rules: SYNCHRONOUS,
        fits: any,
        fault: slow,
    },
    Planted { name: "a wish to leave is dropped", bug: Bug::LeaveDropped, rules: Rule::ALL, fits: any, fault: leave },
    Planted {
        name: "a lost worker's chunk is not given to anybody else",
        bug: Bug::LostUnnoticed,
        rules: Rule::ALL,
        fits: |case| case.ranks > 2,
        fault: crash,
    },
    Planted {
        name: "results are added in the order of their arrival",
        bug: Bug::ArrivalOrder,
        rules: &[Rule::KBatch, Rule::KBatchAsync],
        fits: |case| case.grid.k > 2,
        fault: nothing,
    },
    Planted { name: "a report is received as a task", bug: Bug::AnyTag, rules: Rule::ALL, fits: any, fault: nothing },
    Planted {
        name: "a superseded task's result is accepted",
        bug: Bug::Superseded,
        rules: Rule::ALL,
        fits: any,
        fault: slow,
    },
    Planted {
        name: "a worker that is back gets no new weights",
        bug: Bug::StaleRejoin,
        rules: Rule::ALL,
        fits: any,
        fault: freeze,
    },
    Planted {
        name: "survivors do not get the final weights",
        bug: Bug::OldFinalWeights,
        rules: Rule::ALL,
        fits: any,
        fault: crash,
    },
    Planted { name: "a duplicate counts twice", bug: Bug::DuplicateTwice, rules: SYNCHRONOUS, fits: any, fault: slow },
    Planted {
        name: "a checkpoint is saved before its step is applied",
        bug: Bug::EarlyCheckpoint,
        rules: Rule::ALL,
        fits: any,
        fault: stop,
    },
];

/// The world of a seed for a bug: only the fault that it needs, and a quick heartbeat.
fn world_of(planted: &Planted, case: &Case) -> Plan {
    let plan = plan(case);
    let span = case.measure(&plan).1;
    Plan { faults: (planted.fault)(case, span), heartbeat: span / 16, ..plan }
}

/// Whether a seed finds the bug, and by what words.
fn finds(planted: &Planted, case: &Case, world: &World) -> Option<String> {
    let (plan, arrivals) = (world_of(planted, case), Mutex::new(Vec::new()));
    let running = match planted.bug {
        Bug::None => {
            let mut more = case.clone();
            more.grid.k += 1;
            more.grid.check(super::setup::ROWS, &more.hyper, more.ranks - 1).ok()?;
            more
        }
        _ => case.clone(),
    };
    let as_they_came = |applied: &Applied| {
        let (arrivals, mut contributions) = (arrivals.lock().unwrap(), applied.contributions.clone());
        contributions.sort_by_key(|(chunk, rank, staleness)| {
            let version = applied.step - 1 - u64::from(*staleness);
            arrivals.iter().position(|arrival| *arrival == (*rank, *chunk, version))
        });
        contributions
    };
    let arrange: Arrange = if planted.bug == Bug::ArrivalOrder { &as_they_came } else { &by_chunk };
    let result = tell(
        &running,
        case,
        world,
        &plan,
        &|comm, outside, train| {
            let mut job = MutantJob { outside, bug: planted.bug, before: None };
            train(&Mutant::new(comm, planted.bug, &arrivals), &mut job)
        },
        arrange,
    );
    result.err()
}

#[test]
fn every_planted_bug_is_found() {
    let world = World::new();
    let mut missed = Vec::new();
    for planted in PLANTED {
        let cases = (0..WITHIN).map(|seed| Case::draw(seed, planted.rules)).filter(|case| (planted.fits)(case));
        let found = cases.filter_map(|case| Some((finds(planted, &case, &world)?, case))).next();
        let Some((words, case)) = found else {
            missed.push(planted.name);
            continue;
        };
        println!("{}: found by seed {} ({}): {words}", planted.name, case.seed, case.grid.rule.name());
        // It is the bug that was found: without it the same world is in order.
        let plan = world_of(planted, &case);
        tell(&case, &case, &world, &plan, &plain, &by_chunk).unwrap();
    }
    assert!(missed.is_empty(), "not found within {WITHIN} seeds: {missed:#?}");
}
