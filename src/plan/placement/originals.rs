//! The published planners under our own costs: they see the network through their mobile-edge-cloud model, and where
//! they would put a task is where it runs.
//!
//! # References
//! See [`mec`].

use super::mec::{self, Instance, Mec, Place};
use super::{Ask, PlacementError, Plan, simple};
use crate::device::Tier;

/// The plan of one of them. Its budget is that of the judge, in the model's own money; without one it is endless.
///
/// # Errors
/// When the device file has no edge server or no cloud, or a task may not run where it is put.
pub fn original(method: &'static str, ask: &Ask) -> Result<Plan, PlacementError> {
    let problem = ask.judge.problem;
    let of = |tier: Tier| -> Vec<usize> {
        (0..problem.ranks()).filter(|rank| ask.tiers.get(*rank) == Some(&Some(tier))).collect()
    };
    let (edges, clouds) = (of(Tier::Edge), of(Tier::Cloud));
    for (ranks, name) in [(&edges, "edge"), (&clouds, "cloud")] {
        if ranks.is_empty() {
            return Err(PlacementError::Needs { method, lacks: format!("a rank with tier = \"{name}\"") });
        }
    }
    let instance = Instance::of_graph(problem.graph);
    let budget = ask.judge.limits.budget.unwrap_or(f64::INFINITY);
    let (sep, gcc) = (Mec::edge_cloud(), Mec::cooperating());
    let places = match method {
        "sep" => mec::sep(&instance, &sep, budget),
        "gcc" => mec::gcc(&instance, &gcc, budget),
        _ => mec::hermes(&instance, &sep, budget, mec::EPSILON),
    };
    let source = simple::source(problem);
    let rank = |(task, place): (usize, &Place)| match (problem.pinned[task], place) {
        (Some(pin), _) => pin,
        (None, Place::Local) => source,
        (None, Place::Edge(edge)) => edges[edge % edges.len()],
        (None, Place::Cloud) => clouds[0],
    };
    let plan = Plan::in_order(problem, places.iter().enumerate().map(rank).collect());
    match plan.rank.iter().enumerate().find(|(task, rank)| !problem.allows(*task, **rank)) {
        None => Ok(plan),
        Some((task, _)) => Err(PlacementError::NoRank { task: problem.graph.tasks()[task].name.clone() }),
    }
}
