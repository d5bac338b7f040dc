//! Mistakes in how the ranks are started: too few, twice, alike in name only.

use super::{Case, Leaves, case};
use crate::run::{Launch, Run};

const IRIS: &str = include_str!("../../../datasets/iris.csv");
const MPI: Launch = Launch::Mpi(3);

pub(super) fn cases() -> Vec<Case> {
    let mut cases = modes();
    cases.extend(ranks_that_differ());
    cases.extend(worlds_of_one());
    cases
}

#[rustfmt::skip]
fn modes() -> Vec<Case> {
    let flagged = |args: &str, flag: &str| case(&format!("{args} under mpirun"), Run::new(args), 2, &[flag, "mpirun", "2 processes", "leave one"]).on(Launch::Mpi(2));
    let fault = |text: &str| {
        let run = Run::new("--epochs 1").env("GOAI_FAULT", text);
        case(&format!("fault {text:?}"), run, 2, &["GOAI_FAULT", "KIND@rank=R,step=S", "panic"])
    };
    let diverges = |launch| {
        let run = Run::new("--epochs 20 --lr 1000 --optimizer sgd --weight-decay 1 --schedule constant");
        case("a rate that diverges", run, 6, &["diverged", "not finite at step", "lower --lr"]).on(launch).leaves(Leaves::Run("diverged"))
    };
    vec![
        case("sendrecv on one rank", Run::new("--mode sendrecv"), 2, &["sendrecv", "1 rank", "--ranks 4"]).on(Launch::Threads(1)),
        case("sendrecv on one rank", Run::new("--mode sendrecv"), 2, &["sendrecv", "1 rank", "--ranks 4"]).on(Launch::Mpi(1)),
        case("single on several ranks", Run::new("--mode single"), 2, &["single"]).on(Launch::Threads(3)),
        case("single on several ranks", Run::new("--mode single"), 2, &["single"]).on(MPI),
        flagged("--single", "--single"),
        flagged("--ranks 2", "--ranks"),
        fault("nap@rank=0,step=1"),
        fault("panic@rank=x,step=1").on(Launch::Threads(3)),
        fault("panic").on(MPI),
        diverges(Launch::Solo),
        diverges(Launch::Threads(3)),
        diverges(MPI),
    ]
}

/// Rank 1 or 2 of three is given something else.
#[rustfmt::skip]
fn ranks_that_differ() -> Vec<Case> {
    let on_rank = |name: &str, args: &str, rank: usize, command: &str, code, parts: &[&str]| {
        let script = format!("if [ \"$OMPI_COMM_WORLD_RANK\" = {rank} ]; then {command}; fi; exec \"$0\" \"$@\"");
        let run = Run::new(args).each_rank(&script).file("other/x", "").file("t.csv", IRIS);
        let changed = IRIS.replacen("5.1", "5.2", 1);
        case(name, run.file("changed/t.csv", changed), code, parts).on(MPI)
    };
    vec![
        on_rank("a data file is missing on rank 2", "--dataset t.csv", 2, "cd other", 4, &["rank 2 on ", "not found", "t.csv"]),
        on_rank("the data of rank 2 differ", "--dataset t.csv", 2, "cd changed", 5, &["data set", "on rank 2", "rank 0"]),
        on_rank("--lr of rank 2 differs", "--lr 0.1", 2, "exec \"$0\" --lr 0.2", 5, &["--lr 0.2", "on rank 2", "--lr 0.1"]),
        on_rank("GOAI_SEED of rank 1 differs", "", 1, "export GOAI_SEED=7", 5, &["GOAI_SEED", "'7' on rank 1", "unset on rank 0"]),
        on_rank("GOAI_SEED of rank 0 differs", "", 0, "export GOAI_SEED=7", 5, &["GOAI_SEED", "unset on rank 1", "'7' on rank 0", "and 1 more"]),
        on_rank("a flag of rank 1 is misspelt", "--lr 0.1", 1, "exec \"$0\" --lrr 0.1", 2, &["rank 1 on ", "--lrr"]),
    ]
}

/// What a launcher leaves behind when its ranks do not find each other: started by hand, one of "four".
fn worlds_of_one() -> Vec<Case> {
    if !cfg!(feature = "mpi") {
        return Vec::new();
    }
    let started_by = |name: &str, variables: &[(&str, &str)], parts: &[&str]| {
        let run = variables.iter().fold(Run::new("--mode allreduce"), |run, (name, value)| run.env(name, value));
        case(&format!("four worlds of one rank under {name}"), run, 5, parts).on(Launch::Plain)
    };
    vec![
        started_by(
            "srun",
            &[("SLURM_STEP_ID", "0"), ("SLURM_PROCID", "0"), ("SLURM_STEP_NUM_TASKS", "4"), ("SLURM_NTASKS", "4")],
            &["srun", "4 processes", "one rank", "--mpi=pmix"],
        ),
        started_by(
            "mpiexec",
            &[("PMI_RANK", "0"), ("PMI_SIZE", "4")],
            &["mpiexec", "4 processes", "one rank", "mpirun"],
        ),
    ]
}
