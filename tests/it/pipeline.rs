//! The table of pipelines on ranks as threads, buffered and with forced rendezvous.

use super::comm_threads::{BUFFERED, RENDEZVOUS};
use crate::cases::pipeline::CASES;
use goai::comm::{Communicator, ThreadOptions, run_threads};
use std::time::Duration;

/// While rank 0 trains alone, the others wait for it.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(120));

fn run(ranks: usize, options: ThreadOptions) {
    let options = ThreadOptions { deadline: PATIENCE, ..options };
    for (name, case) in CASES {
        let start = std::time::Instant::now();
        run_threads(ranks, options, |comm| {
            case(comm);
            comm.barrier().unwrap();
        });
        println!("{ranks} ranks: {name} ({:.2} s)", start.elapsed().as_secs_f64());
    }
}

#[test]
fn one_stage_is_one_rank() {
    run(1, BUFFERED);
}

#[test]
fn two_stages_equal_one_rank() {
    run(2, BUFFERED);
}

#[test]
fn three_stages_equal_one_rank_with_forced_rendezvous() {
    run(3, RENDEZVOUS);
}

#[test]
fn four_stages_and_two_with_replicas_equal_one_rank() {
    run(4, BUFFERED);
}

#[test]
fn two_stages_with_replicas_equal_one_rank_with_forced_rendezvous() {
    run(4, RENDEZVOUS);
}
