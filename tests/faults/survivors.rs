//! Under a launcher that lets the others live when a rank dies (Open MPI 4 with its recovery flag) it is the program that
//! leaves no rank behind. `MPI_Abort` ends nobody else there and the launcher's exit code is 0: `run.json` tells.

use crate::job::{Job, MOST, Plan};
use crate::needs_mpi;
use std::process::Command;

const RECOVERY: &str = "mpirun --mca orte_enable_recovery 1 -n 4 {exe}";

/// Whether mpirun is Open MPI 4's, whose flag this is.
pub fn no_recovery() -> bool {
    let version = Command::new("mpirun").arg("--version").output().map(|out| out.stdout).unwrap_or_default();
    let old = String::from_utf8_lossy(&version).contains("(Open MPI) 4.");
    if !old {
        println!("SKIP {}: mpirun is not Open MPI 4's", module_path!());
    }
    !old
}

fn start(more: &str) -> Job {
    Plan::new(&format!("{RECOVERY} {more} --epochs 200000 --run-dir run --progress none")).start()
}

#[test]
fn a_rank_that_dies_ends_a_mode_that_cannot_go_on() {
    needs_mpi!();
    if no_recovery() {
        return;
    }
    for (mode, rank) in [("allreduce", 2), ("sendrecv", 3), ("allreduce", 0)] {
        let mut job = start(&format!("--mode {mode}"));
        let pids = job.training();
        job.signal("KILL", pids[rank]);
        let end = job.end();
        assert!(end.took < MOST, "{end}");
        let told = end.errors();
        assert!(
            told.len() == 1 && told[0].contains(&format!("rank {rank} on ")) && told[0].contains("is lost"),
            "{end}"
        );
        // Rank 0 takes its pen along.
        assert_eq!(end.field("state"), if rank == 0 { "running" } else { "failed" }, "{end}");
    }
}

#[test]
fn a_rank_that_gives_up_takes_the_others_along() {
    needs_mpi!();
    if no_recovery() {
        return;
    }
    for (fault, code) in
        [("error@rank=2,step=50", "4"), ("panic@rank=0,step=50", "101"), ("panic@rank=3,step=50", "101")]
    {
        let line = format!("{RECOVERY} --epochs 200000 --run-dir run --progress none");
        let end = Plan::new(&line).with("GOAI_FAULT", fault).start().end();
        // Where it is rank 0 that panics, the next rank may say that rank 0 is lost besides.
        let most = if fault.starts_with("panic@rank=0") { 2 } else { 1 };
        assert!(end.took < MOST && (1..=most).contains(&end.errors().len()), "{end}");
        if !fault.starts_with("panic@rank=0") {
            assert_eq!((end.field("state"), end.field("exit_code")), ("failed".into(), code.into()), "{end}");
        }
    }
}

#[test]
fn a_frozen_rank_is_named_and_a_lasting_stall_ends_the_job() {
    needs_mpi!();
    let line = "mpirun -n 4 {exe} --epochs 200000 --run-dir run --progress none --heartbeat 0.5 --stall-warn 1 --stall-abort 3";
    let mut job = Plan::new(line).start();
    let pids = job.training();
    job.signal("STOP", pids[2]);
    let end = job.end();
    assert_eq!((end.code(), end.field("state")), (7, "failed".into()), "{end}");
    let named = |line: &&str| line.starts_with("warning: no step for 1 s") && line.contains("waiting for rank 2 on ");
    assert!(end.text.lines().any(|line| named(&line)), "{end}");
    let told = end.errors();
    assert!(told.len() == 1 && told[0].contains("ended by --stall-abort") && !told[0].contains("rank 1"), "{end}");
}

#[test]
fn doctor_says_what_survives_a_rank() {
    needs_mpi!();
    if no_recovery() {
        return;
    }
    for (flag, says) in [
        ("", "to go on without it in a grid or a split, start with"),
        ("--mca orte_enable_recovery 1", "for --protocol sequential: training goes on without it"),
    ] {
        let end = Plan::new(&format!("mpirun {flag} -n 2 {{exe}} doctor")).start().end();
        assert!(end.text.contains(says) && end.code() == 0, "{end}");
    }
}
