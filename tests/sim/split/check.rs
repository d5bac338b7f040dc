//! What must hold after every simulated split training.

use super::super::check::{must, same, server};
use super::super::job::Run;
use super::super::setup::{ROWS, World};
use super::case::Case;
use super::oracle::replay;
use goai::comm::simulated::{End, Fault, Plan};
use goai::event::SplitRecord;
use goai::strategy::{Ending, Protocol};
use std::time::Duration;

/// The rounds since the beginning of training, and whether their weights follow from them.
pub struct History {
    pub rounds: Vec<Vec<SplitRecord>>,
    /// Nobody's memory was lost on the way.
    pub whole: bool,
    /// Nobody was missing from any of them.
    pub complete: bool,
}

fn crashes(plan: &Plan, who: usize) -> bool {
    plan.faults.iter().any(|fault| matches!(fault, Fault::Crash { rank, .. } if *rank == who))
}

fn leaves(plan: &Plan, who: usize) -> bool {
    plan.faults.iter().any(|fault| matches!(fault, Fault::Leave { rank, .. } if *rank == who))
}

/// Checks a run; `history` holds all rounds since the beginning, those of this run too.
pub fn check(case: &Case, world: &World, plan: &Plan, run: &Run, history: &History) -> Result<(), String> {
    if let Some(stuck) = &run.outcome.stuck {
        return Err(format!("it did not end: {stuck}"));
    }
    must!(run.outcome.left.is_empty(), "messages that nobody received: {:?}", run.outcome.left);
    ends(case, plan, run)?;
    who(case, plan, run)?;
    wishes(case, plan, run)?;
    weights(case, world, plan, run, history)
}

/// Who may end how.
fn ends(case: &Case, plan: &Plan, run: &Run) -> Result<(), String> {
    let serves = matches!(server(run), Some(Ok(_)));
    for (rank, end) in run.outcome.ends.iter().enumerate() {
        match end {
            End::Crashed => must!(crashes(plan, rank), "rank {rank} crashed without a plan"),
            End::Frozen | End::Stuck => return Err(format!("rank {rank}: {end:?}")),
            End::Panicked(words) => return Err(format!("rank {rank} panicked: {words}")),
            End::Returned(Ok(_)) => {}
            // Where time begins for all machines at once all are needed.
            End::Returned(Err(words))
                if case.emulated && run.book.rounds.is_empty() && words.contains("Collective") => {}
            End::Returned(Err(words)) if rank == 0 && words.contains("is lost in epoch") => {
                must!(case.split.protocol == Protocol::Sequential, "the server failed: {words}");
                let named =
                    (1..case.ranks).any(|who| crashes(plan, who) && words.contains(&format!("rank {who} is lost")));
                must!(named, "not the rank that died: {words}");
            }
            End::Returned(Err(words)) if rank == 0 => {
                let deserted = (1..case.ranks).all(|device| crashes(plan, device) || leaves(plan, device));
                must!(deserted && words.contains("nobody is left to train"), "the server failed: {words}");
            }
            End::Returned(Err(words)) => must!(!serves && words.contains("rank 0 is gone"), "rank {rank}: {words}"),
        }
    }
    Ok(())
}

/// Who is in which round: all until they are told to be lost or to leave.
fn who(case: &Case, plan: &Plan, run: &Run) -> Result<(), String> {
    let book = &run.book;
    let mut times: Vec<usize> = vec![usize::MAX; case.ranks];
    for (note, round) in book.notes.iter().zip(&book.noted_in) {
        let rank: usize = note.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or(note.clone())?;
        let lost = note.contains("is lost");
        let words = if lost { "is lost: its process ended; the round goes on" } else { "leaves after this round" };
        must!(note.starts_with(&format!("rank {rank} {words}")), "what is {note}?");
        must!(if lost { crashes(plan, rank) } else { leaves(plan, rank) }, "without a plan: {note}");
        // The round under way may end with it.
        times[rank] = times[rank].min(*round);
    }
    // One that goes on counts on from the rounds before.
    let first = book.rounds.first().map_or(1, |(number, _)| *number);
    for (at, (number, records)) in book.rounds.iter().enumerate() {
        must!(*number == first + at as u64, "round {number} is told behind {at} others from {first} on");
        must!(records.is_sorted_by_key(|record| record.rank), "round {number}: devices out of order");
        for (rank, time) in times.iter().enumerate().skip(1) {
            let there = records.iter().any(|record| record.rank == rank);
            must!(there || *time <= at, "round {number} was without rank {rank}, and nobody told why");
            must!(!there || *time >= at, "rank {rank} had gone before round {number}");
        }
    }
    Ok(())
}

/// Wishes are heard, and a stop leaves a state behind.
fn wishes(case: &Case, plan: &Plan, run: &Run) -> Result<(), String> {
    let (book, Some(Ok(end))) = (&run.book, server(run)) else { return Ok(()) };
    if end.ending == Ending::Stopped {
        let stops = |fault: &Fault| matches!(fault, Fault::Stop { .. } | Fault::Leave { rank: 0, .. });
        must!(plan.faults.iter().any(stops), "it stopped, and nobody wished so");
        let saved = book.saved.as_ref().map(|state| state.cursor);
        must!(book.failed > 0 || saved == Some(end.cursor), "it stopped at {:?} and saved {saved:?}", end.cursor);
    }
    let slack = plan.latency * 200 + Duration::from_millis(60);
    let held = |who: usize| {
        plan.faults.iter().any(|fault| match fault {
            // In virtual time nobody is heard out of turn.
            Fault::Freeze { rank, .. } | Fault::Crash { rank, .. } => *rank == who || *rank == 0 || case.emulated,
            Fault::SlowLink { .. } | Fault::Outage { .. } | Fault::Slow { .. } => true,
            _ => false,
        })
    };
    for (rank, (said, _)) in &book.said_stop {
        let late = book.applied_at.saturating_sub(*said) < slack;
        // In virtual time who has left is heard only where nobody owes anything.
        let away = case.emulated && leaves(plan, *rank);
        must!(
            end.ending == Ending::Stopped || late || held(*rank) || away,
            "rank {rank} wished to stop, and nobody heard"
        );
    }
    for (rank, said) in &book.said_leave {
        let heard = book.notes.iter().any(|note| note.starts_with(&format!("rank {rank} leaves")));
        let late = book.applied_at.saturating_sub(*said) < slack;
        must!(heard || late || held(*rank), "rank {rank} wished to leave, and nobody heard");
    }
    Ok(())
}

/// Whether the weights follow from the rounds that were told: whose slices and gradients went into them.
pub fn is_known(case: &Case, plan: &Plan) -> bool {
    let calm = !(1..case.ranks).any(|rank| crashes(plan, rank));
    match case.split.protocol {
        // What a dead device had added to the part that all share nobody tells.
        Protocol::SplitFedV1 | Protocol::SplitFedV2 => calm && !case.is_adaptive(),
        Protocol::Ares | Protocol::Federated => calm || case.split.shards.is_some(),
        Protocol::Sequential => calm,
    }
}

/// The weights are those of the rounds, on everybody who got them; every sample counts once.
fn weights(case: &Case, world: &World, plan: &Plan, run: &Run, history: &History) -> Result<(), String> {
    let results = run.outcome.ends.iter().enumerate();
    let ended: Vec<_> = results.filter_map(|(rank, end)| Some((rank, end.returned()?.as_ref().ok()?))).collect();
    let Some((_, first)) = ended.first() else { return Ok(()) };
    for (rank, end) in &ended {
        must!(same(&end.theta, &first.theta), "rank {rank} has other weights than rank 0");
        must!((end.ending, end.cursor) == (first.ending, first.cursor), "rank {rank} ended otherwise than the others");
    }
    let told = |round: &[SplitRecord]| round.iter().map(|record| record.samples).collect::<Vec<u64>>();
    let counted: u64 = history.rounds.iter().flat_map(|round| told(round)).sum();
    must!(first.cursor.samples == counted, "{} samples at the end, {counted} in the rounds", first.cursor.samples);
    let all_there =
        (1..case.ranks).all(|rank| !crashes(plan, rank) && (case.split.shards.is_none() || !leaves(plan, rank)));
    if first.ending == Ending::Finished && all_there && history.complete {
        must!(counted == ROWS as u64 * case.hyper.epochs, "{counted} samples in {} epochs", case.hyper.epochs);
        must!(run.book.epochs.iter().all(|epoch| epoch.epoch <= case.hyper.epochs), "too many epochs");
    }
    if history.whole && is_known(case, plan) {
        let (expected, samples) = replay(case, world, &history.rounds);
        for (number, (round, samples)) in history.rounds.iter().zip(&samples).enumerate() {
            must!(told(round) == *samples, "round {number}: samples {:?} instead of {samples:?}", told(round));
        }
        must!(same(&first.theta, &expected), "other weights than the rounds make");
    }
    Ok(())
}
