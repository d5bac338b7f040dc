//! Offloading: sources and workers as they are, in a thousand worlds.
//!
//! `GOAI_SIM_SEEDS` and `GOAI_SIM_SEED` as for the grid:
//! `GOAI_SIM_SEED=123 cargo test --test sim offload::even -- --nocapture`.

mod case;
mod garbage;
mod losses;
mod planted;
mod run;

use super::seeds::{Protocol, check_replays};
use case::{Case, World};
use goai::comm::simulated::Plan;
use run::{plain, run, tell};
use std::ops::AddAssign;

/// What seeds came to.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    /// Requests with answers, and those that were planned anew.
    answered: usize,
    replanned: usize,
    /// Ranks that were given up.
    lost: usize,
    /// Worlds in which some rank did not come to its end, and in which that was rank 0.
    crashed: usize,
    ended: usize,
    calls: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.answered += other.answered;
        self.replanned += other.replanned;
        self.lost += other.lost;
        self.crashed += other.crashed;
        self.ended += other.ended;
        self.calls += other.calls;
    }
}

/// Half of the seeds.
fn seeds(half: u64) {
    let world = World::new();
    let draw = |seed| {
        let case = Case::draw(seed, &world);
        let plan = case.plan();
        (case, plan)
    };
    let sort = |case: &Case| format!("{} ranks", case.ranks);
    let tell = |case: &Case, plan: &Plan| tell(case, &world, plan, &plain);
    Protocol { module: "offload", count: 1000, draw: &draw, sort: &sort, tell: &tell }.half(half);
}

#[test]
fn a_seed_replays() {
    let world = World::new();
    check_replays(|seed| {
        let case = Case::draw(seed, &world);
        run(&case, &world, case.plan(), &plain).hash
    });
}

#[test]
fn even_seeds() {
    seeds(0);
}

#[test]
fn odd_seeds() {
    seeds(1);
}
