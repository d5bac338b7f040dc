//! What fits where: pins, speeds and memory, kept while a plan grows.
//!
//! A task that only one rank may run has its memory kept free there from the start, so that nobody else takes it.

use super::{PlacementError, Problem, TaskId};
use crate::units::Bytes;

/// The memory that is left, by rank.
#[derive(Debug, Clone)]
pub(super) struct Room {
    left: Vec<u64>,
    /// By task: the rank that keeps memory for it.
    held: Vec<Option<usize>>,
}

impl Room {
    /// All memory, less that of tasks which only one rank may run.
    ///
    /// # Errors
    /// When a task may run nowhere, or those of one rank do not fit there together.
    pub(super) fn new(problem: &Problem) -> Result<Self, PlacementError> {
        let tasks = problem.graph.tasks().len();
        let left = problem.memory.iter().map(|memory| memory.0).collect();
        let mut room = Self { left, held: vec![None; tasks] };
        for task in 0..tasks {
            let mut ranks = (0..problem.ranks()).filter(|rank| problem.allows(task, *rank));
            match (ranks.next(), ranks.next()) {
                (None, _) => return Err(no_rank(problem, task)),
                (Some(_), None) => room.hold(problem, task)?,
                _ => {}
            }
        }
        Ok(room)
    }

    /// Keeps memory for a task on the roomiest rank that may run it: it goes there and nowhere else.
    ///
    /// # Errors
    /// When there is none that has enough.
    pub(super) fn hold(&mut self, problem: &Problem, task: TaskId) -> Result<(), PlacementError> {
        let needs = problem.graph.tasks()[task].memory;
        let allowed = (0..problem.ranks()).filter(|rank| problem.allows(task, *rank));
        // Of equal ones the first.
        let roomiest = allowed.rev().max_by_key(|rank| self.left[*rank]);
        let most = roomiest.map_or(0, |rank| self.left[rank]);
        match roomiest.filter(|_| needs.0 <= most) {
            Some(rank) => {
                self.left[rank] -= needs.0;
                self.held[task] = Some(rank);
                Ok(())
            }
            None => Err(PlacementError::NoRoom {
                task: problem.graph.tasks()[task].name.clone(),
                bytes: needs,
                most: Bytes(most),
            }),
        }
    }

    /// Whether a task may run on a rank and still fits there.
    pub(super) fn fits(&self, problem: &Problem, task: TaskId, rank: usize) -> bool {
        let fits = || problem.graph.tasks()[task].memory.0 <= self.left[rank];
        problem.allows(task, rank) && self.held[task].map_or_else(fits, |held| held == rank)
    }

    /// Puts a task on a rank where it fits.
    pub(super) fn take(&mut self, problem: &Problem, task: TaskId, rank: usize) {
        if self.held[task].is_none() {
            self.left[rank] -= problem.graph.tasks()[task].memory.0;
        }
    }

    /// Takes a task off a rank again.
    pub(super) fn give(&mut self, problem: &Problem, task: TaskId, rank: usize) {
        if self.held[task].is_none() {
            self.left[rank] += problem.graph.tasks()[task].memory.0;
        }
    }

    /// By rank: what is left.
    pub(super) fn left(&self) -> &[u64] {
        &self.left
    }
}

/// The error for a task that may run nowhere.
pub(super) fn no_rank(problem: &Problem, task: TaskId) -> PlacementError {
    PlacementError::NoRank { task: problem.graph.tasks()[task].name.clone() }
}
