//! Ranks that are lost, one sort each, whatever the schedule: what the seeds hit only now and then.

use super::case::{Case, World};
use super::run::{plain, run, tell};
use goai::comm::simulated::{End, Fault, Moment, Plan};
use std::time::Duration;

/// Cases with a rank that only works, and which one it is.
fn with_a_worker(world: &World) -> impl Iterator<Item = (Case, usize)> {
    (0..400).filter_map(|seed| {
        let case = Case::draw(seed, world);
        let worker = (1..case.ranks).find(|rank| !case.sources.contains(rank))?;
        Some((case, worker))
    })
}

/// At some call, from the first to those behind the last answer.
fn crash(case: &Case, rank: usize) -> Plan {
    let call = 1 + case.seed % 300;
    let moment = [Moment::Before, Moment::In, Moment::After][case.seed as usize % 3];
    Plan { faults: vec![Fault::Crash { rank, call, moment }], ..case.plan() }
}

#[test]
fn whoever_only_works_is_done_without() {
    let world = World::new();
    let (mut lost, mut replanned) = (0, 0);
    for (case, worker) in with_a_worker(&world) {
        let plan = crash(&case, worker);
        let counts = tell(&case, &world, &plan, &plain).unwrap_or_else(|words| panic!("seed {}: {words}", case.seed));
        assert_eq!(counts.answered, case.requests.len(), "seed {}: {:?}", case.seed, plan.faults);
        lost += counts.lost;
        replanned += counts.replanned;
    }
    assert!(lost > 50 && replanned > 100, "{lost} lost, {replanned} planned anew");
}

#[test]
fn without_a_source_the_others_have_their_answers() {
    let world = World::new();
    let mut lost = 0;
    let two = (0..400).map(|seed| Case::draw(seed, &world)).filter(|case| case.sources.len() == 2);
    for case in two {
        let Some(&source) = case.sources.iter().find(|source| **source > 0) else { continue };
        let plan = crash(&case, source);
        let counts = tell(&case, &world, &plan, &plain).unwrap_or_else(|words| panic!("seed {}: {words}", case.seed));
        let others = case.requests.iter().filter(|request| request.source != source).count();
        assert!(counts.answered >= others, "seed {}", case.seed);
        lost += usize::from(counts.answered < case.requests.len());
    }
    assert!(lost > 20, "{lost}");
}

#[test]
fn without_rank_0_all_end_with_an_error() {
    let world = World::new();
    let mut told = 0;
    for case in (0..200).map(|seed| Case::draw(seed, &world)) {
        let plan = crash(&case, 0);
        let done = run(&case, &world, plan.clone(), &plain);
        assert!(done.stuck.is_none(), "seed {}: {}", case.seed, done.stuck.unwrap());
        if done.ends[0] != End::Crashed {
            continue;
        }
        for end in &done.ends[1..] {
            match end {
                End::Returned(Err(words)) => {
                    assert!(words.contains("rank 0 is gone"), "seed {}: {words}", case.seed);
                    told += 1;
                }
                // It had handed in its record.
                End::Returned(Ok(None)) => {}
                end => panic!("seed {}: {end:?}", case.seed),
            }
        }
    }
    assert!(told > 100, "{told}");
}

/// Whoever is not heard of for too long is given up, and sent home when it comes back; a short pause is waited for.
#[test]
fn who_stands_still_is_given_up_and_sent_home() {
    let world = World::new();
    let ms = Duration::from_millis(1);
    let (mut lost, mut waited) = (0, 0);
    for (case, worker) in with_a_worker(&world) {
        let from = ms * (case.seed % 7) as u32;
        let until = [from + 2 * ms, from + 300 * ms, Duration::MAX][case.seed as usize % 3];
        let plan = Plan {
            faults: vec![Fault::Freeze { rank: worker, from, until }],
            work: ms,
            heartbeat: 20 * ms,
            ..case.plan()
        };
        let counts = tell(&case, &world, &plan, &plain).unwrap_or_else(|words| panic!("seed {}: {words}", case.seed));
        assert_eq!(counts.answered, case.requests.len(), "seed {}", case.seed);
        assert!(counts.lost == 0 || until - from > 20 * ms, "seed {}: given up too soon", case.seed);
        lost += counts.lost;
        waited += usize::from(counts.lost == 0);
    }
    assert!(lost > 40 && waited > 40, "{lost} given up, {waited} waited for");
}

/// Rank 0 stands still for longer than it should: the others wait, and nobody is lost.
#[test]
fn all_wait_for_rank_0() {
    let world = World::new();
    let ms = Duration::from_millis(1);
    for case in (0..60).map(|seed| Case::draw(seed, &world)) {
        let from = ms * (case.seed % 7) as u32;
        let faults = vec![Fault::Freeze { rank: 0, from, until: from + 300 * ms }];
        let plan = Plan { faults, work: ms, heartbeat: 20 * ms, ..case.plan() };
        let counts = tell(&case, &world, &plan, &plain).unwrap_or_else(|words| panic!("seed {}: {words}", case.seed));
        assert_eq!((counts.answered, counts.lost), (case.requests.len(), 0), "seed {}", case.seed);
    }
}
