//! The cheapest placement whose edge servers lose nothing: the smallest budget that works.
//!
//! Costs and utilities add up over tasks whatever the graph is, so tasks are gone through in any order, keeping of all
//! placements so far those that no other beats in both. Everything on the device is a plan (its utility is zero) and costs
//! next to nothing, so what is dearer is dropped at once and hardly anything is kept.

use super::Place;
use super::model::LEAST_UTILITY;
use super::table::Table;

/// So many are kept at most; beyond it the answer is only the cheapest of those looked at.
const KEPT: usize = 20_000;

#[derive(Clone)]
struct Partial {
    cost: f64,
    utility: f64,
    places: Vec<Place>,
}

/// The cheapest placement with utility not negative.
pub(super) fn cheapest(table: &Table) -> Vec<Place> {
    let local = table.all(Place::Local);
    let most = table.cost(&local);
    let tasks = table.instance.tasks();
    let affordable = |task: usize| {
        let entries = table.places(task).iter().map(move |place| (*place, *table.entry(task, *place)));
        entries.filter(move |(_, entry)| entry.cost <= most)
    };
    let best = |task| affordable(task).map(|(_, entry)| entry.edge_utility).fold(0.0, f64::max);
    let mut ahead: f64 = (0..tasks).map(best).sum();
    let mut kept = vec![Partial { cost: 0.0, utility: 0.0, places: Vec::new() }];
    for task in 0..tasks {
        ahead -= best(task);
        let mut next = Vec::new();
        for partial in &kept {
            for (place, entry) in affordable(task) {
                let (cost, utility) = (partial.cost + entry.cost, partial.utility + entry.edge_utility);
                if cost <= most && utility + ahead >= LEAST_UTILITY {
                    let places = partial.places.iter().copied().chain([place]).collect();
                    next.push(Partial { cost, utility, places });
                }
            }
        }
        kept = undominated(next);
    }
    kept.into_iter().next().map_or(local, |partial| partial.places)
}

/// By cost, each with more utility than all before it.
fn undominated(mut all: Vec<Partial>) -> Vec<Partial> {
    all.sort_by(|a, b| a.cost.total_cmp(&b.cost).then(b.utility.total_cmp(&a.utility)));
    let mut highest = f64::NEG_INFINITY;
    all.retain(|partial| {
        partial.utility > highest && {
            highest = partial.utility;
            true
        }
    });
    all.truncate(KEPT);
    all
}
