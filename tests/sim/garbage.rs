//! What comes from a broken wire or a broken peer: it is told by name, and nothing panics, hangs or grows.

use super::grid::plan;
use super::job::{plain, run};
use super::mutant::{Arrivals, Bug, Mutant, MutantJob};
use super::setup::{Case, Dice, World};
use goai::comm::simulated::{End, Fault, Garble, Plan};
use goai::plan::quorum::Rule;

/// Bytes of a header that say what a message is, and those that say what it is about.
const FRAME: std::ops::Range<usize> = 0..8;
const NOTE: std::ops::Range<usize> = 8..24;

/// One damaged message between the server and a worker, some way into the training.
fn damaged(case: &Case, dice: &mut Dice, how: Garble) -> (Plan, usize) {
    let worker = 1 + dice.below(case.ranks - 1);
    let (from, to) = if dice.below(2) == 0 { (0, worker) } else { (worker, 0) };
    // Among the first few of a link are those of the collective at the beginning.
    let fault = Fault::Garble { from, to, message: 1 + dice.below(9) as u64, how };
    (Plan { faults: vec![fault], ..plan(case) }, from)
}

#[test]
fn damaged_frames_are_errors_that_name_their_sender() {
    let world = World::new();
    let mut told = 0;
    for seed in 0..300 {
        let (case, mut dice) = (Case::draw(seed, Rule::ALL), Dice::new(seed ^ 0x77));
        let how = match dice.below(3) {
            0 => Garble::Shorten(dice.below(60)),
            1 => Garble::Lengthen(1 + dice.below(64)),
            _ => Garble::Flip(FRAME.start + dice.below(FRAME.len()), 1 << dice.below(8)),
        };
        let (plan, from) = damaged(&case, &mut dice, how);
        let done = run(&case, &world, plan.clone(), None, &plain);
        let context = format!("seed {seed}, {:?}", plan.faults);
        assert!(done.outcome.stuck.is_none(), "{context}: {}", done.outcome.stuck.unwrap());
        for (rank, end) in done.outcome.ends.iter().enumerate() {
            match end {
                End::Returned(Ok(_)) => {}
                End::Returned(Err(words)) => {
                    let named = words.contains(&format!("from rank {from}:"));
                    told += usize::from(named);
                    let other = words.contains("is gone") || words.contains("nobody is left to train");
                    assert!(named || other, "{context}: rank {rank}: {words}");
                }
                end => panic!("{context}: rank {rank}: {end:?}"),
            }
        }
    }
    assert!(told > 100, "only {told} were told");
}

/// A frame that is whole, about a step, a chunk, an order or an epoch that does not exist: nothing panics, and training
/// ends, except where nobody can know that the frame is wrong.
#[test]
fn frames_about_nothing_harm_nobody() {
    let world = World::new();
    let mut hung = 0;
    for seed in 0..400 {
        let (case, mut dice) = (Case::draw(seed, Rule::ALL), Dice::new(seed ^ 0x78));
        let how = Garble::Flip(NOTE.start + dice.below(NOTE.len()), 1 << dice.below(8));
        let (plan, _) = damaged(&case, &mut dice, how);
        let done = run(&case, &world, plan.clone(), None, &plain);
        let context = format!("seed {seed}, {}, {:?}", case.grid.rule.name(), plan.faults);
        if let Some(stuck) = done.outcome.stuck {
            println!("{context}: {stuck}");
            hung += 1;
            continue;
        }
        for (rank, end) in done.outcome.ends.iter().enumerate() {
            assert!(end.returned().is_some(), "{context}: rank {rank}: {end:?}");
        }
    }
    // A task that became a "wait" is one that nobody can know to be wrong; the watchdog's --stall-abort ends that.
    assert!(hung < 8, "{hung} of 400");
}

/// A worker whose gradients are no numbers: all ranks end with the same words, and nobody gets such weights.
#[test]
fn what_is_no_number_ends_training_everywhere() {
    let world = World::new();
    for seed in 0..100 {
        let case = Case::draw(seed, Rule::ALL);
        let plan = Plan { faults: Vec::new(), ..plan(&case) };
        let arrivals = Arrivals::default();
        let done = run(&case, &world, plan, None, &|comm, outside, train| {
            let mut job = MutantJob { outside, bug: Bug::NotANumber, before: None };
            train(&Mutant::new(comm, Bug::NotANumber, &arrivals), &mut job)
        });
        for (rank, end) in done.outcome.ends.iter().enumerate() {
            let words = end.returned().map(|result| result.as_ref().unwrap_err());
            let diverged = words.is_some_and(|words| words.contains("diverged") && words.contains("not finite"));
            assert!(diverged, "seed {seed}: rank {rank}: {end:?}");
        }
        assert!(done.outcome.left.is_empty(), "seed {seed}: {:?}", done.outcome.left);
    }
}

/// Deadlines and seconds come from clocks that only go forward: what the strategies, the messages and the plans are
/// made of never asks what time of day it is, so a clock that is set cannot reach them.
#[test]
fn nobody_asks_what_time_of_day_it_is() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders: Vec<_> = ["strategy", "comm", "plan", "device", "nn", "optim"].map(|name| root.join(name)).into();
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                read += 1;
                let text = std::fs::read_to_string(&path).unwrap();
                assert!(!text.contains("SystemTime"), "{} uses the time of day", path.display());
            }
        }
    }
    assert!(read > 100);
}
