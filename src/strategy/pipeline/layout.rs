//! Which rank is which stage, and what of the network it holds.

use crate::nn::{Flavor, Network, Part, Program, Span, ValueId};
use std::ops::Range;

/// A rank's place: stages × replicas. Neighbouring ranks are replicas of one stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub stages: usize,
    pub replicas: usize,
    pub stage: usize,
    pub replica: usize,
}

impl Place {
    /// The place of `rank` among `size` ranks, a multiple of `stages`.
    pub fn of(rank: usize, size: usize, stages: usize) -> Self {
        let replicas = size / stages;
        Self { stages, replicas, stage: rank / replicas, replica: rank % replicas }
    }

    /// The rank that holds `stage` in the same chain.
    pub fn rank(self, stage: usize) -> usize {
        stage * self.replicas + self.replica
    }

    /// The ranks that hold replicas of this rank's stage.
    pub fn twins(self) -> Vec<usize> {
        (0..self.replicas).map(|replica| self.stage * self.replicas + replica).collect()
    }

    pub fn is_first(self) -> bool {
        self.stage == 0
    }

    pub fn is_last(self) -> bool {
        self.stage + 1 == self.stages
    }

    /// Where activations come from.
    pub fn before(self) -> Option<usize> {
        self.stage.checked_sub(1).map(|stage| self.rank(stage))
    }

    /// Where activations go.
    pub fn after(self) -> Option<usize> {
        (!self.is_last()).then(|| self.rank(self.stage + 1))
    }
}

/// What of the whole network a stage is.
#[derive(Debug, Clone)]
pub(super) struct Share {
    /// The stage as a network of its own.
    pub part: Part,
    /// Its trunk blocks.
    pub blocks: Range<usize>,
    /// Its place in the whole's θ.
    pub theta: Span,
    /// Its place in the whole's σ.
    pub sigma: Span,
    /// The value that it hands on, by the part's own numbers; none at the last stage.
    pub export: Option<ValueId>,
}

impl Share {
    /// The share of `stage` when the network is cut behind these numbers of blocks.
    ///
    /// # Panics
    /// If there are no such cuts: the configuration was checked against the network.
    pub fn of(network: &Network, cuts: &[usize], stage: usize) -> Self {
        let places = network.cuts();
        let blocks = places.len() + 1;
        let block = |cut: usize| cuts.get(cut).copied().unwrap_or(blocks);
        let node = |block: usize| match block {
            0 => 0,
            block => places.get(block - 1).copied().unwrap_or(network.nodes().len()),
        };
        let first = if stage == 0 { 0 } else { block(stage - 1) };
        let blocks = first..block(stage);
        let nodes: Vec<usize> = (node(blocks.start)..node(blocks.end)).collect();
        let part = network.part(&nodes).expect("a part of a network that was built");
        let whole = |spans: &[Span]| Span {
            start: spans.first().map_or(0, |span| span.start),
            len: spans.iter().map(|span| span.len).sum(),
        };
        let (theta, sigma) = (whole(&part.theta), whole(&part.sigma));
        let export = part.network.exports().first().copied();
        Self { part, blocks, theta, sigma, export }
    }

    /// The stage as a program; with gradients of its input, where the stage before asks for them.
    pub fn program(&self, input_gradients: bool, kept_gradients: bool) -> Program {
        let mut program = Program::compile(&self.part.network, Flavor::Fused);
        if input_gradients {
            program = program.with_input_gradients();
        }
        if kept_gradients { program.with_kept_gradients() } else { program }
    }

    /// Elements of a sample that are handed on.
    pub fn handed_on(&self) -> usize {
        self.export.map_or(0, |value| self.part.network.shapes()[value].elements())
    }

    /// The names of its first and last node.
    pub fn named(&self) -> String {
        let nodes = &self.part.network.spec().nodes;
        match (nodes.first(), nodes.last()) {
            (Some(first), Some(last)) if first.name != last.name => format!("{}..{}", first.name, last.name),
            (Some(first), _) => first.name.clone(),
            _ => String::new(),
        }
    }
}
