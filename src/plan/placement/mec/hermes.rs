//! Hermes: the polynomial approximation scheme that the published work compares itself with.
//!
//! A dynamic programme over (task, place, latency in whole quanta) holds the least cost at which a task and all that it waits
//! for can be done in time; the answer is the shortest latency within the budget. A quantum is a fixed part of a bound on
//! the latency, and the bound is halved as long as the answer stays below half of it.
//!
//! **Where the guarantee holds.** On serial trees (each task has at most one successor) and without the constraint on the
//! edge servers' utility, the latency is at most (1 + ε) of the least. Other graphs are planned as the tree that is left
//! when each task hands over only to the successor at the head of the longest work behind it: the budget is
//! still met, as costs add up, but the guarantee is gone. The utility is repaired afterwards as [`sep`](super::sep()) does,
//! towards the edge server that pays best. This is the "modified Hermes" as far as its source is known.
//!
//! # Math
//! With l tasks on the longest path and the bound T a quantum is δ = ε T / (4 l). Times are rounded up once a task: an answer
//! of k quanta lies within l δ = ε T / 4 of the least latency. When k δ > T / 2 the least is above T / 2 - ε T / 4 >= T / 4, so
//! the answer is within (1 + ε) of it; else T is halved.
//!
//! # References
//! Kao, Krishnamachari, Ra, Bai, *Hermes: latency optimal task assignment for resource-constrained mobile computing*, INFOCOM
//! 2015; IEEE Transactions on Mobile Computing 16(11), 2017, 3056-3069.

use super::cheapest::cheapest;
use super::model::most;
use super::sep::settle_utility;
use super::table::Table;
use super::{Instance, Mec, Place};

/// The published ε.
pub const EPSILON: f64 = 0.01;

/// Enough to halve any bound down to nothing.
const ROUNDS: usize = 1_100;

/// Where Hermes puts each task. A budget that nothing meets it exceeds, by the cheapest placement.
///
/// # Panics
/// When ε is not in (0, 1].
pub fn hermes(instance: &Instance, mec: &Mec, budget: f64, epsilon: f64) -> Vec<Place> {
    hermes_for_all(instance, mec, &[budget], epsilon).remove(0)
}

/// The same for several budgets: a round's programme serves all of them.
///
/// # Panics
/// When ε is not in (0, 1].
pub fn hermes_for_all(instance: &Instance, mec: &Mec, budgets: &[f64], epsilon: f64) -> Vec<Vec<Place>> {
    let table = Table::new(instance, mec);
    let best_payer = |table: &Table| {
        let paid = |place: &Place| mec.edge_prices[table.index(*place) - 1];
        table.edges().iter().copied().max_by(|a, b| paid(a).total_cmp(&paid(b))).unwrap_or(Place::Local)
    };
    let mut all = on_tree(&table, budgets, epsilon);
    all.iter_mut().for_each(|places| settle_utility(&table, places, best_payer(&table)));
    all
}

/// The scheme without the repair of the utility.
pub(super) fn on_tree(table: &Table, budgets: &[f64], epsilon: f64) -> Vec<Vec<Place>> {
    assert!(epsilon > 0.0 && epsilon <= 1.0, "an epsilon in (0, 1], not {epsilon}");
    let tree = Tree::new(table.instance);
    let mut all = vec![cheapest(table); budgets.len()];
    let mut open: Vec<usize> = (0..budgets.len()).collect();
    let mut bound = tree.most_latency(table);
    for _ in 0..ROUNDS {
        let round = Round::new(table, &tree, bound, epsilon);
        open.retain(|index| match round.least_level(budgets[*index]) {
            Some(level) => {
                all[*index] = round.places(level);
                level > 0 && level as f64 * round.quantum <= bound / 2.0
            }
            None => false,
        });
        if open.is_empty() {
            break;
        }
        bound /= 2.0;
    }
    all
}

/// A graph, each task handing over to one successor only.
struct Tree {
    /// By task: whose only successor it is.
    children: Vec<Vec<usize>>,
    /// Who hands over to nobody.
    roots: Vec<usize>,
    /// The tasks on the longest path.
    depth: usize,
}

impl Tree {
    fn new(instance: &Instance) -> Self {
        let count = instance.tasks();
        let mut behind = vec![0.0; count];
        let (mut children, mut roots) = (vec![Vec::new(); count], Vec::new());
        for task in instance.order().iter().rev().copied() {
            let heads = instance.successors(task).iter().copied();
            // Of equals the first.
            let head = heads.reduce(|one, other| if behind[other] > behind[one] { other } else { one });
            behind[task] = instance.work()[task] + head.map_or(0.0, |head| behind[head]);
            head.map_or(&mut roots, |head| &mut children[head]).push(task);
        }
        let mut depths = vec![1; count];
        for task in instance.order() {
            depths[*task] = 1 + children[*task].iter().map(|child| depths[*child]).max().unwrap_or(0);
        }
        Self { children, roots, depth: depths.into_iter().max().unwrap_or(1) }
    }

    /// A latency that no placement exceeds.
    fn most_latency(&self, table: &Table) -> f64 {
        let longest = |task: usize| {
            let slowest = table.places(task).iter().map(|place| table.entry(task, *place).time).fold(0.0, f64::max);
            let pairs = table
                .edges()
                .iter()
                .chain([&Place::Local])
                .flat_map(|from| table.places(task).iter().map(|to| table.way(task, *from, *to)));
            slowest + pairs.fold(0.0, f64::max)
        };
        (0..table.instance.tasks()).map(longest).sum()
    }
}

/// The dynamic programme of one bound.
struct Round<'a> {
    table: &'a Table<'a>,
    tree: &'a Tree,
    quantum: f64,
    levels: usize,
    /// By task, place index and level: the least cost of it and its subtree.
    least: Vec<Vec<Vec<f64>>>,
}

impl<'a> Round<'a> {
    fn new(table: &'a Table<'a>, tree: &'a Tree, bound: f64, epsilon: f64) -> Self {
        let quantum = epsilon * bound / (4.0 * tree.depth as f64);
        let levels = (4.0 * tree.depth as f64 / epsilon).ceil() as usize + tree.depth + 1;
        let mut it = Self { table, tree, quantum, levels, least: vec![Vec::new(); table.instance.tasks()] };
        for task in table.instance.order() {
            it.least[*task] = table.places(*task).iter().map(|place| it.row(*task, *place)).collect();
        }
        it
    }

    /// The whole quanta that a task takes behind a child at some place; all of them where that is too long.
    fn quanta(&self, task: usize, from: Place, to: Place) -> usize {
        let time = self.table.entry(task, to).time + self.table.way(task, from, to);
        if time <= 0.0 { 0 } else { ((time / self.quantum).ceil() as usize).min(self.levels) }
    }

    fn row(&self, task: usize, to: Place) -> Vec<f64> {
        let mut row = vec![self.table.entry(task, to).cost; self.levels];
        if self.tree.children[task].is_empty() {
            row[..self.quanta(task, to, to)].fill(f64::INFINITY);
        }
        let mut best = vec![0.0; self.levels];
        for child in &self.tree.children[task] {
            best.fill(f64::INFINITY);
            for (from, costs) in self.table.places(*child).iter().zip(&self.least[*child]) {
                let late = &mut best[self.quanta(task, *from, to)..];
                late.iter_mut().zip(costs).for_each(|(best, cost)| *best = best.min(*cost));
            }
            row.iter_mut().zip(&best).for_each(|(row, best)| *row += best);
        }
        row
    }

    fn cheapest_at(&self, task: usize, level: usize) -> f64 {
        self.least[task].iter().map(|row| row[level]).fold(f64::INFINITY, f64::min)
    }

    /// The shortest latency within a budget.
    fn least_level(&self, budget: f64) -> Option<usize> {
        let costs = |level: usize| self.tree.roots.iter().map(|root| self.cheapest_at(*root, level)).sum::<f64>();
        // More time never costs more: the first level that is cheap enough is found by halving.
        let (mut low, mut high) = (0, self.levels);
        while low < high {
            let middle = low.midpoint(high);
            if costs(middle) <= most(budget) { high = middle } else { low = middle + 1 }
        }
        (low < self.levels).then_some(low)
    }

    fn places(&self, level: usize) -> Vec<Place> {
        let mut places = vec![Place::Local; self.table.instance.tasks()];
        let mut next: Vec<(usize, usize)> = Vec::new();
        for root in &self.tree.roots {
            let cost = |place: &Place| self.least[*root][self.table.index(*place)][level];
            places[*root] = cheapest_of(self.table.places(*root), cost);
            next.push((*root, level));
        }
        while let Some((task, level)) = next.pop() {
            for child in &self.tree.children[task] {
                let left = |from: Place| level.checked_sub(self.quanta(task, from, places[task]));
                let cost = |from: &Place| {
                    left(*from).map_or(f64::INFINITY, |left| self.least[*child][self.table.index(*from)][left])
                };
                let from = cheapest_of(self.table.places(*child), cost);
                next.push((*child, left(from).unwrap_or(0)));
                places[*child] = from;
            }
        }
        places
    }
}

fn cheapest_of(places: &[Place], cost: impl Fn(&Place) -> f64) -> Place {
    places.iter().copied().min_by(|a, b| cost(a).total_cmp(&cost(b))).unwrap_or(Place::Local)
}
