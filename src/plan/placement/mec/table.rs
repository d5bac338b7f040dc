//! The model's figures by task and place, worked out once for a planner that asks for them often.

use super::model::{LEAST_UTILITY, most};
use super::{Figures, Instance, Mec, Place};
use crate::units::{Joules, Seconds};

/// What one task comes to at one place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub time: f64,
    pub cost: f64,
    pub edge_utility: f64,
    cloud_utility: f64,
    energy: f64,
}

/// An instance under a model.
pub(super) struct Table<'a> {
    pub instance: &'a Instance,
    places: Vec<Place>,
    /// By task and place.
    entries: Vec<Vec<Entry>>,
    /// By task: T_t, T_r and the time from one edge server to another.
    ways: Vec<[f64; 3]>,
}

impl<'a> Table<'a> {
    pub fn new(instance: &'a Instance, mec: &Mec) -> Self {
        let edges = (0..mec.edge_prices.len()).map(Place::Edge);
        let places: Vec<Place> = [Place::Local].into_iter().chain(edges).chain([Place::Cloud]).collect();
        let rate = mec.upload_rate();
        let way = |d: &f64| [d / rate, d / mec.cloud_link, d / mec.edge_link];
        let ways: Vec<[f64; 3]> = instance.data().iter().map(way).collect();
        let entry = |task: usize, place| entry(mec, instance.work()[task], instance.data()[task], &ways[task], place);
        let row = |task: usize| places.iter().map(|place| entry(task, *place)).collect();
        Self { instance, entries: (0..instance.tasks()).map(row).collect(), places, ways }
    }

    /// Where a task may be: the device first, the cloud last.
    pub fn places(&self, task: usize) -> &[Place] {
        if self.instance.on_device(task) { &self.places[..1] } else { &self.places }
    }

    /// The edge servers.
    pub fn edges(&self) -> &[Place] {
        &self.places[1..self.places.len() - 1]
    }

    /// The same place for all tasks that may go there.
    pub fn all(&self, place: Place) -> Vec<Place> {
        let at = |task| if self.instance.on_device(task) { Place::Local } else { place };
        (0..self.instance.tasks()).map(at).collect()
    }

    pub fn entry(&self, task: usize, place: Place) -> &Entry {
        &self.entries[task][self.index(place)]
    }

    /// A place's index among all places.
    pub fn index(&self, place: Place) -> usize {
        match place {
            Place::Local => 0,
            Place::Edge(server) => 1 + server,
            Place::Cloud => self.places.len() - 1,
        }
    }

    /// How long a task at `to` waits for its data behind a predecessor's finish at `from`.
    pub fn way(&self, task: usize, from: Place, to: Place) -> f64 {
        let [upload, relay, across] = self.ways[task];
        match (from, to) {
            (Place::Local, Place::Edge(_)) => upload,
            (Place::Local, Place::Cloud) => upload + relay,
            (Place::Edge(_), Place::Cloud) => relay,
            (Place::Edge(one), Place::Edge(other)) if one != other => across,
            _ => 0.0,
        }
    }

    /// When a task is done at a place, its predecessors being placed and done.
    pub fn finish(&self, task: usize, place: Place, places: &[Place], done: &[f64]) -> f64 {
        let arrival = |before: &usize| done[*before] + self.way(task, places[*before], place);
        let ready = self.instance.predecessors(task).iter().map(arrival).fold(0.0, f64::max);
        ready + self.entry(task, place).time
    }

    pub fn cost(&self, places: &[Place]) -> f64 {
        places.iter().enumerate().map(|(task, place)| self.entry(task, *place).cost).sum()
    }

    pub fn edge_utility(&self, places: &[Place]) -> f64 {
        places.iter().enumerate().map(|(task, place)| self.entry(task, *place).edge_utility).sum()
    }

    /// The last finish alone, in the caller's memory.
    pub fn last_finish(&self, places: &[Place], done: &mut Vec<f64>) -> f64 {
        done.resize(places.len(), 0.0);
        for task in self.instance.order() {
            done[*task] = self.finish(*task, places[*task], places, done);
        }
        done.iter().copied().fold(0.0, f64::max)
    }

    pub fn figures(&self, places: &[Place]) -> Figures {
        let all = || places.iter().enumerate().map(|(task, place)| self.entry(task, *place));
        Figures {
            finish: Seconds(self.last_finish(places, &mut Vec::new())),
            cost: self.cost(places),
            edge_utility: self.edge_utility(places),
            cloud_utility: all().map(|entry| entry.cloud_utility).sum(),
            energy: Joules(all().map(|entry| entry.energy).sum()),
        }
    }

    /// Whether costs are within a budget and the edge servers lose nothing.
    pub fn feasible(&self, places: &[Place], budget: f64) -> bool {
        self.cost(places) <= most(budget) && self.edge_utility(places) >= LEAST_UTILITY
    }
}

/// A row of the table in [`Mec`]'s docs.
fn entry(mec: &Mec, work: f64, data: f64, [upload, relay, _]: &[f64; 3], place: Place) -> Entry {
    let (e_t, e_s) = (mec.transmit_power * upload, mec.relay_power * relay);
    match place {
        Place::Local => {
            let energy = mec.switched_capacitance * work * mec.local_speed.powi(2);
            Entry { time: work / mec.local_speed, cost: energy, edge_utility: 0.0, cloud_utility: 0.0, energy }
        }
        Place::Edge(server) => {
            let (time, paid) = (work / mec.edge_speed, mec.edge_prices[server] * data);
            let used = mec.edge_power.at(mec.edge_speed) * time;
            Entry { time, cost: paid + e_t, edge_utility: paid - used, cloud_utility: 0.0, energy: e_t + used }
        }
        Place::Cloud => {
            let (time, paid) = (work / mec.cloud_speed, mec.cloud_price * data);
            let used = mec.cloud_power.at(mec.cloud_speed) * time;
            let (cost, energy) = (paid + e_t + e_s, e_t + e_s + used);
            Entry { time, cost, edge_utility: -e_s, cloud_utility: paid - used, energy }
        }
    }
}
