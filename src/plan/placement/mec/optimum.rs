//! The optimum by branch and bound: the earliest finish within the budget with the edge servers losing nothing.
//!
//! Tasks are placed in topological order. A branch is cut where even the cheapest places of the tasks ahead exceed the
//! budget, where even their highest gains leave the edge servers a loss, or where some placed task's finish and the
//! shortest way from it to the end are no better than the best so far.

use super::cheapest::cheapest;
use super::improve::Search;
use super::model::{LEAST_UTILITY, most};
use super::table::Table;
use super::{Answer, Instance, Mec, MecError, Place};

/// The best placement there is, if it is found and proved within so many branches; `exact` says whether it was. For small
/// instances: 3 places and 12 tasks take some thousand branches.
///
/// # Errors
/// When nothing meets the budget, with the smallest that works.
pub fn optimum(instance: &Instance, mec: &Mec, budget: f64, branches: u64) -> Result<Answer, MecError> {
    mec.check()?;
    let table = Table::new(instance, mec);
    let mut search = Search::new(&table, budget);
    search.consider(&cheapest(&table));
    search.check_budget()?;
    let exact = prove(&mut search, branches);
    Ok(search.answer(exact))
}

/// Improves on what was found already until nothing can be better, or so many branches were looked at: whether the best is
/// proved.
pub(super) fn prove(search: &mut Search, branches: u64) -> bool {
    let table = search.table;
    let count = table.instance.tasks();
    let mut branching = Branching {
        tail: tails(table),
        ahead: ahead(table),
        places: vec![Place::Local; count],
        done: vec![0.0; count],
        left: branches,
        search,
    };
    branching.branch(0, Partial::default());
    branching.left > 0
}

#[derive(Clone, Copy, Default)]
struct Partial {
    cost: f64,
    utility: f64,
    bound: f64,
}

struct Branching<'a, 'b> {
    search: &'b mut Search<'a>,
    /// By task and place index: the shortest time from its finish to the last one.
    tail: Vec<Vec<f64>>,
    /// By position in the order: the least cost and the highest utility of all tasks from there on.
    ahead: Vec<(f64, f64)>,
    places: Vec<Place>,
    done: Vec<f64>,
    left: u64,
}

impl Branching<'_, '_> {
    fn branch(&mut self, position: usize, so_far: Partial) {
        let table = self.search.table;
        let Some(task) = table.instance.order().get(position).copied() else {
            self.search.consider(&self.places);
            return;
        };
        let mut next: Vec<(Place, f64, Partial)> = Vec::with_capacity(8);
        for place in table.places(task) {
            let (entry, done) = (table.entry(task, *place), table.finish(task, *place, &self.places, &self.done));
            let partial = Partial {
                cost: so_far.cost + entry.cost,
                utility: so_far.utility + entry.edge_utility,
                bound: so_far.bound.max(done + self.tail[task][table.index(*place)]),
            };
            next.push((*place, done, partial));
        }
        next.sort_by(|a, b| a.2.bound.total_cmp(&b.2.bound).then(a.2.cost.total_cmp(&b.2.cost)));
        for (place, done, partial) in next {
            // Checked here and not before: the branch beside it may have found better.
            if self.hopeless(position + 1, &partial) {
                continue;
            }
            if self.left == 0 {
                return;
            }
            self.left -= 1;
            (self.places[task], self.done[task]) = (place, done);
            self.branch(position + 1, partial);
        }
    }

    fn hopeless(&self, position: usize, partial: &Partial) -> bool {
        let (cost, utility) = self.ahead[position];
        partial.cost + cost > most(self.search.budget)
            || partial.utility + utility < LEAST_UTILITY
            || partial.bound >= self.search.finish() * (1.0 - 1e-12)
    }
}

fn tails(table: &Table) -> Vec<Vec<f64>> {
    let mut tails: Vec<Vec<f64>> = vec![Vec::new(); table.instance.tasks()];
    for task in table.instance.order().iter().rev().copied() {
        let behind = |from: Place, next: usize| {
            let at =
                |to: &Place| table.way(next, from, *to) + table.entry(next, *to).time + tails[next][table.index(*to)];
            table.places(next).iter().map(at).fold(f64::INFINITY, f64::min)
        };
        let tail =
            |from: &Place| table.instance.successors(task).iter().map(|next| behind(*from, *next)).fold(0.0, f64::max);
        tails[task] = table.places(task).iter().map(tail).collect();
    }
    tails
}

fn ahead(table: &Table) -> Vec<(f64, f64)> {
    let mut ahead = vec![(0.0, 0.0)];
    for task in table.instance.order().iter().rev().copied() {
        let entries = || table.places(task).iter().map(|place| table.entry(task, *place));
        let least = entries().map(|entry| entry.cost).fold(f64::INFINITY, f64::min);
        let highest = entries().map(|entry| entry.edge_utility).fold(f64::NEG_INFINITY, f64::max);
        let (cost, utility) = ahead[ahead.len() - 1];
        ahead.push((cost + least, utility + highest));
    }
    ahead.reverse();
    ahead
}
