//! Damaged messages between ranks that answer requests: told by name, and nothing panics, hangs or grows.

use super::super::setup::Dice;
use super::case::{Case, World};
use super::run::{plain, run};
use goai::comm::simulated::{End, Fault, Garble, Plan};

/// Bytes of a header that say what a message is, and those that say what it is about.
const FRAME: std::ops::Range<usize> = 0..8;
const NOTE: std::ops::Range<usize> = 8..24;

/// One damaged message between two ranks; on links with rank 0 some forty are about the time.
fn damaged(case: &Case, dice: &mut Dice, how: Garble) -> (Plan, usize) {
    let from = dice.below(case.ranks);
    let to = (from + 1 + dice.below(case.ranks - 1)) % case.ranks;
    let most = if from == 0 || to == 0 { 60 } else { 12 };
    let fault = Fault::Garble { from, to, message: 1 + dice.below(most) as u64, how };
    (Plan { faults: vec![fault], limit: std::time::Duration::from_secs(20), ..case.plan() }, from)
}

#[test]
fn damaged_frames_are_errors_that_name_their_sender() {
    let world = World::new();
    let mut told = 0;
    for seed in 0..400 {
        let (case, mut dice) = (Case::draw(seed, &world), Dice::new(seed ^ 0x97));
        let how = match dice.below(3) {
            0 => Garble::Shorten(dice.below(32)),
            1 => Garble::Lengthen(1 + dice.below(64)),
            _ => Garble::Flip(FRAME.start + dice.below(FRAME.len()), 1 << dice.below(8)),
        };
        let (plan, from) = damaged(&case, &mut dice, how);
        let done = run(&case, &world, plan.clone(), &plain);
        let context = format!("seed {seed}, {:?}", plan.faults);
        assert!(done.stuck.is_none(), "{context}: {}", done.stuck.unwrap());
        for (rank, end) in done.ends.iter().enumerate() {
            match end {
                End::Returned(Ok(_)) => {}
                End::Returned(Err(words)) => {
                    let named = words.contains(&format!("from rank {from}:"));
                    told += usize::from(named);
                    assert!(named || words.contains("rank 0 is gone"), "{context}: rank {rank}: {words}");
                }
                end => panic!("{context}: rank {rank}: {end:?}"),
            }
        }
    }
    assert!(told > 100, "only {told} were told");
}

/// A frame that is whole, about a plan, a request or a tensor that does not exist: nothing panics, and the ranks end,
/// except where nobody can know that the frame is wrong.
#[test]
fn frames_about_nothing_harm_nobody() {
    let world = World::new();
    let mut hung = 0;
    for seed in 0..400 {
        let (case, mut dice) = (Case::draw(seed, &world), Dice::new(seed ^ 0x98));
        let how = Garble::Flip(NOTE.start + dice.below(NOTE.len()), 1 << dice.below(8));
        let (plan, _) = damaged(&case, &mut dice, how);
        let done = run(&case, &world, plan.clone(), &plain);
        let context = format!("seed {seed}, {:?}", plan.faults);
        if let Some(stuck) = done.stuck {
            println!("{context}: {stuck}");
            hung += 1;
            continue;
        }
        for (rank, end) in done.ends.iter().enumerate() {
            assert!(end.returned().is_some(), "{context}: rank {rank}: {end:?}");
        }
    }
    // A tensor of another request, or of a plan that may yet come, is one that nobody can know to be wrong.
    assert!(hung < 20, "{hung} of 400");
}
