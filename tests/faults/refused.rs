//! What goes wrong before training, on one rank or on all: told once, ended in order.

use crate::job::Plan;
use crate::needs_mpi;

/// One rank differs, or all are wrong: the command line, the exit code, and what the one message says.
const TABLE: [(&str, &str, i32, &[&str]); 12] = [
    (
        "other flags on one rank",
        "mpirun -n 1 {exe} --lr 0.1 : -n 1 {exe} --lr 0.2",
        5,
        &["rank 1", "--lr 0.2", "--lr 0.1", "rank 0"],
    ),
    (
        "another variable on one rank",
        "mpirun -n 3 {exe} : -n 1 env GOAI_SEED=7 {exe}",
        5,
        &["rank 3", "GOAI_SEED", "'7'", "unset on rank 0"],
    ),
    (
        "no data on one rank",
        "mkdir a b; printf 'x,variety\\n1,a\\n2,b\\n3,a\\n4,b\\n' > a/x.csv
         mpirun -n 4 sh -c 'case $OMPI_COMM_WORLD_RANK in 2) cd b;; *) cd a;; esac; exec {exe} --dataset x.csv'",
        4,
        &["rank 2 on ", "x.csv", "not found"],
    ),
    (
        "other data on one rank",
        "mkdir a b; printf 'x,variety\\n1,a\\n2,b\\n3,a\\n4,b\\n' > a/x.csv; sed s/3/5/ a/x.csv > b/x.csv
         mpirun -n 4 sh -c 'case $OMPI_COMM_WORLD_RANK in 3) cd b;; *) cd a;; esac; exec {exe} --dataset x.csv'",
        5,
        &["data set", "rank 3"],
    ),
    ("a mistyped flag on one rank", "mpirun -n 3 {exe} : -n 1 {exe} --epoch 3", 2, &["rank 3 on ", "--epoch"]),
    ("a mistyped flag on all", "mpirun -n 4 {exe} --epoch 3", 2, &["--epoch"]),
    ("a wrong value", "mpirun -n 4 {exe} --lr NaN", 2, &["--lr"]),
    (
        "a run directory that is taken",
        "mkdir run; echo {} > run/run.json; mpirun -n 4 {exe} --run-dir run",
        3,
        &["run"],
    ),
    ("too few ranks for the mode", "mpirun -n 1 {exe} --mode sendrecv", 2, &["sendrecv"]),
    ("--single on several ranks", "mpirun -n 20 {exe} --single iris", 2, &["--single", "20 processes"]),
    ("--single on one rank of several", "mpirun -n 3 {exe} : -n 1 {exe} --single iris", 2, &["--single"]),
    ("--ranks on several ranks", "mpirun -n 4 {exe} --ranks 4", 2, &["--ranks", "4 processes"]),
];

#[test]
fn what_is_wrong_before_training_is_told_once() {
    needs_mpi!();
    for (case, script, code, words) in TABLE {
        let end = Plan::shell(script).start().end();
        assert_eq!(end.code(), code, "{case}: {end}");
        let errors = end.errors();
        assert_eq!(errors.len(), 1, "{case}: {end}");
        assert!(words.iter().all(|word| errors[0].contains(word)), "{case}: {words:?}: {end}");
        assert!(!end.text.contains("FINALIZE") && !end.text.contains("panicked"), "{case}: {end}");
        assert_ne!(end.field("state"), "complete", "{case}: {end}");
    }
}

/// A peer that fails without MPI ends the job. (One that ends well, or lives on, is waited for in `MPI_Init`: Open
/// MPI has no limit there; `mpirun --timeout` has.)
#[test]
fn a_peer_that_never_starts_mpi_is_not_waited_for() {
    needs_mpi!();
    for peer in ["false", "sh -c 'sleep 0.2; kill -9 $$'"] {
        let end = Plan::shell(&format!("mpirun -n 3 {{exe}} --run-dir run : -n 1 {peer}")).start().end();
        assert_ne!(end.code(), 0, "{peer}: {end}");
        assert_ne!(end.field("state"), "complete", "{peer}: {end}");
    }
}

/// Processes that were started as many and do not find each other train nothing.
#[test]
fn singletons_are_refused_once() {
    needs_mpi!();
    let end = Plan::new("{exe} --run-dir run").with("PMI_RANK", "0").with("PMI_SIZE", "4").start().end();
    assert_eq!(end.code(), 5, "{end}");
    assert!(end.errors().len() == 1 && end.errors()[0].contains("4 processes"), "{end}");
    let end = Plan::new("{exe} --run-dir run").with("PMI_RANK", "2").with("PMI_SIZE", "4").start().end();
    assert_eq!((end.code(), end.errors().len()), (5, 0), "{end}");
}
