//! Workers that stand still, for a while or for ever.

use super::{EPOCHS, PLAIN, RECOVERY, check_complete, count_notes, plan, total};
use crate::needs_mpi;
use crate::survivors::no_recovery;

/// It takes as long as it takes: each task of a worker some milliseconds of real time.
const SLOW: &str = "--sync k-batch --k 3 --heartbeat 1 --clock real --delay const:0.002";

#[test]
fn a_frozen_worker_that_comes_back_finds_its_work_done() {
    needs_mpi!();
    let mut job = plan(PLAIN, &format!("{SLOW} --epochs 24")).start();
    let pids = job.training();
    job.signal("STOP", pids[2]);
    job.wait_for("silence", "run/events.jsonl", |events| events.contains("rank 2 is silent"));
    let before = std::fs::read_to_string(job.dir().join("run/metrics.csv")).unwrap().lines().count();
    job.wait_for("epoch without it", "run/metrics.csv", |metrics| metrics.lines().count() > before + 1);
    job.signal("CONT", pids[2]);
    job.wait_for("return", "run/events.jsonl", |events| events.contains("rank 2 is back"));
    let end = job.end();
    check_complete(&end, EPOCHS);
    // A report that it had sent before may let it seem to be back for a moment.
    assert!(count_notes(&end, "rank 2 is silent") >= 1 && count_notes(&end, "rank 2 is back") >= 1, "{end}");
    assert_eq!(count_notes(&end, "is lost"), 0, "{end}");
    // What it was at when it froze came too late.
    assert!(total(&end, 2, "stale") + total(&end, 2, "duplicate") >= 1, "{}{end}", end.file("run/ranks.csv"));
    assert!(total(&end, 2, "taken") >= 1, "{end}");
}

#[test]
fn nobody_waits_for_a_worker_that_is_frozen_for_ever() {
    needs_mpi!();
    for launcher in [RECOVERY, PLAIN] {
        if launcher == RECOVERY && no_recovery() {
            continue;
        }
        let mut job = plan(launcher, &format!("{SLOW} --epochs 12")).start();
        let pids = job.training();
        job.signal("STOP", pids[4]);
        let end = job.end();
        // Ending it by force makes a launcher that watches its ranks tell of a failure.
        assert_eq!(end.field("state"), "complete", "{end}");
        assert!(end.errors().is_empty(), "{end}");
        super::check_ledger(&end, 12);
        assert_eq!(count_notes(&end, "rank 4 is silent"), 1, "{end}");
    }
}
