//! Measuring a network on a part of the data.

use super::learner::Weights;
use super::team::team;
use crate::data::{Samples, Visit};
use crate::nn::{Context, Program, Tally, Workspace};
use std::ops::Range;

/// Most rows of one block. Fixed, so that the sums do not depend on the number of threads.
const BLOCK: usize = 256;
/// Bytes of memory that a block should not exceed.
const MEMORY: u64 = 32 << 20;

/// The memory to measure a network with; made once, for the first part that is measured.
pub(super) struct Evaluator<'a> {
    program: &'a Program,
    workspace: Option<Workspace>,
    labels: Vec<u32>,
    ids: Vec<u32>,
}

impl<'a> Evaluator<'a> {
    pub fn new(program: &'a Program) -> Self {
        Self { program, workspace: None, labels: Vec::new(), ids: Vec::new() }
    }

    /// Sums loss and right answers over a range of samples; a block's rows are shared out to the rank's threads.
    pub fn evaluate(&mut self, weights: Weights, samples: &dyn Samples, range: Range<usize>) -> Tally {
        let mut total = Tally::default();
        if range.is_empty() {
            return total;
        }
        let workspace = self.workspace.get_or_insert_with(|| self.program.forward_workspace(block(self.program)));
        for start in range.clone().step_by(workspace.capacity()) {
            let rows = start..(start + workspace.capacity()).min(range.end);
            self.labels.clear();
            self.labels.extend(rows.clone().map(|i| samples.label(i)));
            self.ids.clear();
            self.ids.extend(rows.clone().map(|i| i as u32));
            workspace.begin(rows.len());
            workspace.fill(0, team(), &|b, layout, row| samples.load(rows.start + b, Visit::MEASURE, layout, row));
            let context = Context { team: team(), ..Context::eval(&self.ids, weights.sigma) };
            total += self.program.loss(&context, weights.theta, workspace, &self.labels);
        }
        total
    }
}

/// Rows of a block: as many as fit the memory.
pub(super) fn block(program: &Program) -> usize {
    let each = program.workspace_bytes(2, false) - program.workspace_bytes(1, false);
    ((MEMORY / each.max(1)) as usize).clamp(1, BLOCK)
}
