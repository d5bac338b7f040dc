//! The tables on MPI: run under `mpirun -n 1..4` (and that of offloading on 5 and 6), and as one rank by plain
//! `cargo test`.
//!
//! Without libtest, because MPI wants all ranks to run the same cases in the same order on one thread. Rank 0 prints
//! a line a case and at the end `N passed, N failed`. A case that fails on any rank ends the job: the other ranks
//! would wait for its messages.

mod cases;

use cases::{Case, conformance, equivalence, grid, local_sgd, offload, pictures, pipeline, split};
use goai::comm::Communicator;
use goai::comm::launcher::Launcher;
use goai::comm::mpi::{MpiComm, abort_on_panic, library};
use std::cell::Cell;
use std::time::Instant;

/// The exit code of a bug of ours.
const BUG: i32 = 101;

thread_local! {
    /// Cases that passed before the one that is running.
    static PASSED: Cell<usize> = const { Cell::new(0) };
    /// The case that is running.
    static RUNNING: Cell<&str> = const { Cell::new("start") };
}

fn main() {
    // `cargo test -- --ignored` and tools that list tests ask for cases that are not here.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--ignored" || argument == "--list") {
        return;
    }
    abort_on_panic(BUG);
    let launcher = Launcher::detect();
    let comm = MpiComm::start(&launcher).expect("MPI starts");
    launcher.check_world(comm.size()).expect("one world of all ranks");
    let say = |line: String| {
        if comm.rank() == 0 {
            println!("{line}");
        }
    };
    print_failures(comm.rank());
    say(format!("{} ranks, {}", comm.size(), library()));
    let tables = [
        ("conformance", conformance::CASES),
        ("equivalence", equivalence::CASES),
        ("grid", grid::CASES),
        ("local steps", local_sgd::CASES),
        ("pictures", pictures::CASES),
        ("pipeline", pipeline::CASES),
        ("split", split::CASES),
        ("offload", offload::CASES),
    ];
    // `mpi offload` runs one table.
    let wanted = |table: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == table);
    for (table, cases) in tables.into_iter().filter(|(table, _)| wanted(table)) {
        for (name, case) in cases as &[Case] {
            let start = Instant::now();
            RUNNING.set(name);
            case(&comm);
            comm.barrier().expect("all ranks finish the case");
            say(format!("{table}: {name} ... ok ({:.2} s)", start.elapsed().as_secs_f64()));
            PASSED.set(PASSED.get() + 1);
        }
    }
    say(format!("{} passed, 0 failed", PASSED.get()));
    comm.finish();
}

/// The count is the last line of a failed run, too: said by the rank that failed, before the job ends.
fn print_failures(rank: usize) {
    let abort = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        println!("{} ... FAILED on rank {rank}\n{} passed, 1 failed", RUNNING.get(), PASSED.get());
        abort(panic);
    }));
}
