//! Faults of the rank itself: every kind, in both modes, at rank 0 and at another one.

use crate::job::{End, Plan};
use crate::needs_mpi;
use std::collections::BTreeMap;
use std::time::Duration;

/// A kind of fault.
struct Kind {
    name: &'static str,
    /// What mpirun ends with.
    code: i32,
    /// What the rank itself says, once.
    says: Option<&'static str>,
}

const fn kind(name: &'static str, code: i32, says: Option<&'static str>) -> Kind {
    Kind { name, code, says }
}

/// A rank that ends well without a word to MPI is an abnormal end to Open MPI, which has no code for it but 1.
const KINDS: [Kind; 8] = [
    kind("panic", 101, Some("panicked")),
    kind("panic_thread", 101, Some("panicked")),
    kind("error", 4, Some("an error at step")),
    kind("exit0", 1, None),
    kind("exit3", 3, None),
    kind("kill", 137, None),
    kind("segv", 139, None),
    kind("abort", 134, None),
];
const MODES: [&str; 2] = ["allreduce", "sendrecv"];

/// Runs one case and returns how long it took to end.
fn strike(kind: &Kind, mode: &str, rank: usize, step: u64) -> Duration {
    let plan = format!("{}@rank={rank},step={step}", kind.name);
    let line = format!("mpirun -n 4 {{exe}} --mode {mode} --epochs 200000 --run-dir run --progress none");
    let end = Plan::new(&line).with("GOAI_FAULT", &plan).start().end();
    end.check_abnormal();
    assert_eq!(end.code(), kind.code, "{plan}: {end}");
    assert_eq!(said(&end), usize::from(kind.says.is_some()), "{plan}: {end}");
    if let Some(words) = kind.says {
        assert!(end.text.contains(words) && end.text.contains(&format!("rank {rank}")), "{plan}: {end}");
    }
    end.took
}

/// How often the fault was told.
fn said(end: &End) -> usize {
    end.text.matches("GOAI_FAULT: ").count()
}

#[test]
fn any_end_of_a_rank_ends_the_job() {
    needs_mpi!();
    // Half of the table: every kind meets both modes and both sorts of rank.
    for (k, kind) in KINDS.iter().enumerate() {
        for (m, mode) in MODES.iter().enumerate() {
            let rank = if (k + m) % 2 == 0 { 0 } else { 2 };
            let took = strike(kind, mode, rank, [1, 7, 90][k % 3]);
            println!("{:>12} {mode} rank {rank}: {:.2} s", kind.name, took.as_secs_f64());
        }
    }
}

#[test]
#[ignore = "160 jobs, several minutes: every kind of end 20 times (make test-long)"]
fn any_end_of_a_rank_ends_the_job_twenty_times_of_twenty() {
    needs_mpi!();
    let mut worst = BTreeMap::new();
    for round in 0..5 {
        for (k, kind) in KINDS.iter().enumerate() {
            for mode in MODES {
                for rank in [0, 1 + (round + k) % 3] {
                    let took = strike(kind, mode, rank, (1 + 37 * round + 5 * k + rank) as u64);
                    let most = worst.entry(kind.name).or_insert(Duration::ZERO);
                    *most = took.max(*most);
                }
            }
        }
    }
    worst.iter().for_each(|(kind, took)| println!("{kind:>12}: at most {:.2} s, 20 of 20", took.as_secs_f64()));
}

/// On threads the process is one: what ends it by force ends all ranks; the others have to be woken.
#[test]
fn a_rank_that_is_a_thread_takes_the_others_along() {
    for mode in MODES {
        for rank in [0, 2] {
            for (kind, code) in [("panic", 101), ("error", 4), ("exit3", 3), ("kill", 137)] {
                let plan = format!("{kind}@rank={rank},step=7");
                let line = format!("{{exe}} --ranks 4 --mode {mode} --epochs 200000 --run-dir run --progress none");
                let end = Plan::new(&line).with("GOAI_FAULT", &plan).start().end();
                end.check_abnormal();
                assert_eq!(end.code(), code, "{plan}: {end}");
                let tells = ["panic", "error"].contains(&kind);
                assert_eq!(said(&end), usize::from(tells), "{plan}: {end}");
                if tells {
                    assert!(end.text.contains(&format!("rank {rank}")), "{plan}: {end}");
                    assert!(!end.text.contains("is gone"), "a rank that was taken along is no cause: {end}");
                    // Who panics at rank 0 writes no state any more.
                    let expected = match (kind, rank) {
                        ("panic", 0) => ("running".into(), "null".into()),
                        _ => (String::from("failed"), code.to_string()),
                    };
                    assert_eq!((end.field("state"), end.field("exit_code")), expected, "{plan}: {end}");
                }
            }
        }
    }
}
