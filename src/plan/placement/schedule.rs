//! A plan, and the times that a textbook gives it.

use super::{Problem, TaskId};
use crate::units::{Bytes, Seconds};

/// Who does what, and what a rank does first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Plan {
    /// By task: its rank.
    pub rank: Vec<usize>,
    /// By task: its place among all; of the tasks that could run, a rank takes the smallest.
    pub place: Vec<usize>,
}

impl Plan {
    /// A plan whose ranks take tasks in the graph's own order.
    pub fn in_order(problem: &Problem, rank: Vec<usize>) -> Self {
        let mut place = vec![0; rank.len()];
        problem.graph.order().iter().enumerate().for_each(|(at, task)| place[*task] = at);
        Self { rank, place }
    }

    /// The ranks that do anything, ascending.
    pub fn ranks(&self) -> Vec<usize> {
        let mut ranks = self.rank.clone();
        ranks.sort_unstable();
        ranks.dedup();
        ranks
    }

    /// By rank: what its tasks need.
    pub fn held(&self, problem: &Problem) -> Vec<Bytes> {
        let mut held = vec![Bytes(0); problem.ranks()];
        for (rank, task) in self.rank.iter().zip(problem.graph.tasks()) {
            held[*rank] = Bytes(held[*rank].0.saturating_add(task.memory.0));
        }
        held
    }

    /// Bytes by which the fullest rank overflows; 0 where all fits.
    pub fn overflow(&self, problem: &Problem) -> (usize, Bytes) {
        let held = self.held(problem);
        let over = |rank: usize| held[rank].0.saturating_sub(problem.memory[rank].0);
        let rank = (0..held.len()).max_by_key(|rank| over(*rank)).unwrap_or(0);
        (rank, Bytes(over(rank)))
    }
}

/// When and where a task runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slot {
    /// Its rank.
    pub rank: usize,
    /// When it begins.
    pub start: Seconds,
    /// When it is done.
    pub end: Seconds,
}

/// One request's tasks in time, as a list scheduler lays them out: messages do not wait for each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// By task.
    pub slots: Vec<Slot>,
}

impl Schedule {
    /// When all is done.
    pub fn makespan(&self) -> Seconds {
        self.slots.iter().fold(Seconds(0.0), |latest, slot| if slot.end > latest { slot.end } else { latest })
    }

    /// The plan that it is of: a rank takes tasks in the order of their beginnings.
    pub fn plan(&self) -> Plan {
        let mut order: Vec<TaskId> = (0..self.slots.len()).collect();
        order.sort_by(|a, b| self.slots[*a].start.0.total_cmp(&self.slots[*b].start.0).then(a.cmp(b)));
        let mut place = vec![0; order.len()];
        order.iter().enumerate().for_each(|(at, task)| place[*task] = at);
        Plan { rank: self.slots.iter().map(|slot| slot.rank).collect(), place }
    }

    /// Checks that every task takes its time, on one rank that may do it, behind its inputs, never two at once.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self, problem: &Problem) -> Result<(), String> {
        const ROUNDING: f64 = 1e-9;
        let names = problem.graph.tasks();
        for (task, slot) in self.slots.iter().enumerate() {
            let name = &names[task].name;
            if !problem.allows(task, slot.rank) {
                return Err(format!("'{name}' may not run on rank {}", slot.rank));
            }
            let takes = slot.end - slot.start;
            if slot.start.0 < 0.0 || (takes.0 - problem.time[task][slot.rank].0).abs() > ROUNDING {
                return Err(format!("'{name}' takes {takes} on rank {}", slot.rank));
            }
            for (before, bytes) in problem.graph.predecessors(task) {
                let other = self.slots[before];
                let ready = other.end + problem.message(other.rank, slot.rank, bytes);
                if slot.start.0 < ready.0 - ROUNDING {
                    return Err(format!("'{name}' begins at {} and its input is there at {ready}", slot.start));
                }
            }
        }
        for (task, a) in self.slots.iter().enumerate() {
            for (other, b) in self.slots.iter().enumerate().skip(task + 1) {
                let apart = a.end.0 <= b.start.0 + ROUNDING || b.end.0 <= a.start.0 + ROUNDING;
                if a.rank == b.rank && !apart {
                    return Err(format!(
                        "'{}' and '{}' run at once on rank {}",
                        names[task].name, names[other].name, a.rank
                    ));
                }
            }
        }
        Ok(())
    }
}
