//! SEP: the published greedy for one edge server and the cloud.
//!
//! Each task, in topological order, goes where it is done first. While that costs too much, the last task in the cloud
//! moves to the edge; where there is none, the last on the edge to the device. While the edge server loses by it, tasks that
//! it loses by move on too. Every move is one step from the cloud over the edge to the device, so 2 N of them are enough.
//!
//! The published text names the second repair without its order. Ours: the last task on the edge that costs the server more
//! than it is paid goes to the device; where there is none, the last in the cloud (each costs the server E_s) to the edge
//! if it pays there, else to the device.
//!
//! # References
//! Chen et al., IEEE TCC 10(4), 2022: the greedy without edge-to-edge cooperation.

use super::model::{LEAST_UTILITY, most};
use super::table::Table;
use super::{Instance, Mec, Place};

const EDGE: Place = Place::Edge(0);

/// Where the greedy puts each task. It uses no edge server but the first. A budget that it cannot meet it exceeds.
///
/// # Panics
/// When the model has no edge server.
pub fn sep(instance: &Instance, mec: &Mec, budget: f64) -> Vec<Place> {
    let table = Table::new(instance, mec);
    let mut places = fastest(&table);
    let mut moves = 2 * instance.tasks();
    while moves > 0 && table.cost(&places) > most(budget) && step_down(&table, &mut places) {
        moves -= 1;
    }
    settle_utility(&table, &mut places, EDGE);
    places
}

fn fastest(table: &Table) -> Vec<Place> {
    let mut places = vec![Place::Local; table.instance.tasks()];
    let mut done = vec![0.0; places.len()];
    for task in table.instance.order() {
        let may = table.places(*task).iter().filter(|place| !matches!(place, Place::Edge(other) if *other > 0));
        let finish = |place: &Place| table.finish(*task, *place, &places, &done);
        // Of equals the first, which is the nearer.
        let best = may.copied().min_by(|a, b| finish(a).total_cmp(&finish(b))).unwrap_or(Place::Local);
        done[*task] = table.finish(*task, best, &places, &done);
        places[*task] = best;
    }
    places
}

/// The repair for the budget: whether there was something to move.
fn step_down(table: &Table, places: &mut [Place]) -> bool {
    let order = table.instance.order().iter().rev();
    let last = |at: Place| order.clone().copied().find(|task| places[*task] == at);
    match (last(Place::Cloud), last(EDGE)) {
        (Some(task), _) => places[task] = EDGE,
        (None, Some(task)) => places[task] = Place::Local,
        (None, None) => return false,
    }
    true
}

/// The repair for the edge servers' utility, also behind Hermes: afterwards it is not negative.
pub(super) fn settle_utility(table: &Table, places: &mut [Place], edge: Place) {
    let order: Vec<usize> = table.instance.order().iter().rev().copied().collect();
    let gain = |task: usize, place: Place| table.entry(task, place).edge_utility;
    for _ in 0..2 * places.len() {
        if table.edge_utility(places) >= LEAST_UTILITY {
            return;
        }
        let at_a_loss = |task: &&usize| matches!(places[**task], Place::Edge(_)) && gain(**task, places[**task]) < 0.0;
        let in_the_cloud = |task: &&usize| places[**task] == Place::Cloud;
        if let Some(task) = order.iter().find(at_a_loss) {
            places[*task] = Place::Local;
        } else if let Some(task) = order.iter().find(in_the_cloud) {
            places[*task] = if gain(*task, edge) > 0.0 { edge } else { Place::Local };
        }
    }
}
