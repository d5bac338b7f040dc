//! HEFT: each task, in the order of its upward rank, to the rank where it ends first.
//!
//! # References
//! Topcuoglu, Hariri, Wu, *Performance-effective and low-complexity task scheduling for heterogeneous computing*, IEEE
//! TPDS 13(3), 2002.

use super::list;
use super::ranks::Means;
use crate::plan::placement::{PlacementError, Problem, Schedule};

/// Heterogeneous earliest finish time.
///
/// Takes tasks by falling upward rank, of equals the first, and gives each the earliest gap in which it ends first.
///
/// # Errors
/// When a task may run nowhere or does not fit.
///
/// # References
/// Topcuoglu, Hariri, Wu, IEEE TPDS 13(3), 2002.
pub fn heft(problem: &Problem) -> Result<Schedule, PlacementError> {
    list(problem, &Means::of(problem).upward(), |_, slot| slot.end.0)
}
