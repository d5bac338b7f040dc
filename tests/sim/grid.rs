//! The grid: server and workers as they are, in thousands of worlds.

use super::check::{check, must, server};
use super::job::{Run, Wrap, plain, run};
use super::oracle::{Arrange, by_chunk};
use super::setup::{Case, Dice, World};
use goai::comm::simulated::{Fault, Plan};
use goai::event::Applied;
use goai::plan::quorum::Rule;
use goai::strategy::Ending;
use std::time::Duration;

/// What a seed came to.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    pub seeds: usize,
    pub finished: usize,
    pub resumed: usize,
    pub crashed: usize,
    pub calls: u64,
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
    plan.limit = span * 200 + Duration::from_secs(30);
    plan
}

/// Trains, and where training did not finish, goes on from what was saved until it does. Everything is checked.
pub fn tell(case: &Case, world: &World, plan: &Plan, wrap: Wrap, arrange: Arrange) -> Result<Counts, String> {
    let mut counts = Counts { seeds: 1, ..Counts::default() };
    let first = run(case, world, plan.clone(), None, wrap);
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
    let saved = first.book.saved.as_ref();
    let kept = saved.map_or(0, |state| state.cursor.step as usize);
    must!(kept <= first.book.applied.len(), "the saved state is at step {kept}, which was never applied");
    let healthy = Plan { faults: Vec::new(), ..plan.clone() };
    let second = run(case, world, healthy.clone(), saved, wrap);
    trace(&second);
    counts.calls += second.outcome.calls;
    let mut applied: Vec<Applied> = first.book.applied[..kept].to_vec();
    applied.extend(second.book.applied.iter().cloned());
    check(case, world, &healthy, &second, &applied, kept, arrange)
        .map_err(|words| format!("gone on from step {kept}: {words}"))?;
    let finished = matches!(server(&second), Some(Ok(end)) if end.ending == Ending::Finished);
    must!(finished, "gone on from step {kept}: it did not finish");
    counts.resumed += 1;
    Ok(counts)
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

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Half of the seeds: two tests side by side use two cores.
fn seeds(half: u64) {
    let world = World::new();
    if let Some(seed) = number("GOAI_SIM_SEED") {
        if half == 0 {
            let case = Case::draw(seed, Rule::ALL);
            let plan = Plan { trace: true, ..plan(&case) };
            println!("{case:#?}\n{plan:#?}");
            tell(&case, &world, &plan, &plain, &by_chunk).unwrap();
        }
        return;
    }
    let (start, count) = (std::time::Instant::now(), number("GOAI_SIM_SEEDS").unwrap_or(2000));
    let (mut total, mut failures) = (Counts::default(), Vec::new());
    for seed in (0..count).filter(|seed| seed % 2 == half) {
        let case = Case::draw(seed, Rule::ALL);
        match tell(&case, &world, &plan(&case), &plain, &by_chunk) {
            Err(words) => {
                let (rule, faults) = (case.grid.rule.name(), plan(&case).faults);
                failures.push(format!("seed {seed} ({rule}): {words}; {faults:?}"));
            }
            Ok(counts) => {
                total.seeds += 1;
                total.finished += counts.finished;
                total.resumed += counts.resumed;
                total.crashed += counts.crashed;
                total.calls += counts.calls;
            }
        }
    }
    println!("{total:?} in {:.1} s", start.elapsed().as_secs_f64());
    let first = failures.first().and_then(|words| words.split(' ').nth(1)).unwrap_or_default();
    assert!(
        failures.is_empty(),
        "{} of {} seeds failed; GOAI_SIM_SEED={first} cargo test --test sim grid::even -- --nocapture replays the first\n{}",
        failures.len(),
        failures.len() + total.seeds,
        failures.iter().take(20).cloned().collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn even_seeds() {
    seeds(0);
}

#[test]
fn odd_seeds() {
    seeds(1);
}
