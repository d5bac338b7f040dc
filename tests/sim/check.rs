//! What must hold after every simulated training.

use super::job::{Ended, Run};
use super::oracle::{Arrange, replay};
use super::setup::{Case, World};
use goai::comm::Solo;
use goai::comm::simulated::{End, Fault, Plan};
use goai::device::RealClock;
use goai::event::{Applied, Event};
use goai::plan::quorum::Rule;
use goai::strategy::{Ending, Job, JobError, State, Strategy, Turn, fit};
use std::collections::BTreeSet;
use std::time::Duration;

/// Fails with these words unless this holds.
macro_rules! must {
    ($holds:expr, $($words:tt)+) => {
        if !$holds {
            return Err(format!($($words)+));
        }
    };
}
pub(crate) use must;

/// How the server of a run ended, if it did.
pub fn server(run: &Run) -> Option<&Result<Ended, String>> {
    run.outcome.ends[0].returned()
}

/// Checks a run; `applied` is all that was applied since the beginning of training, `before` of it in an earlier run.
pub fn check(
    case: &Case,
    world: &World,
    plan: &Plan,
    run: &Run,
    applied: &[Applied],
    before: usize,
    arrange: Arrange,
) -> Result<(), String> {
    if let Some(stuck) = &run.outcome.stuck {
        let beginning = run.book.applied.is_empty() && stuck.to_string().contains("Collective");
        let for_ever = |fault: &Fault| matches!(fault, Fault::Freeze { until: Duration::MAX, .. });
        if beginning && plan.faults.iter().any(for_ever) {
            return Ok(()); // before the first task all ranks are needed
        }
        return Err(format!("it did not end: {stuck}"));
    }
    must!(run.outcome.left.is_empty(), "messages that nobody received: {:?}", run.outcome.left);
    ends(case, plan, run)?;
    ledger(case, applied, server(run))?;
    for (index, step) in applied.iter().enumerate().skip(before) {
        quorum(case, plan, step, &applied[..index])?;
    }
    wishes(plan, run)?;
    weights(case, world, run, applied, arrange)
}

/// Who may end how.
fn ends(case: &Case, plan: &Plan, run: &Run) -> Result<(), String> {
    let crash = |who: usize| plan.faults.iter().any(|f| matches!(f, Fault::Crash { rank, .. } if *rank == who));
    let freeze = |who: usize| plan.faults.iter().any(|f| matches!(f, Fault::Freeze { rank, .. } if *rank == who));
    let frozen = |who: usize| {
        plan.faults.iter().any(|f| matches!(f, Fault::Freeze { rank, until: Duration::MAX, .. } if *rank == who))
    };
    let leave = |who: usize| plan.faults.iter().any(|f| matches!(f, Fault::Leave { rank, .. } if *rank == who));
    let serves = matches!(server(run), Some(Ok(_)));
    for (rank, end) in run.outcome.ends.iter().enumerate() {
        match end {
            End::Crashed => must!(crash(rank) || freeze(rank), "rank {rank} crashed without a plan"),
            End::Frozen => must!(frozen(rank), "rank {rank} froze without a plan"),
            End::Stuck => return Err(format!("rank {rank} is stuck")),
            End::Panicked(words) => return Err(format!("rank {rank} panicked: {words}")),
            End::Returned(Ok(_)) => {}
            End::Returned(Err(words)) if rank == 0 => {
                if run.book.applied.is_empty() && words.contains("waiting for Collective") {
                    continue; // before the first task all ranks are needed
                }
                let deserted = (1..case.ranks).all(|worker| crash(worker) || leave(worker) || frozen(worker));
                must!(deserted && words.contains("nobody is left to train"), "the server failed: {words}");
            }
            End::Returned(Err(words)) => must!(!serves && words.contains("rank 0 is gone"), "rank {rank}: {words}"),
        }
    }
    Ok(())
}

/// Each chunk of an epoch is applied once, and all are where training is finished.
fn ledger(case: &Case, applied: &[Applied], server: Option<&Result<Ended, String>>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for (index, step) in applied.iter().enumerate() {
        must!(step.step == index as u64 + 1, "step {} is logged as number {}", step.step, index + 1);
        for (chunk, ..) in &step.contributions {
            must!(*chunk < case.chunks(), "there is no chunk {chunk}");
            must!(seen.insert((step.epoch, *chunk)), "chunk {chunk} of epoch {} is applied twice", step.epoch);
        }
    }
    let whole = case.chunks() * case.hyper.epochs as usize;
    match server {
        Some(Ok(end)) if end.ending == Ending::Finished => {
            must!(seen.len() == whole, "{} of {whole} chunks are applied", seen.len());
        }
        _ => {}
    }
    Ok(())
}

/// A step holds what its rule says.
fn quorum(case: &Case, plan: &Plan, step: &Applied, before: &[Applied]) -> Result<(), String> {
    let (rule, k, workers) = (case.grid.rule, case.grid.k, case.ranks - 1);
    let this_epoch = before.iter().filter(|other| other.epoch == step.epoch);
    let done: BTreeSet<usize> = this_epoch.flat_map(|other| other.contributions.iter().map(|c| c.0)).collect();
    let free: Vec<usize> = (0..case.chunks()).filter(|chunk| !done.contains(chunk)).collect();
    let (count, due) = (step.contributions.len(), k.min(free.len()));
    let ranks: BTreeSet<usize> = step.contributions.iter().map(|c| c.1).collect();
    must!(ranks.iter().all(|rank| (1..case.ranks).contains(rank)), "step {}: {ranks:?} contributed", step.step);
    let fixed = case.hyper.micro_chunk.is_some();
    if rule.synchronous() {
        must!(step.contributions.iter().all(|c| c.2 == 0), "step {}: something stale counts", step.step);
    }
    if fixed || rule == Rule::Shards {
        let chunks: Vec<usize> = step.contributions.iter().map(|c| c.0).collect();
        must!(chunks == free[..due], "step {}: chunks {chunks:?} instead of {:?}", step.step, &free[..due]);
    } else if rule.one_each() {
        let hit = |fault: &Fault| match fault {
            Fault::Crash { rank, .. } | Fault::Freeze { rank, .. } | Fault::Leave { rank, .. } => Some(*rank),
            _ => None,
        };
        let hit: BTreeSet<usize> = plan.faults.iter().filter_map(hit).filter(|rank| *rank > 0).collect();
        let least = due.min(workers - hit.len()).max(1);
        must!(ranks.len() == count || !rule.synchronous(), "step {}: a worker contributes twice", step.step);
        must!((least..=due).contains(&count) || !rule.synchronous(), "step {}: {count} of {due}", step.step);
        must!(count >= least, "step {}: {count} of {due}", step.step);
    } else if rule.synchronous() {
        must!(count == due, "step {}: {count} contributions instead of {due}", step.step);
    } else {
        must!(count >= due, "step {}: {count} contributions instead of {due}", step.step);
    }
    Ok(())
}

/// Wishes are heard, and a stop leaves a state behind.
fn wishes(plan: &Plan, run: &Run) -> Result<(), String> {
    let stops = |fault: &Fault| matches!(fault, Fault::Stop { .. } | Fault::Leave { rank: 0, .. });
    let book = &run.book;
    if let Some(Ok(end)) = server(run) {
        if end.ending == Ending::Stopped {
            must!(plan.faults.iter().any(stops), "it stopped, and nobody wished so");
            let saved = book.saved.as_ref().map(|state| state.cursor);
            must!(book.failed > 0 || saved == Some(end.cursor), "it stopped at {:?} and saved {saved:?}", end.cursor);
        }
        let slack = plan.latency * 200 + Duration::from_millis(300);
        let held = |who: usize| {
            plan.faults.iter().any(|fault| match fault {
                Fault::Freeze { rank, .. } | Fault::Crash { rank, .. } => *rank == who || *rank == 0,
                Fault::SlowLink { .. } | Fault::Outage { .. } | Fault::Slow { .. } => true,
                _ => false,
            })
        };
        for (rank, said) in &book.said_leave {
            let heard = book.notes.iter().any(|note| *note == format!("rank {rank} leaves; the others go on"));
            let late = book.applied_at.saturating_sub(*said) < slack;
            must!(heard || late || held(*rank), "rank {rank} wished to leave, and nobody heard");
        }
        for (rank, (said, steps)) in &book.said_stop {
            let (more, late) = (book.applied.len() - steps, book.applied_at.saturating_sub(*said) < slack);
            must!(*rank > 0 || more <= 1, "the server wished to stop, and {more} steps came after that");
            let heard = end.ending == Ending::Stopped;
            must!(heard || late || held(*rank), "rank {rank} wished to stop, and nobody heard");
        }
    }
    Ok(())
}

/// The weights are those of the log, on everybody who got them.
fn weights(case: &Case, world: &World, run: &Run, applied: &[Applied], arrange: Arrange) -> Result<(), String> {
    let results = run.outcome.ends.iter().enumerate();
    let ended: Vec<_> = results.filter_map(|(rank, end)| Some((rank, end.returned()?.as_ref().ok()?))).collect();
    let Some((_, first)) = ended.first() else { return Ok(()) };
    let expected = replay(case, world, applied, arrange);
    for (rank, end) in &ended {
        must!(same(&end.theta, &expected), "rank {rank} has other weights than the logged steps make");
        must!(end.ending == first.ending, "rank {rank} ended otherwise than the others");
        must!(end.cursor.step == applied.len() as u64, "rank {rank} ended at step {}", end.cursor.step);
    }
    if first.ending == Ending::Finished && case.micro_chunk().is_some() {
        let alone = fit(Strategy::Single, &case.task(world, None), &Solo::new(), &RealClock::start(), &mut Deaf);
        let alone = alone.map_err(|error| error.to_string())?.theta;
        must!(same(&alone, &expected), "one rank alone makes other weights, though it is deterministic");
    }
    Ok(())
}

pub fn same(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

struct Deaf;

impl Job for Deaf {
    fn emit(&mut self, _: Event) {}

    fn turn(&mut self, _: &State) -> Result<Turn, JobError> {
        Ok(Turn::GoOn)
    }
}
