//! The conformance table in a simulated world: whatever the schedule, the simulated communicator is one.

use crate::cases::conformance::CASES;
use goai::comm::Communicator;
use goai::comm::simulated::{Plan, run_simulated};

/// The cases look at the real clock only where that says so.
fn conform(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let ranks = 1 + seed as usize % 4;
        for (name, case) in CASES.iter().filter(|(name, _)| !name.ends_with("by the real clock")) {
            println!("seed {seed}, {ranks} simulated ranks: {name}");
            let outcome = run_simulated(ranks, Plan::new(seed), |comm| {
                case(comm);
                comm.barrier().unwrap();
            });
            outcome.results();
        }
    }
}

#[test]
fn simulated_ranks_conform() {
    conform(0..16);
}

#[test]
fn simulated_ranks_conform_in_other_schedules() {
    conform(16..32);
}
