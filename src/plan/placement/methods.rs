//! All methods, by name. A new one is a file and a line here.

use super::{Judge, PlacementError, Plan, anneal, chain, cpop, exact, heft, min_cut, originals, peft, simple};
use crate::device::Tier;

/// What is asked of a method.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    /// What the plan is for, and what it is judged by.
    pub judge: Judge<'a>,
    /// By rank, where it stands; what is unknown may be left out.
    pub tiers: &'a [Option<Tier>],
    /// Of all draws.
    pub seed: u64,
    /// How many plans one annealing tries; the exact search may begin sixteen times as many.
    pub evaluations: usize,
}

/// Schedules that the exact search begins in the time in which an annealing tries one plan, or less.
pub const BEGUN: u64 = 16;

/// Makes a plan. The second argument says whether there is time left: methods that search stop when there is none.
pub type Method = fn(&Ask, &mut dyn FnMut() -> bool) -> Result<Plan, PlacementError>;

/// Every method by its name, the quick ones first.
pub const METHODS: &[(&str, Method)] = &[
    ("local", |ask, _| simple::local(ask.judge.problem)),
    ("edge", |ask, _| simple::on_tier("edge", Tier::Edge, &ask.judge, ask.tiers)),
    ("cloud", |ask, _| simple::on_tier("cloud", Tier::Cloud, &ask.judge, ask.tiers)),
    ("random", |ask, _| simple::random(ask.judge.problem, ask.seed)),
    ("chain", |ask, _| chain(&ask.judge)),
    ("min-cut", |ask, _| min_cut(&ask.judge)),
    ("heft", |ask, _| Ok(heft(ask.judge.problem)?.plan())),
    ("cpop", |ask, _| Ok(cpop(ask.judge.problem)?.plan())),
    ("peft", |ask, _| Ok(peft(ask.judge.problem)?.plan())),
    ("sep", |ask, _| originals::original("sep", ask)),
    ("gcc", |ask, _| originals::original("gcc", ask)),
    ("hermes", |ask, _| originals::original("hermes", ask)),
    ("anneal", annealed),
    ("exact", |ask, _| proven(ask)),
];

/// Annealing that begins with everything on the source.
fn annealed(ask: &Ask, still: &mut dyn FnMut() -> bool) -> Result<Plan, PlacementError> {
    let start = simple::local(ask.judge.problem)?;
    Ok(anneal(&ask.judge, &start, (ask.seed, 0), ask.evaluations, still).0)
}

/// The shortest schedule, where messages do not wait for each other; one that is not known to be the shortest is not.
fn proven(ask: &Ask) -> Result<Plan, PlacementError> {
    let after = BEGUN.saturating_mul(ask.evaluations as u64);
    let found = exact(ask.judge.problem, Some(after))?;
    if found.proven { Ok(found.schedule.plan()) } else { Err(PlacementError::GaveUp { method: "exact", after }) }
}
