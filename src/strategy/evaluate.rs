//! Measuring a network on a part of the data.

use crate::data::{Layout, Samples, Visit};
use crate::nn::{Context, Program, Tally};
use rayon::prelude::*;
use std::ops::Range;

/// Rows of one block. Fixed, so that the sums do not depend on the number of threads.
const BLOCK: usize = 256;

/// Sums loss and right answers over a range of samples; blocks run on rayon's threads.
pub fn evaluate(program: &Program, theta: &[f32], sigma: &[f32], samples: &dyn Samples, range: Range<usize>) -> Tally {
    let blocks: Vec<Range<usize>> =
        range.clone().step_by(BLOCK).map(|start| start..(start + BLOCK).min(range.end)).collect();
    let measure = |block: &Range<usize>| {
        let mut workspace = program.workspace(block.len());
        let mut rows = workspace.input(0, block.len());
        for (i, mut row) in block.clone().zip(rows.rows_mut()) {
            let row = row.as_slice_mut().expect("rows are contiguous");
            samples.load(i, Visit::MEASURE, Layout::vector(row.len()), row);
        }
        let labels: Vec<u32> = block.clone().map(|i| samples.label(i)).collect();
        let ids: Vec<u32> = block.clone().map(|i| i as u32).collect();
        program.loss(&Context::eval(&ids, sigma), theta, &mut workspace, &labels)
    };
    let tallies: Vec<Tally> = match blocks.len() {
        0 | 1 => blocks.iter().map(measure).collect(),
        _ => blocks.par_iter().map(measure).collect(),
    };
    let mut total = Tally::default();
    for tally in tallies {
        total += tally;
    }
    total
}
