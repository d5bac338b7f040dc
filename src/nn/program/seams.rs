//! Where a program may be cut without a trace: between its steps.

use super::{Flavor, Program};
use crate::nn::Network;

impl Program {
    /// Whether a cut behind the first `nodes` nodes goes through a step: two halves then run what is fused here apart, as
    /// a convolution and its pooling, and sum in another order.
    pub fn is_within_step(&self, nodes: usize) -> bool {
        self.steps.iter().any(|step| step.nodes.start < nodes && nodes < step.nodes.end)
    }
}

impl Network {
    /// The indices into [`Network::cuts`] of those that go through a step of the fused program. A network that is cut at
    /// the others only has the whole's outputs and gradients bit for bit, in batches of the same rows.
    pub fn cuts_within_steps(&self) -> Vec<usize> {
        let program = Program::compile(self, Flavor::Fused);
        let cuts = self.cuts().into_iter().enumerate();
        cuts.filter(|(_, nodes)| program.is_within_step(*nodes)).map(|(index, _)| index).collect()
    }
}
