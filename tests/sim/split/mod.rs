//! Split learning: server and devices as they are, in a thousand worlds.
//!
//! `GOAI_SIM_SEEDS` and `GOAI_SIM_SEED` as for the grid:
//! `GOAI_SIM_SEED=123 cargo test --test sim split::even -- --nocapture`.

mod case;
mod check;
mod garbage;
mod mutant;
mod oracle;
mod planted;
mod run;

use super::check::{must, server};
use super::job::{Run, Wrap, plain};
use super::seeds::{self, check_replays};
use super::setup::{Dice, World};
use case::{Case, PROTOCOLS};
use check::{History, check};
use goai::comm::simulated::Plan;
use goai::optim::Rule as Optim;
use goai::strategy::{Ending, Protocol, Snapshot};
use run::run;
use std::ops::AddAssign;

/// What seeds came to.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    finished: usize,
    resumed: usize,
    crashed: usize,
    /// Whose weights were compared with the reference's.
    known: usize,
    calls: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.finished += other.finished;
        self.resumed += other.resumed;
        self.crashed += other.crashed;
        self.known += other.known;
        self.calls += other.calls;
    }
}

/// Trains, and where training did not finish, goes on from what was saved until it does. Everything is checked.
fn tell(case: &Case, world: &World, plan: &Plan, wrap: Wrap) -> Result<Counts, String> {
    let mut counts = Counts::default();
    let mut history = History { rounds: Vec::new(), whole: true, complete: true };
    let (mut saved, mut plan) = (None::<Snapshot>, plan.clone());
    // What goes on is hit as well every second time, and what goes on from that is not.
    for again in 0..3 {
        let done = run(case, world, plan.clone(), saved.as_ref(), wrap);
        trace(&done);
        counts.calls += done.outcome.calls;
        counts.crashed += usize::from(done.outcome.ends.iter().any(|end| end.returned().is_none()));
        history.rounds.extend(done.book.rounds.iter().map(|(_, records)| records.clone()));
        let from = |words| if again > 0 { format!("gone on: {words}; {:?}", plan.faults) } else { words };
        check(case, world, &plan, &done, &history).map_err(from)?;
        counts.known += usize::from(history.whole && check::is_known(case, &plan));
        if matches!(server(&done), Some(Ok(end)) if end.ending == Ending::Finished) {
            counts.finished += usize::from(again == 0);
            return Ok(counts);
        }
        must!(again == 0 || !plan.faults.is_empty(), "gone on without faults it did not finish");
        let gone = done.book.notes.iter().any(|note| note.contains("lost") || note.contains("leaves"));
        let dead = done.outcome.ends[1..].iter().any(|end| end.returned().is_none());
        saved = done.book.saved.or(saved);
        let steps = saved.as_ref().map_or(0, |state| state.cursor.step);
        history.rounds.truncate(rounds_before(case, steps));
        // Whoever died or left took along what its optimizer remembered, and maybe samples.
        history.whole &=
            saved.is_none() || !(gone || dead) || (case.hyper.rule == Optim::Sgd && check::is_known(case, &plan));
        history.complete &= !(gone || dead);
        if saved.is_none() {
            (history.whole, history.complete) = (true, true);
        }
        let hit = again == 0 && Dice::new(case.seed ^ 0x5919).below(2) == 0;
        let faults = Case { seed: !case.seed, ..case.clone() }.plan().faults;
        plan.faults = if hit { faults } else { Vec::new() };
        counts.resumed += 1;
    }
    Err("the third run was to finish".into())
}

/// How many rounds so many steps are.
fn rounds_before(case: &Case, steps: u64) -> usize {
    let all = case.steps() as u64;
    let each = case.split.round_steps.map_or(all, |steps| steps.get()).min(all).max(1);
    (steps / all.max(1) * all.div_ceil(each) + (steps % all.max(1)).div_ceil(each)) as usize
}

fn trace(run: &Run) {
    run.outcome.trace.iter().for_each(|line| println!("{line}"));
}

/// Half of the seeds.
fn seeds(half: u64) {
    let world = case::world();
    let draw = |seed| {
        let case = Case::draw(seed, &PROTOCOLS);
        let plan = case.plan();
        (case, plan)
    };
    let sort = |case: &Case| case.split.protocol.name().to_owned();
    let tell = |case: &Case, plan: &Plan| tell(case, &world, plan, &plain);
    seeds::Protocol { module: "split", count: 1000, draw: &draw, sort: &sort, tell: &tell }.half(half);
}

#[test]
fn a_seed_replays() {
    let world = case::world();
    check_replays(|seed| {
        let case = Case::draw(seed, &PROTOCOLS);
        run(&case, &world, case.plan(), None, &plain).outcome.hash
    });
}

/// Without faults every protocol makes the reference's weights, and the same ones in any schedule.
#[test]
fn calm_worlds_make_the_same_weights_in_any_schedule() {
    let world = case::world();
    for protocol in PROTOCOLS {
        for seed in 0..12 {
            let case = Case::draw(seed, &[protocol]);
            let weights = |schedule: u64| {
                let plan = Plan { faults: Vec::new(), ..Plan::new(schedule) };
                let done = run(&case, &world, plan.clone(), None, &plain);
                let rounds = done.book.rounds.iter().map(|(_, records)| records.clone()).collect();
                check(&case, &world, &plan, &done, &History { rounds, whole: true, complete: true })
                    .unwrap_or_else(|words| panic!("{} {seed}: {words}", protocol.name()));
                let end = server(&done).unwrap().as_ref().unwrap().theta.clone();
                end.into_iter().map(f32::to_bits).collect::<Vec<u32>>()
            };
            // Where cuts follow from measured times, they follow from the schedule.
            let free = case.is_adaptive() && matches!(protocol, Protocol::SplitFedV1 | Protocol::SplitFedV2);
            assert!(free || (1..4).all(|schedule| weights(schedule) == weights(99)), "{} {seed}", protocol.name());
        }
    }
}

#[test]
fn even_seeds() {
    seeds(0);
}

#[test]
fn odd_seeds() {
    seeds(1);
}
