//! What each output says after a forward pass: its loss, its right answers, and the gradient it leaves.

use super::{Program, Workspace};
use crate::nn::{Context, Tally};

impl Program {
    /// The loss and the right answers at output `output` of [`Network::outputs`](crate::nn::Network::outputs), after a
    /// forward pass. Its logits are [`Workspace::value`] of its value.
    ///
    /// # Shapes
    /// `labels`: `[B]`.
    pub fn tally(&self, ws: &Workspace, output: usize, labels: &[u32]) -> Tally {
        let output = self.network.outputs()[output];
        output.loss.evaluate(ws.value(output.value), labels, None)
    }

    /// As [`Program::tally`]; also leaves the gradient of that loss for the backward pass. Outputs left out of a pass
    /// teach nothing in it.
    pub fn tally_and_gradient(&self, ws: &mut Workspace, output: usize, labels: &[u32]) -> Tally {
        let output = self.network.outputs()[output];
        let (value, gradient) = ws.output(output.value);
        output.loss.evaluate(value, labels, Some(gradient))
    }

    /// Sums the losses of all outputs and leaves their gradients; right answers are counted at the last output.
    pub fn losses(&self, ws: &mut Workspace, labels: &[u32]) -> Tally {
        self.total(|output| self.tally_and_gradient(ws, output, labels))
    }

    /// Runs forward and sums the losses of all outputs; right answers are counted at the last output.
    pub fn loss(&self, context: &Context, theta: &[f32], ws: &mut Workspace, labels: &[u32]) -> Tally {
        self.forward(context, theta, ws);
        self.total(|output| self.tally(ws, output, labels))
    }

    fn total(&self, of: impl FnMut(usize) -> Tally) -> Tally {
        let add = |total: Tally, tally: Tally| Tally { loss: total.loss + tally.loss, ..tally };
        (0..self.network.outputs().len()).map(of).fold(Tally::default(), add)
    }
}
