//! Requests: SIGUSR2 to a worker is its leave, any other and any to the server is a stop with a checkpoint.

use super::{Chance, EPOCHS, PLAIN, RECOVERY, check_complete, count_notes, in_the_middle, plan, way_on};
use crate::job::{End, MOST};
use crate::needs_mpi;
use crate::survivors::no_recovery;

#[test]
fn a_worker_that_is_asked_to_leave_leaves_and_the_others_complete() {
    needs_mpi!();
    let table =
        [(PLAIN, "k-batch --k 3", 2), (PLAIN, "k-sync --k 3", 4), (PLAIN, "async", 1), (RECOVERY, "k-batch", 3)];
    for (launcher, rule, rank) in table {
        if launcher == RECOVERY && no_recovery() {
            continue;
        }
        let mut job = plan(launcher, &format!("--sync {rule} --epochs 24")).start();
        let pids = job.training();
        job.signal("USR2", pids[rank]);
        let end = job.end();
        check_complete(&end, EPOCHS);
        let note = format!("rank {rank} leaves; the others go on");
        assert_eq!((count_notes(&end, "leaves"), count_notes(&end, &note)), (1, 1), "{end}");
        let last = end.file("run/ledger.csv");
        let late = last.lines().rev().take(100).filter(|line| line.split(',').nth(3) == Some(&rank.to_string()));
        assert_eq!(late.count(), 0, "it works on: {end}");
    }
}

/// Whom the signal goes to.
#[derive(Clone, Copy)]
enum To {
    Launcher,
    Rank(usize),
}

fn stop(rule: &str, epochs: usize, signal: &str, to: To, seed: u64) -> End {
    let mut chance = Chance::new(seed);
    let mut job = plan(PLAIN, &format!("--sync {rule} --epochs {epochs}")).start();
    let pids = job.training();
    in_the_middle(&mut job, 2, &mut chance);
    let pid = match to {
        To::Launcher => job.pid(),
        To::Rank(rank) => pids[rank],
    };
    job.signal(signal, pid);
    let end = job.end();
    assert!(end.took < MOST, "{end}");
    assert_eq!((end.code(), end.field("state")), (75, "checkpointed".into()), "{end}");
    assert!(end.errors().is_empty(), "{end}");
    end
}

fn hash(end: &End) -> String {
    let run = end.run.as_ref().unwrap_or_else(|| panic!("{end}"));
    run["final"]["weights_hash"].as_str().unwrap_or_else(|| panic!("{end}")).to_owned()
}

#[test]
fn a_signal_that_reaches_the_server_stops_all_with_a_checkpoint() {
    needs_mpi!();
    let table = [
        ("k-batch --k 3", "USR2", To::Rank(0)),
        ("k-batch --k 3", "USR1", To::Launcher),
        ("async", "USR1", To::Launcher),
        ("k-async --k 2", "TERM", To::Rank(3)),
        ("shards --shards 40 --k 8 --local-epochs 2", "USR1", To::Launcher),
    ];
    for (seed, (rule, signal, to)) in table.into_iter().enumerate() {
        let end = stop(rule, EPOCHS, signal, to, seed as u64);
        let end = way_on(&end).after(end).start().end();
        check_complete(&end, EPOCHS);
    }
}

#[test]
fn a_synchronous_grid_goes_on_to_the_same_bits() {
    needs_mpi!();
    for (seed, rule) in ["k-sync --k 4", "k-batch --k 3 --deterministic"].into_iter().enumerate() {
        let whole = plan(PLAIN, &format!("--sync {rule} --epochs 12")).start().end();
        check_complete(&whole, 12);
        let end = stop(rule, 12, "USR1", To::Launcher, 20 + seed as u64);
        let end = way_on(&end).after(end).start().end();
        check_complete(&end, 12);
        assert_eq!(hash(&end), hash(&whole), "{rule}: {end}");
    }
}
