//! Ours: the best of all methods, improved by descent and annealing, and proved where branching or labels can.

use super::cheapest::cheapest;
use super::hermes::{EPSILON, hermes};
use super::improve::Search;
use super::labels::by_labels;
use super::optimum::prove;
use super::table::Table;
use super::{Figures, Instance, Mec, MecError, Place, gcc, sep};

/// A plan under a budget.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// By task.
    pub places: Vec<Place>,
    /// What it comes to.
    pub figures: Figures,
    /// Whether nothing is better, rather than nothing that was looked at.
    pub exact: bool,
}

/// How much is looked at. Counts and not a time: the same answer on every machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effort {
    /// The steps of each annealing walk.
    pub steps: u64,
    /// The annealing walks.
    pub walks: u64,
    /// The branches of the proof that is tried first.
    pub branches: u64,
    /// The labels kept a task, where that did not prove it.
    pub labels: usize,
    /// Hermes's ε.
    pub epsilon: f64,
    /// Of the annealing walks' draws.
    pub seed: u64,
}

impl Default for Effort {
    fn default() -> Self {
        Self { steps: 20_000, walks: 3, branches: 20_000, labels: 1_000, epsilon: EPSILON, seed: 0 }
    }
}

/// The best plan found under a budget, never worse than SEP, GCC and Hermes where theirs are plans, nor than everything in
/// one place.
///
/// # Errors
/// When a constant of the model cannot be, or nothing meets the budget; then the message has the smallest that works.
pub fn auto(instance: &Instance, mec: &Mec, budget: f64, effort: &Effort) -> Result<Answer, MecError> {
    mec.check()?;
    let baselines =
        [sep(instance, mec, budget), gcc(instance, mec, budget), hermes(instance, mec, budget, effort.epsilon)];
    auto_from(instance, mec, budget, effort, &baselines)
}

/// The same, never worse than these placements instead of the baselines; one of another length is left out.
///
/// # Errors
/// As [`auto()`].
///
/// # Panics
/// When a placement names an edge server that the model has not.
pub fn auto_from(
    instance: &Instance,
    mec: &Mec,
    budget: f64,
    effort: &Effort,
    also: &[Vec<Place>],
) -> Result<Answer, MecError> {
    mec.check()?;
    let table = Table::new(instance, mec);
    let mut search = Search::new(&table, budget);
    search.consider(&cheapest(&table));
    search.check_budget()?;
    let uniform = [Place::Local].iter().chain(table.edges()).chain([&Place::Cloud]).map(|place| table.all(*place));
    uniform.for_each(|places| {
        search.consider(&places);
    });
    also.iter().filter(|places| places.len() == instance.tasks()).for_each(|places| {
        search.consider(places);
    });
    search.descend();
    // A small instance is proved in less than the walks would take.
    if prove(&mut search, effort.branches) {
        return Ok(search.answer(true));
    }
    for walk in 0..effort.walks {
        search.anneal(effort.steps, effort.seed, walk);
        search.descend();
    }
    let exact = by_labels(&mut search, effort.labels);
    Ok(search.answer(exact))
}
