//! The memory of a pass: inputs go in as rows, outputs and exports come out as rows.

use crate::nn::{ValueId, Workspace};
use ndarray::ArrayView2;

/// The inputs, inner values and outputs of passes up to a fixed number of rows; one for each thread that asks.
#[derive(Debug)]
pub struct Answers {
    pub(super) workspace: Workspace,
    batch: usize,
}

impl Answers {
    pub(super) fn new(workspace: Workspace) -> Self {
        Self { workspace, batch: 0 }
    }

    /// The rows of the coming pass.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Copies the rows of input `i`, the tensor `i` of [`Part::inputs`](crate::nn::Part::inputs); all inputs of a pass
    /// have as many rows.
    ///
    /// # Shapes
    /// `[B, D]`, pictures in C, H, W order.
    ///
    /// # Panics
    /// If there are more rows than the capacity.
    pub fn assign(&mut self, i: usize, rows: ArrayView2<f32>) {
        self.batch = rows.nrows();
        self.workspace.assign(i, rows);
    }

    /// An output or an export of the last pass, `[B, D]`, pictures in C, H, W order.
    ///
    /// # Panics
    /// If nobody outside sees the value: an inner one.
    pub fn value(&self, id: ValueId) -> ArrayView2<'_, f32> {
        self.workspace.value(id)
    }
}
