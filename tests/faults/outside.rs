//! Ends that come from outside: a rank or the launcher is killed, or asked to stop.

use crate::job::{End, Job, Plan};
use crate::needs_mpi;
use std::time::Duration;

const MODES: [&str; 2] = ["allreduce", "sendrecv"];

fn start(mode: &str) -> Job {
    let line = format!("mpirun -n 4 {{exe}} --mode {mode} --epochs 200000 --run-dir run --progress none");
    Plan::new(&line).start()
}

/// Some moment of the training; the same in every run of the test.
fn moment(seed: u64) -> Duration {
    let mixed = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Duration::from_millis((mixed ^ (mixed >> 29)) % 600)
}

fn signal_rank(signal: &str, mode: &str, rank: usize, seed: u64) -> End {
    let mut job = start(mode);
    let pids = job.training();
    assert_eq!(pids.len(), 4);
    std::thread::sleep(moment(seed));
    job.signal(signal, pids[rank]);
    job.end()
}

fn signal_launcher(signal: &str, mode: &str, seed: u64) -> End {
    let mut job = start(mode);
    job.training();
    std::thread::sleep(moment(seed));
    job.signal(signal, job.pid());
    job.end()
}

fn killed_rank(mode: &str, rank: usize, seed: u64) -> Duration {
    let end = signal_rank("KILL", mode, rank, seed);
    end.check_abnormal();
    assert_eq!((end.code(), end.field("state")), (137, "running".into()), "{end}");
    end.took
}

#[test]
fn a_killed_rank_ends_the_job() {
    needs_mpi!();
    for (seed, (mode, rank)) in [(MODES[0], 3), (MODES[1], 0), (MODES[1], 2)].into_iter().enumerate() {
        let took = killed_rank(mode, rank, seed as u64);
        println!("SIGKILL to rank {rank}, {mode}: {:.2} s", took.as_secs_f64());
    }
}

#[test]
#[ignore = "20 jobs at random moments, over a minute (make test-long)"]
fn a_killed_rank_ends_the_job_twenty_times_of_twenty() {
    needs_mpi!();
    let took = (0..20).map(|i| killed_rank(MODES[i % 2], i % 4, 100 + i as u64)).max();
    println!("SIGKILL to a rank: at most {:.2} s, 20 of 20", took.unwrap().as_secs_f64());
}

#[test]
fn a_killed_launcher_leaves_no_rank() {
    needs_mpi!();
    for (seed, mode) in MODES.into_iter().enumerate() {
        let end = signal_launcher("KILL", mode, 10 + seed as u64);
        end.check_abnormal();
        println!("SIGKILL to mpirun, {mode}: {:.2} s", end.took.as_secs_f64());
    }
}

/// mpirun turns either into SIGTERM for the ranks, and kills them a second later.
#[test]
fn a_launcher_that_is_asked_to_stop_stops_all_ranks_in_order() {
    needs_mpi!();
    for (seed, (signal, mode)) in [("TERM", MODES[0]), ("INT", MODES[1])].into_iter().enumerate() {
        let end = signal_launcher(signal, mode, 20 + seed as u64);
        end.check_abnormal();
        assert_eq!((end.field("state"), end.field("exit_code")), ("checkpointed".into(), "75".into()), "{end}");
        assert!(end.text.contains("checkpointed: SIGTERM after step"), "{end}");
        println!("SIG{signal} to mpirun, {mode}: {:.2} s", end.took.as_secs_f64());
    }
}

#[test]
fn a_rank_that_is_asked_to_stop_stops_all_ranks_at_one_step() {
    needs_mpi!();
    let table = [
        ("TERM", MODES[0], 1),
        ("TERM", MODES[1], 0),
        ("INT", MODES[0], 0),
        ("TERM", MODES[1], 3),
        ("USR1", MODES[0], 2),
        ("USR2", MODES[1], 0),
    ];
    for (seed, (signal, mode, rank)) in table.into_iter().enumerate() {
        let end = signal_rank(signal, mode, rank, 30 + seed as u64);
        end.check_abnormal();
        assert_eq!(end.code(), 75, "{end}");
        assert_eq!((end.field("state"), end.field("exit_code")), ("checkpointed".into(), "75".into()), "{end}");
        assert_eq!(end.text.matches(&format!("checkpointed: SIG{signal} after step")).count(), 1, "{end}");
        assert_eq!(end.errors().len(), 0, "{end}");
        println!("SIG{signal} to rank {rank}, {mode}: {:.2} s", end.took.as_secs_f64());
    }
}

#[test]
fn threads_that_are_asked_to_stop_stop_at_one_step() {
    for (signal, mode) in [("TERM", MODES[0]), ("INT", MODES[1])] {
        let line = format!("{{exe}} --ranks 4 --mode {mode} --epochs 200000 --run-dir run --progress none");
        let mut job = Plan::new(&line).start();
        let pids = job.training();
        assert_eq!(pids, [job.pid(); 4]);
        job.signal(signal, pids[0]);
        let end = job.end();
        end.check_abnormal();
        assert_eq!((end.code(), end.field("exit_code")), (75, "75".into()), "{end}");
        assert!(end.text.contains(&format!("checkpointed: SIG{signal}")) && end.errors().is_empty(), "{end}");
    }
}
