//! A schedule that grows task by task: the earliest gap on a rank that a task fits into.
//!
//! # References
//! The insertion policy of Topcuoglu, Hariri, Wu, IEEE TPDS 13(3), 2002, section 5.1.

use crate::plan::placement::room::Room;
use crate::plan::placement::{Problem, Schedule, Slot, TaskId};
use crate::units::Seconds;

/// Tasks that have their slots, and what is left.
pub struct Timetable<'a> {
    problem: &'a Problem<'a>,
    slots: Vec<Slot>,
    /// By rank: when it is busy, from and until, ascending and apart.
    busy: Vec<Vec<(f64, f64)>>,
    room: Room,
}

impl<'a> Timetable<'a> {
    /// Nothing placed yet.
    pub fn new(problem: &'a Problem<'a>, room: Room) -> Self {
        let nowhere = Slot { rank: 0, start: Seconds(0.0), end: Seconds(0.0) };
        let slots = vec![nowhere; problem.graph.tasks().len()];
        Self { problem, slots, busy: vec![Vec::new(); problem.ranks()], room }
    }

    /// The earliest slot on each rank where a task may run and fits; its predecessors have to be placed.
    pub fn slots(&self, task: TaskId) -> impl Iterator<Item = Slot> {
        let ranks = (0..self.problem.ranks()).filter(move |rank| self.room.fits(self.problem, task, *rank));
        ranks.map(move |rank| {
            let takes = self.problem.time[task][rank];
            let start = Seconds(self.gap(rank, self.inputs_at(task, rank), takes.0));
            Slot { rank, start, end: start + takes }
        })
    }

    /// When all that a task reads is on a rank.
    fn inputs_at(&self, task: TaskId, rank: usize) -> f64 {
        let arrival = |(before, bytes)| {
            let Slot { rank: from, end, .. } = self.slots[before];
            end.0 + self.problem.message(from, rank, bytes).0
        };
        self.problem.graph.predecessors(task).map(arrival).fold(0.0, f64::max)
    }

    /// The first moment from `ready` on at which a rank is free for so long.
    fn gap(&self, rank: usize, ready: f64, takes: f64) -> f64 {
        let busy = &self.busy[rank];
        let mut start = ready;
        for (from, until) in &busy[busy.partition_point(|(_, until)| *until <= ready)..] {
            if start + takes <= *from {
                break;
            }
            start = start.max(*until);
        }
        start
    }

    /// Gives a task a slot of [`Timetable::slots`].
    pub fn place(&mut self, task: TaskId, slot: Slot) {
        let busy = &mut self.busy[slot.rank];
        let at = busy.partition_point(|(_, until)| *until <= slot.start.0);
        busy.insert(at, (slot.start.0, slot.end.0));
        self.slots[task] = slot;
        self.room.take(self.problem, task, slot.rank);
    }

    /// The schedule, when all tasks are placed.
    pub fn schedule(self) -> Schedule {
        Schedule { slots: self.slots }
    }
}
