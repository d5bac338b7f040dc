//! Damaged messages between a server and its devices: told by name, and nothing panics, hangs or grows.

use super::super::job::plain;
use super::super::setup::Dice;
use super::case::{Case, PROTOCOLS, world};
use super::run::run;
use goai::comm::simulated::{End, Fault, Garble, Plan};

/// Bytes of a header that say what a message is, and those that say what it is about.
const FRAME: std::ops::Range<usize> = 0..8;
const NOTE: std::ops::Range<usize> = 8..24;

/// One damaged message between the server and a device, some way into the training. Machines are not emulated: these
/// begin with a collective, whose messages say nothing about themselves.
fn damaged(case: &mut Case, dice: &mut Dice, how: Garble) -> (Plan, usize) {
    case.emulated = false;
    let device = 1 + dice.below(case.ranks - 1);
    let (from, to) = if dice.below(2) == 0 { (0, device) } else { (device, 0) };
    let message = 1 + dice.below(12) as u64;
    let fault = Fault::Garble { from, to, message, how };
    let plan = case.plan();
    (Plan { faults: vec![fault], limit: std::time::Duration::from_secs(20), ..plan }, from)
}

#[test]
fn damaged_frames_are_errors_that_name_their_sender() {
    let world = world();
    let mut told = 0;
    for seed in 0..300 {
        let (mut case, mut dice) = (Case::draw(seed, &PROTOCOLS), Dice::new(seed ^ 0x87));
        let how = match dice.below(3) {
            0 => Garble::Shorten(dice.below(60)),
            1 => Garble::Lengthen(1 + dice.below(64)),
            _ => Garble::Flip(FRAME.start + dice.below(FRAME.len()), 1 << dice.below(8)),
        };
        let (plan, from) = damaged(&mut case, &mut dice, how);
        let done = run(&case, &world, plan.clone(), None, &plain);
        let context = format!("seed {seed}, {:?}", plan.faults);
        assert!(done.outcome.stuck.is_none(), "{context}: {}", done.outcome.stuck.unwrap());
        for (rank, end) in done.outcome.ends.iter().enumerate() {
            match end {
                End::Returned(Ok(_)) => {}
                End::Returned(Err(words)) => {
                    let named = words.contains(&format!("from rank {from}:"));
                    told += usize::from(named);
                    let other =
                        ["is gone", "nobody is left to train", "is lost in epoch"].iter().any(|w| words.contains(w));
                    assert!(named || other, "{context}: rank {rank}: {words}");
                }
                end => panic!("{context}: rank {rank}: {end:?}"),
            }
        }
    }
    assert!(told > 100, "only {told} were told");
}

/// A frame that is whole, about a step, a cut, an order or a round that does not exist: nothing panics, and training ends,
/// except where nobody can know that the frame is wrong.
#[test]
fn frames_about_nothing_harm_nobody() {
    let world = world();
    let mut hung = 0;
    for seed in 0..400 {
        let (mut case, mut dice) = (Case::draw(seed, &PROTOCOLS), Dice::new(seed ^ 0x88));
        let how = Garble::Flip(NOTE.start + dice.below(NOTE.len()), 1 << dice.below(8));
        let (plan, _) = damaged(&mut case, &mut dice, how);
        let done = run(&case, &world, plan.clone(), None, &plain);
        let context = format!("seed {seed}, {}, {:?}", case.split.protocol.name(), plan.faults);
        if let Some(stuck) = done.outcome.stuck {
            println!("{context}: {stuck}");
            hung += 1;
            continue;
        }
        for (rank, end) in done.outcome.ends.iter().enumerate() {
            assert!(end.returned().is_some(), "{context}: rank {rank}: {end:?}");
        }
    }
    // A report that became a "leave" is one that nobody can know to be wrong; the watchdog's --stall-abort ends that.
    assert!(hung < 8, "{hung} of 400");
}
