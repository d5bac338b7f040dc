//! GCC: the published greedy in which edge servers work together.
//!
//! Each task, in topological order: on the device if it is done first there; else in the cloud if that gains by it
//! (price d / E_c >= 1) and does it before every edge server; else on the edge server with the least work so far, of those
//! that its work still fits ([`Mec::max_workload`]). Where it fits none, in the cloud if that gains, else on the device.
//!
//! Then up to a hundred repairs of the budget and as many of the edge servers' utility. The published text names these loops
//! without their order. Ours: the dearest task in the cloud goes to the cheapest edge server with room, where there is no
//! such task the dearest on the edge to the device; and the task that the edge servers lose most by moves on, from the
//! edge to the device, from the cloud to the edge server with room that gains most.
//!
//! # References
//! Chen et al., IEEE TCC 10(4), 2022: the greedy with edge-to-edge cooperation.

use super::model::{LEAST_UTILITY, most};
use super::table::Table;
use super::{Instance, Mec, Place};

const REPAIRS: usize = 100;

/// Where the greedy puts each task. A budget that it cannot meet it exceeds.
pub fn gcc(instance: &Instance, mec: &Mec, budget: f64) -> Vec<Place> {
    let table = Table::new(instance, mec);
    let mut greedy = Greedy {
        places: vec![Place::Local; instance.tasks()],
        load: vec![0.0; table.edges().len()],
        done: vec![0.0; instance.tasks()],
        table,
        mec,
    };
    instance.order().iter().for_each(|task| greedy.place(*task));
    for _ in 0..REPAIRS {
        if greedy.table.cost(&greedy.places) <= most(budget) || !greedy.cheapen() {
            break;
        }
    }
    for _ in 0..REPAIRS {
        if greedy.table.edge_utility(&greedy.places) >= LEAST_UTILITY || !greedy.gain() {
            break;
        }
    }
    greedy.places
}

struct Greedy<'a> {
    table: Table<'a>,
    mec: &'a Mec,
    places: Vec<Place>,
    /// By edge server: the work of its tasks.
    load: Vec<f64>,
    done: Vec<f64>,
}

impl Greedy<'_> {
    fn place(&mut self, task: usize) {
        let finish = |place: Place| self.table.finish(task, place, &self.places, &self.done);
        let first = |places: &[Place]| places.iter().map(|place| finish(*place)).fold(f64::INFINITY, f64::min);
        let place = if finish(Place::Local) <= first(self.table.places(task)) {
            Place::Local
        } else if self.cloud_gains(task) && finish(Place::Cloud) < first(self.table.edges()) {
            Place::Cloud
        } else if let Some(edge) = self.least_loaded(task) {
            edge
        } else if self.cloud_gains(task) {
            Place::Cloud
        } else {
            Place::Local
        };
        self.done[task] = finish(place);
        self.put(task, place);
    }

    fn cloud_gains(&self, task: usize) -> bool {
        let used = self.mec.cloud_power.at(self.mec.cloud_speed) * self.table.entry(task, Place::Cloud).time;
        self.mec.cloud_price * self.table.instance.data()[task] >= used
    }

    fn with_room(&self, task: usize) -> impl Iterator<Item = Place> {
        let fits = move |load: &f64| load + self.table.instance.work()[task] <= self.mec.max_workload;
        self.load.iter().enumerate().filter(move |(_, load)| fits(load)).map(|(server, _)| Place::Edge(server))
    }

    fn least_loaded(&self, task: usize) -> Option<Place> {
        let load = |place: &Place| self.load[self.table.index(*place) - 1];
        self.with_room(task).min_by(|a, b| load(a).total_cmp(&load(b)))
    }

    fn put(&mut self, task: usize, place: Place) {
        let work = self.table.instance.work()[task];
        if let Place::Edge(server) = std::mem::replace(&mut self.places[task], place) {
            self.load[server] -= work;
        }
        if let Place::Edge(server) = place {
            self.load[server] += work;
        }
    }

    /// One repair of the budget: whether there was something to move.
    fn cheapen(&mut self) -> bool {
        let cost = |task: usize| self.table.entry(task, self.places[task]).cost;
        let dearest = |in_cloud: bool| {
            let there = |task: &usize| match self.places[*task] {
                Place::Local => false,
                Place::Edge(_) => !in_cloud,
                Place::Cloud => in_cloud,
            };
            (0..self.places.len()).filter(there).max_by(|a, b| cost(*a).total_cmp(&cost(*b)))
        };
        let (task, place) = match (dearest(true), dearest(false)) {
            (Some(task), _) => {
                let cost = |place: &Place| self.table.entry(task, *place).cost;
                let cheapest = self.with_room(task).min_by(|a, b| cost(a).total_cmp(&cost(b)));
                (task, cheapest.unwrap_or(Place::Local))
            }
            (None, Some(task)) => (task, Place::Local),
            (None, None) => return false,
        };
        self.put(task, place);
        true
    }

    /// One repair of the edge servers' utility: whether there was something to move.
    fn gain(&mut self) -> bool {
        let utility = |task: usize, place: Place| self.table.entry(task, place).edge_utility;
        let now = |task: usize| utility(task, self.places[task]);
        let losing = (0..self.places.len()).filter(|task| now(*task) < 0.0);
        let Some(task) = losing.min_by(|a, b| now(*a).total_cmp(&now(*b))) else { return false };
        let gaining = self.with_room(task).filter(|place| utility(task, *place) > 0.0);
        let most = gaining.max_by(|a, b| utility(task, *a).total_cmp(&utility(task, *b)));
        let place = match self.places[task] {
            Place::Cloud => most.unwrap_or(Place::Local),
            _ => Place::Local,
        };
        self.put(task, place);
        true
    }
}
