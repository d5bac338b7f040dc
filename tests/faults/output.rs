//! Outputs that go away: a reader that has seen enough, a full disk, closed descriptors.

use crate::job::Plan;
use crate::needs_mpi;

/// mpirun dies of the closed pipe, and its ranks with it: nothing of ours is torn, no panic is told.
#[test]
fn a_closed_pipe_leaves_no_rank() {
    needs_mpi!();
    let script = "mpirun -n 4 {exe} --epochs 200000 --run-dir run --progress lines | head -1";
    let end = Plan::shell(script).start().end();
    assert!(!end.text.contains("panicked"), "{end}");
    assert_ne!(end.field("state"), "complete", "{end}");
}

#[test]
fn where_nobody_listens_training_goes_on() {
    let train = "{exe} --ranks 4 --epochs 30 --run-dir run --progress lines";
    for script in [
        format!("{train} | head -1"),
        format!("{train} > /dev/full"),
        format!("{train} > /dev/full 2> /dev/full"),
        format!("{train} >&- 2>&- <&-"),
    ] {
        let end = Plan::shell(&script).start().end();
        assert_eq!((end.code(), end.field("state")), (0, "complete".into()), "{end}");
        assert!(!end.text.contains("panicked"), "{end}");
    }
}

#[test]
fn where_nobody_listens_ranks_train_on() {
    needs_mpi!();
    // Under the launcher a rank's output is the launcher's pipe, so the rank closes it itself.
    for redirect in ["> /dev/full 2> /dev/full", ">&- 2>&- <&-"] {
        let script = format!("mpirun -n 2 sh -c 'exec {{exe}} --epochs 30 --run-dir run {redirect}'");
        let end = Plan::shell(&script).start().end();
        assert_eq!((end.code(), end.field("state")), (0, "complete".into()), "{end}");
    }
}
