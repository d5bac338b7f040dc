//! The table of pipelines on ranks as threads, buffered and with forced rendezvous.

use super::comm_threads::{BUFFERED, RENDEZVOUS};
use crate::cases::Case;
use crate::cases::conv::Conv;
use crate::cases::pipeline::{CASES, on_pictures};
use goai::comm::{Communicator, ThreadOptions, run_threads};
use std::time::Duration;

/// While rank 0 trains alone, the others wait for it.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(120));

fn run(ranks: usize, options: ThreadOptions, cases: impl Iterator<Item = &'static Case>) {
    let options = ThreadOptions { deadline: PATIENCE, ..options };
    for (name, case) in cases {
        let start = std::time::Instant::now();
        run_threads(ranks, options, |comm| {
            case(comm);
            comm.barrier().unwrap();
        });
        println!("{ranks} ranks: {name} ({:.2} s)", start.elapsed().as_secs_f64());
    }
}

/// Those that take no time.
fn quick() -> impl Iterator<Item = &'static Case> {
    CASES.iter().filter(|(name, _)| !["pictures", "every place", "exit heads"].iter().any(|word| name.contains(word)))
}

#[test]
fn one_stage_is_one_rank() {
    run(1, BUFFERED, quick());
}

#[test]
fn two_stages_equal_one_rank() {
    run(2, BUFFERED, CASES.iter());
    run(2, RENDEZVOUS, quick());
}

#[test]
fn three_stages_equal_one_rank_with_forced_rendezvous() {
    run(3, RENDEZVOUS, CASES.iter());
    run(3, BUFFERED, quick());
}

#[test]
fn four_stages_and_two_with_replicas_equal_one_rank() {
    run(4, BUFFERED, CASES.iter());
    run(4, RENDEZVOUS, quick());
}

/// 6 ranks: 2 stages with 3 replicas, and 3 with 2.
#[test]
fn more_replicas_equal_one_rank() {
    run(6, BUFFERED, quick());
    run(6, RENDEZVOUS, quick());
}

/// The networks at the sizes of their papers, in batches that fill the pipeline.
#[test]
#[ignore = "two minutes: pictures of full size on 2 to 4 ranks (make test-long)"]
fn full_sizes_equal_one_rank() {
    let options = ThreadOptions { deadline: Some(Duration::from_secs(1200)), ..BUFFERED };
    for (name, shape) in [("img_cnn", [3, 150, 150]), ("vgg5_plain", [3, 32, 32])] {
        for ranks in [2, 3, 4] {
            let start = std::time::Instant::now();
            run_threads(ranks, options, |comm| {
                on_pictures(comm, &Conv::sized(name, shape), 8, 4);
                comm.barrier().unwrap();
            });
            println!("{ranks} ranks: {name} {shape:?} ({:.2} s)", start.elapsed().as_secs_f64());
        }
    }
}
