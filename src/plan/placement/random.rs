//! Random graphs and costs that tests of planners share.

use super::{Problem, Task, TaskGraph};
use crate::rng::{Purpose, below, shuffle, stream};
use crate::units::{Bytes, Flops, Seconds};
use rand_chacha::ChaCha8Rng;
use std::ops::Range;

/// Random numbers of a test.
pub(super) struct Draws(ChaCha8Rng);

impl Draws {
    pub(super) fn new(test: u64) -> Self {
        Self(stream(7, Purpose::Split, 0, test))
    }

    pub(super) fn within(&mut self, range: Range<usize>) -> usize {
        range.start + below(&mut self.0, range.len() as u64) as usize
    }

    pub(super) fn one_in(&mut self, count: usize) -> bool {
        self.within(0..count) == 0
    }
}

/// Times by task and rank.
pub(super) fn by_ranks(rows: &[&[f64]]) -> Vec<Vec<Seconds>> {
    rows.iter().map(|row| row.iter().copied().map(Seconds).collect()).collect()
}

/// A graph with its costs.
pub(super) struct Case {
    graph: TaskGraph,
    time: Vec<Vec<Seconds>>,
    pinned: Vec<Option<usize>>,
    memory: Vec<Bytes>,
}

impl Case {
    /// Whole numbers, some of them 0; in every fourth case all ranks alike, in every fourth all tasks.
    pub(super) fn random(draws: &mut Draws, tasks: Range<usize>, ranks: Range<usize>) -> Self {
        let (tasks, ranks) = (draws.within(tasks), draws.within(ranks));
        let (alike, equal) = (draws.one_in(4), draws.one_in(4));
        let mut place: Vec<usize> = (0..tasks).collect();
        shuffle(&mut place, &mut draws.0);
        // One edge of each task to an earlier one keeps all in one piece; as many again go anywhere.
        let mut edges = Vec::new();
        for task in (1..tasks).chain(1..tasks) {
            let other = draws.within(0..task);
            let (from, to) = if place[other] < place[task] { (other, task) } else { (task, other) };
            let bytes = Bytes(if equal { 3 } else { draws.within(0..30) as u64 });
            if !edges.iter().any(|(a, b, _)| (*a, *b) == (from, to)) {
                edges.push((from, to, bytes));
            }
        }
        let row = |draws: &mut Draws| match (alike, equal) {
            (true, false) => vec![Seconds(draws.within(0..20) as f64); ranks],
            (false, false) => (0..ranks).map(|_| Seconds(draws.within(0..20) as f64)).collect(),
            (_, true) => (0..ranks).map(|rank| Seconds((4 + rank % 2) as f64)).collect(),
        };
        let time = (0..tasks).map(|_| row(draws)).collect();
        let task =
            |i: usize, memory: usize| Task { name: format!("t{i}"), flops: Flops(1), memory: Bytes(memory as u64) };
        let list = (0..tasks).map(|i| task(i, draws.within(1..6))).collect();
        let graph = TaskGraph::of_edges("random", list, &edges).expect("it is in one piece and has no cycle");
        Self { graph, time, pinned: vec![None; tasks], memory: vec![Bytes(u64::MAX); ranks] }
    }

    /// Pins some tasks, takes some ranks their speed for some, and leaves ranks little memory.
    pub(super) fn restrict(&mut self, draws: &mut Draws) {
        let ranks = self.memory.len();
        for task in 0..self.time.len() {
            if draws.one_in(6) {
                self.pinned[task] = Some(draws.within(0..ranks));
            } else if draws.one_in(6) {
                self.time[task][draws.within(0..ranks)] = Seconds(f64::INFINITY);
            }
        }
        let all: u64 = self.graph.tasks().iter().map(|task| task.memory.0).sum();
        let share = all as usize / ranks;
        self.memory.iter_mut().for_each(|memory| *memory = Bytes(draws.within(share..2 * share + 6) as u64));
    }

    /// As a textbook has it.
    pub(super) fn problem(&self) -> Problem<'_> {
        let textbook = Problem::textbook(&self.graph, self.time.clone());
        Problem { pinned: self.pinned.clone(), memory: self.memory.clone(), ..textbook }
    }
}
