//! Offloading: ranks are killed, frozen, asked to end, while requests are answered.

use crate::job::{End, Job, MOST, Plan};
use crate::needs_mpi;
use crate::survivors::no_recovery;
use serde_json::Value;
use std::time::Duration;

/// A launcher that lets the others live when a rank dies, and one that ends the job.
const RECOVERY: &str = "mpirun --mca orte_enable_recovery 1 -n 4 {exe}";
const PLAIN: &str = "mpirun -n 4 {exe}";

/// Four seconds of requests, whose tasks are everywhere.
pub const REQUESTS: usize = 300;
pub const ASKED: &str = "--mode offload --graph vgg5 --policy random --queue 4 --requests 300 --arrivals periodic:0.014 --threads 1 --run-dir run";

fn start(launcher: &str, more: &str) -> Job {
    begun(&format!("{launcher} {ASKED} {more}"))
}

fn begun(line: &str) -> Job {
    let mut job = Plan::new(line).start();
    job.wait_for("plan", "run/run.json", |run| run.contains("running"));
    std::thread::sleep(Duration::from_millis(800));
    job
}

fn offload(end: &End) -> &Value {
    &end.run.as_ref().unwrap_or_else(|| panic!("{end}"))["offload"]
}

/// All requests of the sources that live are answered, and this rank was lost.
pub fn check_answered(end: &End, answered: usize, lost: usize) {
    assert_eq!(end.field("state"), "complete", "{end}");
    assert!(end.errors().is_empty() && !end.text.contains("panicked"), "{end}");
    let figures = offload(end);
    assert_eq!((figures["answered"].as_u64(), figures["lost"][0].as_u64()), (Some(answered as u64), Some(lost as u64)));
    assert!(end.text.contains(&format!("rank {lost} is lost")), "{end}");
    let rows = end.file("run/requests.csv");
    assert_eq!(rows.lines().count(), REQUESTS + 1, "{end}");
    assert!(!rows.contains("NaN"), "{rows}");
}

#[test]
fn all_requests_are_answered_without_a_rank_that_is_killed() {
    needs_mpi!();
    if no_recovery() {
        return;
    }
    for rank in [1, 3] {
        let mut job = start(RECOVERY, "");
        let pids = job.ranks();
        job.signal("KILL", pids[rank]);
        let end = job.end();
        check_answered(&end, REQUESTS, rank);
        assert!(offload(&end)["replanned"].as_u64().unwrap() > 0, "{end}");
    }
}

/// The other source is told by rank 0 who is lost, and plans anew too.
#[test]
fn every_source_plans_anew() {
    needs_mpi!();
    if no_recovery() {
        return;
    }
    let mut job = start(RECOVERY, "--sources 0,2");
    let pids = job.ranks();
    job.signal("KILL", pids[1]);
    check_answered(&job.end(), REQUESTS, 1);
}

#[test]
fn without_a_source_the_others_have_their_answers() {
    needs_mpi!();
    if no_recovery() {
        return;
    }
    let mut job = start(RECOVERY, "--sources 0,2");
    let pids = job.ranks();
    job.signal("KILL", pids[2]);
    check_answered(&job.end(), REQUESTS / 2, 2);
}

#[test]
fn nobody_waits_for_a_rank_that_is_frozen_for_ever() {
    needs_mpi!();
    for launcher in [RECOVERY, PLAIN] {
        if launcher == RECOVERY && no_recovery() {
            continue;
        }
        let mut job = start(launcher, "--heartbeat 1");
        let pids = job.ranks();
        job.signal("STOP", pids[2]);
        check_answered(&job.end(), REQUESTS, 2);
    }
}

/// It was given up, and its work given away: it goes home.
#[test]
fn a_frozen_rank_that_comes_back_is_sent_home() {
    needs_mpi!();
    if no_recovery() {
        return;
    }
    let mut job = start(RECOVERY, "--heartbeat 0.5");
    let pids = job.ranks();
    job.signal("STOP", pids[2]);
    std::thread::sleep(Duration::from_millis(1500));
    job.signal("CONT", pids[2]);
    check_answered(&job.end(), REQUESTS, 2);
}

#[test]
fn where_the_launcher_ends_the_job_nothing_is_left() {
    needs_mpi!();
    let mut job = start(PLAIN, "");
    let pids = job.ranks();
    job.signal("KILL", pids[2]);
    let end = job.end();
    assert!(end.took < MOST && end.code() == 137, "{end}");
    assert!(["running", "failed"].contains(&end.field("state").as_str()), "{end}");
    assert!(end.errors().len() <= 1, "{end}");
}

#[test]
fn without_rank_0_the_job_ends() {
    needs_mpi!();
    for launcher in [RECOVERY, PLAIN] {
        if launcher == RECOVERY && no_recovery() {
            continue;
        }
        let mut job = start(launcher, "--sources 0,2");
        let pids = job.ranks();
        job.signal("KILL", pids[0]);
        let end = job.end();
        assert!(end.took < MOST && end.errors().len() <= 1, "{end}");
        assert!(launcher == PLAIN || end.errors()[0].contains("rank 0 on "), "{end}");
        assert_eq!(end.field("state"), "running", "{end}");
    }
}

/// What is modelled holds only where all machines are there.
#[test]
fn emulated_machines_end_together() {
    needs_mpi!();
    if no_recovery() {
        return;
    }
    let launcher = RECOVERY.replace("-n 4", "-n 5");
    let asked = "--mode offload --graph vgg5 --policy random --threads 1 --run-dir run --devices greenai";
    for more in ["--requests 10000", "--requests 300 --arrivals periodic:0.1 --clock real"] {
        let mut job = begun(&format!("{launcher} {asked} {more}"));
        let pids = job.ranks();
        job.signal("KILL", pids[1]);
        let end = job.end();
        assert!(end.took < MOST, "{end}");
        let told = end.errors();
        assert!(told.len() == 1 && told[0].contains("rank 1 on ") && told[0].contains("is lost"), "{end}");
        assert_eq!((end.field("state"), end.field("exit_code")), ("failed".into(), "7".into()), "{end}");
    }
}

/// There is nothing to keep: a line, a state, and the shell's exit code for the signal.
#[test]
fn a_job_that_is_asked_to_stop_says_so_and_ends() {
    needs_mpi!();
    for (signal, number, launched) in [("TERM", 15, true), ("USR1", 10, true), ("INT", 2, false), ("TERM", 15, false)] {
        let mut job = start(if launched { PLAIN } else { "{exe} --ranks 2" }, "");
        let pid = if launched && signal == "TERM" { job.ranks()[0] } else { job.pid() };
        job.signal(signal, pid);
        let end = job.end();
        assert!(end.took < MOST && end.code() != 0, "{end}");
        let told = end.errors();
        assert!(told.len() == 1 && told[0].contains(&format!("stopped by SIG{signal};")), "{end}");
        let code = (128 + number).to_string();
        assert_eq!((end.field("state"), end.field("exit_code")), ("failed".into(), code), "{end}");
        assert!(launched || end.code() == 128 + number, "{end}");
    }
}

/// Whoever is asked to end goes; where the launcher lets them the others go on.
#[test]
fn a_worker_that_is_asked_to_end_is_done_without() {
    needs_mpi!();
    if no_recovery() {
        return;
    }
    let mut job = start(RECOVERY, "");
    let pids = job.ranks();
    job.signal("TERM", pids[3]);
    check_answered(&job.end(), REQUESTS, 3);
}
