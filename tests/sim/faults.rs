//! Workers that are slow, stand still, come back, or are out of reach: one case each, with its figures.

use super::check::{check, server};
use super::job::{Run, plain, run};
use super::oracle::by_chunk;
use super::setup::{Case, World};
use goai::comm::simulated::{End, Fault, Plan};
use goai::plan::quorum::Rule;
use goai::strategy::Ending;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// K-batch with K = 3 of 5 workers, 3 epochs of 5 steps, without saving.
fn case() -> Case {
    let mut case = Case::draw(0, &[Rule::KBatch]);
    (case.ranks, case.save_every, case.long_validation) = (6, None, false);
    (case.grid.k, case.grid.straggler_factor) = (3, None);
    (case.hyper.global_batch, case.hyper.micro_chunk, case.hyper.epochs) = (12, None, 3);
    case
}

/// Trains and checks. Work takes a millisecond, silence shows after five.
fn train(case: &Case, faults: Vec<Fault>) -> Run {
    let world = World::new();
    let plan = Plan { faults, work: MS, latency: MS / 20, heartbeat: 5 * MS, ..Plan::new(4) };
    let run = run(case, &world, plan.clone(), None, &plain);
    check(case, &world, &plan, &run, &run.book.applied, 0, &by_chunk).unwrap();
    assert!(matches!(server(&run), Some(Ok(end)) if end.ending == Ending::Finished));
    run
}

fn notes(run: &Run, words: &str) -> usize {
    run.book.notes.iter().filter(|note| note.starts_with(words)).count()
}

/// Fault 42. K-batch keeps four fifths of its pace; a rule that waits for all does not.
#[test]
fn a_straggler_slows_only_those_who_wait_for_it() {
    let slow = vec![Fault::Slow { rank: 2, factor: 10 }];
    let mut waits = case();
    (waits.grid.rule, waits.grid.k, waits.hyper.global_batch) = (Rule::KSync, 5, 10);
    let pace = |case: &Case| {
        let [usual, slowed] = [vec![], slow.clone()].map(|faults| train(case, faults).book.applied_at.as_secs_f64());
        usual / slowed
    };
    assert!(pace(&case()) > 0.8, "{}", pace(&case()));
    // A copy of the slow worker's chunk is computed by those who are through with theirs: no worse than half.
    println!("k-batch keeps {:.2}, k-sync of all {:.2} of its pace", pace(&case()), pace(&waits));
    assert!(pace(&waits) < 0.7, "{}", pace(&waits));
}

/// Fault 43. It is silent after the heartbeat, its chunk is computed by others, and at the end nobody waits for it.
#[test]
fn who_stands_still_for_ever_is_done_without() {
    let run = train(&case(), vec![Fault::Freeze { rank: 2, from: 3 * MS, until: Duration::MAX }]);
    assert_eq!((notes(&run, "rank 2 is silent"), notes(&run, "rank 2 is back")), (1, 0));
    assert!(run.book.applied.iter().skip(4).flat_map(|step| &step.contributions).all(|(_, rank, _)| *rank != 2));
    // The launcher would wait for it, so it is killed.
    assert_eq!(run.outcome.ends[2], End::Crashed);
}

/// Fault 44. What it computed before is dropped and counted, and it works again.
#[test]
fn who_comes_back_from_the_dead_works_again() {
    let mut case = case();
    case.hyper.epochs = 12;
    let run = train(&case, vec![Fault::Freeze { rank: 2, from: 3 * MS + MS / 2, until: 70 * MS }]);
    assert_eq!((notes(&run, "rank 2 is silent"), notes(&run, "rank 2 is back")), (1, 1));
    let last = run.book.applied.last().unwrap().epoch;
    let of_the_last = run.book.applied.iter().filter(|step| step.epoch == last);
    assert!(of_the_last.flat_map(|step| &step.contributions).any(|(_, rank, _)| *rank == 2));
    let grid = run.book.epochs.iter().filter_map(|epoch| epoch.ranks[2].grid.as_ref());
    let wasted: u64 = grid.map(|grid| grid.stale + grid.duplicate + grid.cancelled).sum();
    assert!(wasted > 0, "what it had when it fell silent was called off");
}

/// Fault 45. A link that is cut, and one of 10 kB/s, cost no more than their worker.
#[test]
fn a_link_that_is_cut_or_slow_costs_its_worker_at_most() {
    let usual = train(&case(), vec![]).book.applied_at;
    for (from, to) in [(0, 2), (2, 0)] {
        let out = Fault::Outage { from, to, at: 2 * MS, until: 60 * MS };
        let slow = Fault::SlowLink { from, to, bytes_per_s: 10_000 };
        for fault in [out, slow] {
            let run = train(&case(), vec![fault.clone()]);
            assert!(run.book.applied_at < usual * 5 / 4, "{fault:?}: {:?} and {usual:?}", run.book.applied_at);
        }
    }
}
