//! A search under a budget: the best plan so far, local improvement, and annealing.

use super::model::{LEAST_UTILITY, most};
use super::table::Table;
use super::{Answer, MecError, Place};
use crate::rng::{Purpose, below, stream, unit};
use rand_chacha::ChaCha8Rng;

/// Finishes as near as this are equal; then the cheaper is better.
const EQUAL: f64 = 1e-12;

/// The best plan so far.
pub(super) struct Search<'a> {
    pub table: &'a Table<'a>,
    pub budget: f64,
    best: Option<(f64, f64, Vec<Place>)>,
    done: Vec<f64>,
}

impl<'a> Search<'a> {
    pub fn new(table: &'a Table<'a>, budget: f64) -> Self {
        Self { table, budget, best: None, done: Vec::new() }
    }

    /// Takes a placement if it is a plan and better: earlier, or as early and cheaper. Whether it did.
    pub fn consider(&mut self, places: &[Place]) -> bool {
        if !self.table.feasible(places, self.budget) {
            return false;
        }
        let finish = self.table.last_finish(places, &mut self.done);
        let cost = self.table.cost(places);
        let better = self.best.as_ref().is_none_or(|(best, least, _)| {
            finish < best * (1.0 - EQUAL) || finish <= *best && cost < least * (1.0 - EQUAL)
        });
        if better {
            self.best = Some((finish, cost, places.to_vec()));
        }
        better
    }

    /// Of the best; infinite where there is none.
    pub fn finish(&self) -> f64 {
        self.best.as_ref().map_or(f64::INFINITY, |best| best.0)
    }

    /// The best; everything on the device where there is none.
    pub fn places(&self) -> Vec<Place> {
        self.best.as_ref().map_or_else(|| self.table.all(Place::Local), |best| best.2.clone())
    }

    /// To be asked when the cheapest placement was considered: is there a plan?
    pub fn check_budget(&self) -> Result<(), MecError> {
        match self.best {
            Some(_) => Ok(()),
            None => {
                let least = self.table.cost(&super::cheapest::cheapest(self.table));
                Err(MecError::Budget { given: self.budget, least })
            }
        }
    }

    /// What was found.
    pub fn answer(self, exact: bool) -> Answer {
        let places = self.places();
        Answer { figures: self.table.figures(&places), places, exact }
    }

    /// Moves single tasks, and runs of tasks that follow each other in the order, to one place as long as that helps.
    pub fn descend(&mut self) {
        let order = self.table.instance.order();
        let all: Vec<Place> = [Place::Local].iter().chain(self.table.edges()).chain([&Place::Cloud]).copied().collect();
        let mut helped = true;
        while helped {
            helped = false;
            for length in 1..=order.len() {
                for run in order.windows(length) {
                    for place in &all {
                        let mut places = self.places();
                        run.iter().for_each(|task| put(self.table, &mut places, *task, *place));
                        helped |= self.consider(&places);
                    }
                }
            }
        }
    }

    /// Simulated annealing from the best: moves of one task, of a run, or two tasks changing places; what breaks a
    /// constraint is paid for and not forbidden, so that the walk may cross.
    ///
    /// # References
    /// Kirkpatrick, Gelatt, Vecchi, *Optimization by simulated annealing*, Science 220, 1983.
    pub fn anneal(&mut self, steps: u64, seed: u64, walk: u64) {
        let mut draws = stream(seed, Purpose::Placement, 0, walk);
        let mut now = self.places();
        let scale = self.finish().max(f64::MIN_POSITIVE);
        let mut energy = self.energy(&now, scale);
        for step in 0..steps {
            let heat = 0.1 * 1e-4_f64.powf(step as f64 / steps as f64);
            let mut next = now.clone();
            self.step(&mut next, &mut draws);
            let other = self.energy(&next, scale);
            if other <= energy || unit(&mut draws) < ((energy - other) / heat).exp() {
                self.consider(&next);
                (now, energy) = (next, other);
            }
        }
    }

    /// The finish in parts of the first one, a little of the cost so that slack is used, and the price of broken limits.
    fn energy(&mut self, places: &[Place], scale: f64) -> f64 {
        let unit = self.budget.abs().max(1e-9);
        let (cost, utility) = (self.table.cost(places), self.table.edge_utility(places));
        let over = (cost - most(self.budget)).max(0.0) + (LEAST_UTILITY - utility).max(0.0);
        self.table.last_finish(places, &mut self.done) / scale + 0.01 * (cost / unit).min(1.0) + 2.0 * over / unit
    }

    fn step(&self, places: &mut [Place], draws: &mut ChaCha8Rng) {
        let order = self.table.instance.order();
        let mut draw = |count: usize| below(draws, count as u64) as usize;
        let from = draw(order.len());
        let place = match draw(self.table.edges().len() + 2) {
            0 => Place::Local,
            1 => Place::Cloud,
            edge => self.table.edges()[edge - 2],
        };
        match draw(4) {
            0 => {
                let (one, other) = (order[from], order[draw(order.len())]);
                let (here, there) = (places[one], places[other]);
                put(self.table, places, one, there);
                put(self.table, places, other, here);
            }
            1 => {
                let to = from + 1 + draw(order.len() - from);
                order[from..to].iter().for_each(|task| put(self.table, places, *task, place));
            }
            _ => put(self.table, places, order[from], place),
        }
    }
}

/// Moves a task unless it has to stay on the device.
fn put(table: &Table, places: &mut [Place], task: usize, place: Place) {
    if !table.instance.on_device(task) {
        places[task] = place;
    }
}
