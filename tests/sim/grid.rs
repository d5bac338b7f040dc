//! The grid: server and workers as they are, in thousands of worlds.

use super::check::{check, must, server};
use super::job::{Run, Wrap, plain, run};
use super::oracle::{Arrange, by_chunk};
use super::seeds::{Protocol, check_replays};
use super::setup::{Case, Dice, ROWS, World};
use goai::comm::simulated::{Fault, Plan};
use goai::event::Applied;
use goai::plan::quorum::Rule;
use goai::strategy::Ending;
use std::ops::AddAssign;
use std::time::Duration;

/// What seeds came to.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    pub finished: usize,
    pub resumed: usize,
    pub crashed: usize,
    pub calls: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.finished += other.finished;
        self.resumed += other.resumed;
        self.crashed += other.crashed;
        self.calls += other.calls;
    }
}

/// The world of a seed and what goes wrong in it. At least one worker stays able to work, unless all leave or crash:
/// where everybody who could work is frozen for ever, so is training, until somebody ends it from outside.
pub fn plan(case: &Case) -> Plan {
    let plan = Plan::new(case.seed);
    let (calls, span) = case.measure(&plan);
    let mut plan = plan.with_drawn_faults(case.ranks, calls, span);
    let healthy = 1 + Dice::new(case.seed ^ 0x51).below(case.ranks - 1);
    let for_ever = plan.faults.iter().any(|f| matches!(f, Fault::Freeze { until: Duration::MAX, .. }));
    for fault in &mut plan.faults {
        if let Fault::Freeze { rank, from, until } = fault
            && *until == Duration::MAX
            && (*rank == 0 || *rank == healthy)
        {
            *until = *from + Duration::from_secs(2);
        }
    }
    if for_ever {
        let ends =
            |fault: &Fault| matches!(fault, Fault::Crash { rank, .. } | Fault::Leave { rank, .. } if *rank == healthy);
        plan.faults.retain(|fault| !ends(fault));
    }
    if Dice::new(case.seed ^ 0x52).below(2) == 0 {
        // So short that silence comes and goes while training goes on.
        plan.heartbeat = span / 16;
    }
    plan.limit = span * 200 + Duration::from_secs(30);
    plan
}

/// Trains (as `running` says, which is `case` where no bug is planted), and where training did not finish, goes on from what was saved until it does. Everything is checked.
pub fn tell(
    running: &Case,
    case: &Case,
    world: &World,
    plan: &Plan,
    wrap: Wrap,
    arrange: Arrange,
) -> Result<Counts, String> {
    let mut counts = Counts::default();
    let first = run(running, world, plan.clone(), None, wrap);
    trace(&first);
    counts.calls += first.outcome.calls;
    check(case, world, plan, &first, &first.book.applied, 0, arrange)?;
    counts.crashed += usize::from(first.outcome.ends.iter().any(|end| end.returned().is_none()));
    match server(&first) {
        Some(Ok(end)) if end.ending == Ending::Finished => {
            counts.finished += 1;
            return Ok(counts);
        }
        _ => {}
    }
    let saved = first.book.saved;
    let kept = saved.as_ref().map_or(0, |state| state.cursor.step as usize);
    must!(kept <= first.book.applied.len(), "the saved state is at step {kept}, which was never applied");
    let mut applied: Vec<Applied> = first.book.applied[..kept].to_vec();
    // Every second time what goes on is hit as well, and what goes on from that is not.
    let mut saved = saved;
    for again in Dice::new(case.seed ^ 0x53).below(2)..2 {
        let plan = match again {
            0 => Plan { faults: self::plan(&Case { seed: !case.seed, ..other_ranks(case) }).faults, ..plan.clone() },
            _ => Plan { faults: Vec::new(), ..plan.clone() },
        };
        let before = applied.len();
        let (running, case) = (other_ranks(running), other_ranks(case));
        let run = run(&running, world, plan.clone(), saved.as_ref(), wrap);
        trace(&run);
        counts.calls += run.outcome.calls;
        counts.resumed += 1;
        applied.extend(run.book.applied.iter().cloned());
        let context = |words| format!("gone on from step {before}: {words}; {:?}", plan.faults);
        check(&case, world, &plan, &run, &applied, before, arrange).map_err(context)?;
        if matches!(server(&run), Some(Ok(end)) if end.ending == Ending::Finished) {
            return Ok(counts);
        }
        must!(again == 0, "gone on from step {before}: it did not finish");
        saved = run.book.saved.or(saved);
        applied.truncate(saved.as_ref().map_or(0, |state| state.cursor.step as usize));
    }
    unreachable!("the last one finished or was found out")
}

/// The same training with another number of ranks, if its rule can have that: what goes on from a checkpoint may.
fn other_ranks(case: &Case) -> Case {
    let ranks = 2 + Dice::new(case.seed ^ 0x54).below(5);
    let fits = case.grid.check(ROWS, &case.hyper, ranks - 1).is_ok();
    Case { ranks: if fits { ranks } else { case.ranks }, ..case.clone() }
}

fn trace(run: &Run) {
    run.outcome.trace.iter().for_each(|line| println!("{line}"));
    if !run.outcome.trace.is_empty() {
        println!(
            "ends: {:?}",
            run.outcome.ends.iter().map(|end| end.returned().map(|r| r.as_ref().map(|e| e.cursor))).collect::<Vec<_>>()
        );
    }
}

/// Half of the seeds.
fn seeds(half: u64) {
    let world = World::new();
    let draw = |seed| {
        let case = Case::draw(seed, Rule::ALL);
        let plan = plan(&case);
        (case, plan)
    };
    let sort = |case: &Case| case.grid.rule.name().to_owned();
    let tell = |case: &Case, plan: &Plan| tell(case, case, &world, plan, &plain, &by_chunk);
    Protocol { module: "grid", count: 2000, draw: &draw, sort: &sort, tell: &tell }.half(half);
}

#[test]
fn a_seed_replays() {
    let world = World::new();
    check_replays(|seed| {
        let case = Case::draw(seed, Rule::ALL);
        run(&case, &world, plan(&case), None, &plain).outcome.hash
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
