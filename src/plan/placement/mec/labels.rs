//! The optimum by labels: what is kept of all placements of the tasks so far is what may still matter.
//!
//! Tasks are placed in topological order. All that the tasks ahead see of those behind is when their data would be ready
//! at each place, what was spent and what the edge servers gained; a placement that another beats in all of these is
//! dropped. In chains and in chains of blocks few are left, so that graphs are solved which have far too many placements
//! to branch over. Where too many are left even so, they are thinned out evenly by cost, and nothing is proved.
//!
//! # Math
//! A label is also dropped when it cannot lead to anything better. For any λ >= 0 the finish is at least
//! min over the places ahead of (time along a path + λ cost along it) - λ (budget - spent): the Lagrangian relaxation of the
//! budget along the longest path. The λ are those of a grid that bound the whole instance best.

use super::Place;
use super::improve::Search;
use super::model::{LEAST_UTILITY, most};
use super::table::Table;

/// So many λ are used, the best of so many.
const LAMBDAS: usize = 6;
const GRID: i32 = 48;

/// That what leaves enough for anything ahead does so however sums are rounded.
const SLACK: f64 = 1e-9;

/// Improves on what was found already; whether the best is proved. At most `width` labels are kept a task.
pub(super) fn by_labels(search: &mut Search, width: usize) -> bool {
    let table = search.table;
    let labelling = Labelling::new(table, search.budget);
    let mut labels = vec![Label::default()];
    // By trace: the label before and the place of its task. The first is nobody's.
    let mut steps = vec![(0, Place::Local)];
    let mut exact = true;
    for position in 0..table.instance.tasks() {
        let finish = search.finish() * (1.0 - 1e-12);
        let extended = labels.iter().flat_map(|label| labelling.extend(position, label));
        let hopeful = extended.filter(|label| label.bound < finish).collect();
        let mut kept = undominated(hopeful, width * 8);
        exact &= kept.len() <= width;
        thin(&mut kept, width);
        for label in &mut kept {
            steps.push((label.trace, label.place));
            label.trace = steps.len() - 1;
        }
        labels = kept;
    }
    for label in labels {
        let mut places = vec![Place::Local; table.instance.tasks()];
        let mut trace = label.trace;
        for task in table.instance.order().iter().rev() {
            (trace, places[*task]) = steps[trace];
        }
        search.consider(&places);
    }
    exact
}

#[derive(Debug, Clone, Default)]
struct Label {
    /// What was spent; no less than what leaves enough for anything ahead.
    cost: f64,
    /// What the edge servers gained; no more than what makes up for anything ahead.
    utility: f64,
    /// The last finish of the tasks that nobody waits for.
    sunk: f64,
    /// No finish is before this.
    bound: f64,
    /// By pending task and class of places: when its data are there.
    ready: Vec<f64>,
    trace: usize,
    /// Of the task placed last.
    place: Place,
}

/// What the tasks from a position on can add.
#[derive(Clone, Copy, Default)]
struct Ahead {
    least_cost: f64,
    most_cost: f64,
    most_utility: f64,
    most_loss: f64,
}

struct Labelling<'a> {
    table: &'a Table<'a>,
    budget: f64,
    /// By class: one of its places. Edge servers between which data are free are one class.
    classes: Vec<Place>,
    /// By position: the tasks from there on that some task before it hands over to.
    pending: Vec<Vec<usize>>,
    ahead: Vec<Ahead>,
    /// Each λ with, by task and class, the shortest time and λ cost to the end from when its data are there.
    tails: Vec<(f64, Vec<Vec<f64>>)>,
}

impl<'a> Labelling<'a> {
    fn new(table: &'a Table<'a>, budget: f64) -> Self {
        let instance = table.instance;
        let mut classes = vec![Place::Local];
        let apart = |edge: &Place| (0..instance.tasks()).any(|task| table.way(task, table.edges()[0], *edge) > 0.0);
        classes.extend(table.edges().iter().take(1).chain(table.edges().iter().skip(1).filter(|edge| apart(edge))));
        classes.push(Place::Cloud);
        let mut position = vec![0; instance.tasks()];
        instance.order().iter().enumerate().for_each(|(at, task)| position[*task] = at);
        let waits = |at: usize, task: usize| {
            position[task] >= at && instance.predecessors(task).iter().any(|before| position[*before] < at)
        };
        let pending = |at| (0..instance.tasks()).filter(|task| waits(at, *task)).collect();
        let mut it = Self {
            table,
            budget: most(budget),
            classes,
            pending: (0..=instance.tasks()).map(pending).collect(),
            ahead: ahead(table),
            tails: Vec::new(),
        };
        it.tails = it.best_tails();
        it
    }

    fn class(&self, place: Place) -> usize {
        match place {
            Place::Local => 0,
            Place::Cloud => self.classes.len() - 1,
            edge => self.classes.iter().position(|class| *class == edge).unwrap_or(1),
        }
    }

    /// By task and class, with the place's own time and λ cost; edge servers of one class are as good as the cheapest.
    fn tail(&self, lambda: f64) -> Vec<Vec<f64>> {
        let table = self.table;
        let mut tails = vec![vec![f64::INFINITY; self.classes.len()]; table.instance.tasks()];
        for task in table.instance.order().iter().rev().copied() {
            for place in table.places(task) {
                let behind = |next: &usize| {
                    let ready = |class: &Place| table.way(*next, *place, *class);
                    let ends = self.classes.iter().zip(&tails[*next]).map(|(class, tail)| ready(class) + tail);
                    ends.fold(f64::INFINITY, f64::min)
                };
                let entry = table.entry(task, *place);
                let rest = table.instance.successors(task).iter().map(behind).fold(0.0, f64::max);
                let class = self.class(*place);
                tails[task][class] = tails[task][class].min(entry.time + lambda * entry.cost + rest);
            }
        }
        tails
    }

    fn best_tails(&self) -> Vec<(f64, Vec<Vec<f64>>)> {
        let rootless = |task: &usize| self.table.instance.predecessors(*task).is_empty();
        let roots: Vec<usize> = (0..self.table.instance.tasks()).filter(rootless).collect();
        let bound = |lambda: f64, tails: &[Vec<f64>]| {
            let first = |root: &usize| tails[*root].iter().copied().fold(f64::INFINITY, f64::min);
            roots.iter().map(first).fold(0.0, f64::max) - lambda * self.budget
        };
        let free = self.tail(0.0);
        // A λ is a time that a unit of money is worth.
        let unit = bound(0.0, &free).max(1e-9) / self.budget.max(1e-9);
        let grid = (0..GRID).map(|step| unit * 2.0_f64.powf(f64::from(step - GRID / 2) / 4.0));
        let mut all: Vec<_> = grid.map(|lambda| (lambda, self.tail(lambda))).collect();
        all.sort_by(|a, b| bound(b.0, &b.1).total_cmp(&bound(a.0, &a.1)));
        all.truncate(LAMBDAS);
        all.push((0.0, free));
        all
    }

    /// A label with the next task at each place that constraints leave open.
    fn extend(&self, position: usize, label: &Label) -> Vec<Label> {
        let task = self.table.instance.order()[position];
        let ahead = self.ahead[position + 1];
        let mut next = Vec::with_capacity(8);
        for place in self.table.places(task) {
            let entry = self.table.entry(task, *place);
            let (cost, utility) = (label.cost + entry.cost, label.utility + entry.edge_utility);
            if cost + ahead.least_cost > self.budget || utility + ahead.most_utility < LEAST_UTILITY {
                continue;
            }
            let classes = self.classes.len();
            let ready = self.pending[position].iter().position(|it| *it == task);
            let ready = ready.map_or(0.0, |slot| label.ready[slot * classes + self.class(*place)]);
            let done = ready + entry.time;
            let alone = self.table.instance.successors(task).is_empty();
            let mut it = Label {
                cost: cost.max(self.budget - ahead.most_cost * (1.0 + SLACK) - self.budget.abs() * SLACK),
                utility: utility.min(ahead.most_loss),
                sunk: if alone { label.sunk.max(done) } else { label.sunk },
                bound: 0.0,
                ready: self.ready(position, label, (task, *place, done)),
                trace: label.trace,
                place: *place,
            };
            it.bound = self.bound(position + 1, &it);
            next.push(it);
        }
        next
    }

    fn ready(&self, position: usize, label: &Label, (task, place, done): (usize, Place, f64)) -> Vec<f64> {
        let classes = self.classes.len();
        let mut ready = Vec::with_capacity(self.pending[position + 1].len() * classes);
        for waiting in &self.pending[position + 1] {
            let slot = self.pending[position].iter().position(|it| it == waiting);
            let follows = self.table.instance.predecessors(*waiting).contains(&task);
            for (index, class) in self.classes.iter().enumerate() {
                let before = slot.map_or(0.0, |slot| label.ready[slot * classes + index]);
                let arrival = if follows { done + self.table.way(*waiting, place, *class) } else { 0.0 };
                ready.push(before.max(arrival));
            }
        }
        ready
    }

    fn bound(&self, position: usize, label: &Label) -> f64 {
        let mut bound = label.sunk;
        for (waiting, ready) in self.pending[position].iter().zip(label.ready.chunks(self.classes.len())) {
            for (lambda, tails) in &self.tails {
                let ends = ready.iter().zip(&tails[*waiting]).map(|(ready, tail)| ready + tail);
                bound = bound.max(ends.fold(f64::INFINITY, f64::min) - lambda * (self.budget - label.cost));
            }
        }
        bound
    }
}

fn ahead(table: &Table) -> Vec<Ahead> {
    let mut all = vec![Ahead::default()];
    for task in table.instance.order().iter().rev().copied() {
        let entries = || table.places(task).iter().map(|place| table.entry(task, *place));
        let least = |figures: &mut dyn Iterator<Item = f64>| figures.fold(f64::INFINITY, f64::min);
        let behind = all[all.len() - 1];
        all.push(Ahead {
            least_cost: behind.least_cost + least(&mut entries().map(|entry| entry.cost)),
            most_cost: behind.most_cost - least(&mut entries().map(|entry| -entry.cost)),
            most_utility: behind.most_utility - least(&mut entries().map(|entry| -entry.edge_utility)),
            most_loss: behind.most_loss - least(&mut entries().map(|entry| entry.edge_utility)).min(0.0),
        });
    }
    all.reverse();
    all
}

/// Those that no other beats in everything, the cheapest first; `limit` of them are enough to know that it is too many.
fn undominated(mut all: Vec<Label>, limit: usize) -> Vec<Label> {
    all.sort_by(|a, b| a.cost.total_cmp(&b.cost).then(a.bound.total_cmp(&b.bound)));
    let mut kept: Vec<Label> = Vec::new();
    for label in all {
        let beaten = kept.len() < limit && kept.iter().rev().any(|other| beats(other, &label));
        if !beaten {
            kept.push(label);
        }
    }
    kept
}

/// Whether a label that is no dearer is no worse in anything else.
fn beats(one: &Label, other: &Label) -> bool {
    // The bound follows from all the rest; asked first, it is who is not beaten that is known soon.
    one.bound <= other.bound * (1.0 + 1e-12)
        && one.utility >= other.utility
        && one.sunk <= other.sunk
        && one.ready.iter().zip(&other.ready).all(|(one, other)| one <= other)
}

/// Leaves so many labels: of each of as many runs of similar cost the most promising.
fn thin(labels: &mut Vec<Label>, width: usize) {
    if labels.len() > width {
        let run = labels.len().div_ceil(width.max(1));
        let best = |run: &[Label]| run.iter().min_by(|a, b| a.bound.total_cmp(&b.bound)).cloned();
        *labels = labels.chunks(run).filter_map(best).collect();
    }
}
