//! A stage that dies takes the chain along, and what is printed says which stage it was.

use crate::job::{End, Plan};
use crate::needs_mpi;
use std::time::Duration;

/// A way to run a pipeline, its ranks, and what the stage on rank 1 is called.
const WAYS: [(&str, usize, &str); 4] = [
    ("--learn local", 3, "stage 1 (fc2..exit2)"),
    ("--learn backprop --schedule gpipe", 3, "stage 1 (fc2..act2)"),
    ("--learn backprop --schedule zb-h1 --stages 2", 4, "stage 0 (fc1..act1)"),
    ("--optimizer mcmc --proposals 5", 3, "stage 1 (fc2..exit2)"),
];

fn line(way: &str) -> String {
    format!("--mode pipeline {way} --epochs 200000 --run-dir run --progress none")
}

/// The launcher names the rank, and the line about the stages says which one it held.
fn names_the_stage(end: &End, stage: &str) {
    assert!(end.text.contains(stage), "{stage}: {end}");
    assert!(end.text.contains("rank 1"), "{end}");
}

#[test]
fn a_killed_stage_ends_the_job_and_is_named() {
    needs_mpi!();
    for (i, (way, ranks, stage)) in WAYS.into_iter().enumerate() {
        let mut job = Plan::new(&format!("mpirun -n {ranks} {{exe}} {}", line(way))).start();
        let pids = job.training();
        assert_eq!(pids.len(), ranks);
        std::thread::sleep(Duration::from_millis(100 + 150 * i as u64));
        job.signal("KILL", pids[1]);
        let end = job.end();
        end.check_abnormal();
        assert_eq!((end.code(), end.field("state")), (137, "running".into()), "{end}");
        names_the_stage(&end, stage);
        println!("SIGKILL to a stage, {way}: {:.2} s", end.took.as_secs_f64());
    }
}

/// Wherever it stands in the chain: first, in the middle, last.
#[test]
fn a_stage_that_fails_ends_the_job() {
    needs_mpi!();
    for (kind, code) in [("panic", 101), ("error", 4), ("exit3", 3), ("segv", 139)] {
        for (rank, step) in [(0, 1), (1, 40), (2, 7)] {
            let (way, ranks, _) = WAYS[rank % 2];
            let plan = format!("{kind}@rank={rank},step={step}");
            let job = Plan::new(&format!("mpirun -n {ranks} {{exe}} {}", line(way))).with("GOAI_FAULT", &plan);
            let end = job.start().end();
            end.check_abnormal();
            assert_eq!(end.code(), code, "{plan}: {end}");
            assert!(end.text.contains(&format!("stage {rank} (fc{}", rank + 1)), "{plan}: {end}");
            if kind == "error" {
                assert!(end.errors()[0].contains(&format!("stage {rank} (")), "{plan}: {end}");
            }
        }
    }
}

/// On threads the others have to be woken, from whatever they wait for: activations, gradients or credits.
#[test]
fn a_stage_that_is_a_thread_takes_the_others_along() {
    for (way, ranks, _) in WAYS {
        for (kind, code) in [("panic", 101), ("error", 4), ("exit3", 3), ("kill", 137)] {
            for rank in [0, ranks - 1] {
                let plan = format!("{kind}@rank={rank},step=7");
                let job = Plan::new(&format!("{{exe}} --ranks {ranks} {}", line(way))).with("GOAI_FAULT", &plan);
                let end = job.start().end();
                end.check_abnormal();
                assert_eq!(end.code(), code, "{way} {plan}: {end}");
                assert!(!end.text.contains("is gone"), "a rank that was taken along is no cause: {end}");
                if kind == "error" {
                    let [error] = end.errors()[..] else { panic!("{way} {plan}: {end}") };
                    assert!(error.contains("stage ") && error.contains(&format!("rank {rank}")), "{plan}: {end}");
                    assert_eq!(end.field("state"), "failed", "{end}");
                }
            }
        }
    }
}

/// A stage that is asked to end does so with all others behind one batch, and says after which step.
#[test]
fn a_pipeline_that_is_asked_to_stop_does_so_in_order() {
    needs_mpi!();
    for (way, ranks, _) in WAYS {
        let mut job = Plan::new(&format!("mpirun -n {ranks} {{exe}} {}", line(way))).start();
        let pids = job.training();
        std::thread::sleep(Duration::from_millis(200));
        job.signal("TERM", pids[ranks - 1]);
        let end = job.end();
        end.check_abnormal();
        assert_eq!((end.code(), end.field("exit_code")), (75, "75".into()), "{way}: {end}");
        assert!(end.text.contains("checkpointed: SIGTERM after step"), "{way}: {end}");
        assert!(!end.text.contains("panicked"), "{way}: {end}");
    }
}
