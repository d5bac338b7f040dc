//! What of a network one rank holds that shares it with others: a stage of a pipeline, one side of a split.

use crate::nn::{Flavor, Network, Part, Program, Span, ValueId};
use std::ops::Range;

/// What of a network that is cut into pieces one piece is.
#[derive(Debug, Clone)]
pub(super) struct Share {
    /// The piece as a network of its own.
    pub part: Part,
    /// Its trunk blocks.
    pub blocks: Range<usize>,
    /// Its place in the whole's θ.
    pub theta: Span,
    /// Its place in the whole's σ.
    pub sigma: Span,
    /// The value that it hands on, by the part's own numbers; none at the last piece.
    pub export: Option<ValueId>,
}

impl Share {
    /// The piece `stage` of a network that is cut behind these numbers of blocks.
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

    /// The piece as a program; with gradients of its input, where the piece before asks for them.
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
