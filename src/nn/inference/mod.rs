//! A network made ready to be asked: its parameters do not change any more.
//!
//! What training must keep apart is brought together once: batch normalizations of running statistics are multiplied
//! into the layer before, shortcuts are added and ReLUs taken before the sums leave the registers, weights are packed,
//! and values share memory as soon as nobody reads them. Whoever holds an [`Inference`] shares it among threads, each
//! with its own [`Answers`]. The naive program is its oracle.

mod answers;
mod chains;
mod compile;
mod run;
#[cfg(test)]
mod tests;
mod weights;

pub use answers::Answers;

use super::kernels::conv::FrozenConv;
use super::kernels::norm::NormKernel;
use super::kernels::pool::PoolKernel;
use super::kernels::{Activation, DenseKernel};
use super::program::{Arena, Life, Slot, SlotId};
use super::{Network, Shape, Span, StepInfo, Team};
use std::ops::Range;

/// One step of a pass.
#[derive(Debug, Clone)]
enum Op {
    /// A convolution and what follows it; the second input is added.
    Conv(FrozenConv),
    /// A dense layer and the activation behind it.
    Dense { kernel: DenseKernel, activation: Activation },
    /// A scale and a shift of each channel.
    Affine(NormKernel),
    /// A pool of windows.
    Pool(PoolKernel),
    /// The mean of each channel, as rows.
    GlobalMean,
    /// The sum of pictures; of one, for its ReLU.
    Sum { relu: bool },
    /// Pictures behind one another.
    Concat { relu: bool },
    /// A layer as it is written down, on rows.
    Layer { node: usize },
    /// The same value in the other form.
    Relayout,
}

#[derive(Debug, Clone)]
struct Step {
    op: Op,
    /// The nodes that run together; none where a value only changes its form.
    nodes: Vec<usize>,
    inputs: Vec<SlotId>,
    output: SlotId,
    /// Where its weights are.
    weights: Range<usize>,
    sigma: Span,
}

/// What a pass does, and what memory it needs.
#[derive(Debug, Clone, Default)]
struct Plan {
    steps: Vec<Step>,
    slots: Vec<Slot>,
    /// The shape of each slot's value.
    shapes: Vec<Shape>,
    /// The slot that holds a value as rows, where one does.
    rows: Vec<Option<SlotId>>,
    /// The slots of the inputs.
    inputs: Vec<SlotId>,
    lives: Vec<Life>,
    /// Floats of all weights.
    weights: usize,
    /// Floats that a convolution needs for a picture.
    scratch: usize,
    /// Floats that a dense layer needs.
    packed: usize,
    /// Floats of a row that a layer without a kernel writes beside the values.
    aside: usize,
}

/// A network, or a part of one, with its parameters: forward passes alone. Immutable, shared by threads.
#[derive(Debug)]
pub struct Inference {
    network: Network,
    plan: Plan,
    weights: Arena,
    sigma: Vec<f32>,
}

impl Inference {
    /// Makes a network ready; `theta` and `sigma` are not looked at afterwards.
    ///
    /// # Shapes
    /// `theta`: `[P]`, `sigma`: `[S]`, those of `network`.
    ///
    /// # Panics
    /// If they have other lengths.
    pub fn new(network: &Network, theta: &[f32], sigma: &[f32]) -> Self {
        assert_eq!((theta.len(), sigma.len()), (network.theta_len(), network.sigma_len()), "this network's θ and σ");
        let plan = compile::compile(network);
        let weights = weights::pack(network, &plan, theta, sigma);
        Self { network: network.clone(), plan, weights, sigma: sigma.to_vec() }
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Memory for passes of up to `capacity` rows.
    pub fn answers(&self, capacity: usize) -> Answers {
        Answers::new(&self.plan, capacity)
    }

    /// Bytes of the weights.
    pub fn weight_bytes(&self) -> u64 {
        4 * self.plan.weights as u64
    }

    /// Bytes of [`Answers`] for `capacity` rows.
    pub fn answer_bytes(&self, capacity: usize) -> u64 {
        self.plan.bytes(capacity)
    }

    /// The steps of a pass, in order.
    pub fn steps(&self) -> Vec<StepInfo> {
        let info = |step: &Step| {
            let names: Vec<&str> = step.nodes.iter().map(|n| self.network.spec().nodes[*n].name.as_str()).collect();
            let name = if names.is_empty() { "change of layout".into() } else { names.join(" + ") };
            StepInfo { name, cost: step.nodes.iter().map(|n| self.network.nodes()[*n].cost).sum() }
        };
        self.plan.steps.iter().map(info).collect()
    }

    /// Computes what the network's outputs and exports are for the inputs that were assigned. Allocates nothing, but for
    /// layers without a fast kernel.
    pub fn run(&self, answers: &mut Answers, team: &dyn Team) {
        (0..self.plan.steps.len()).for_each(|step| self.step(step, answers, team));
    }

    /// As [`Inference::run`], with `around` around each step: it gets the step's number and must do the work.
    pub fn profile(&self, answers: &mut Answers, team: &dyn Team, around: &mut dyn FnMut(usize, &mut dyn FnMut())) {
        (0..self.plan.steps.len()).for_each(|step| around(step, &mut || self.step(step, answers, team)));
    }
}
