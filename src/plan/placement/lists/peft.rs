//! PEFT: HEFT that looks ahead, to what a rank means for all that comes after.
//!
//! # References
//! Arabnejad, Barbosa, *List scheduling algorithm for heterogeneous systems by an optimistic cost table*, IEEE TPDS
//! 25(3), 2014.

use super::list;
use super::ranks::Means;
use crate::plan::placement::{PlacementError, Problem, Schedule, Slot};

/// Predict earliest finish time.
///
/// Takes, of the tasks that are ready, the one with the highest mean of its row in the optimistic cost table, and gives
/// it to the rank with the least sum of its end and its entry there.
///
/// # Errors
/// When a task may run nowhere or does not fit.
///
/// # References
/// Arabnejad, Barbosa, IEEE TPDS 25(3), 2014.
pub fn peft(problem: &Problem) -> Result<Schedule, PlacementError> {
    let table = Means::of(problem).optimistic();
    let mean = |row: &Vec<f64>| row.iter().sum::<f64>() / row.len() as f64;
    let priority: Vec<f64> = table.iter().map(mean).collect();
    list(problem, &priority, |task, slot: &Slot| slot.end.0 + table[task][slot.rank])
}
