//! The two sides of a network at every cut.

use crate::device::{Pass, Work};
use crate::nn::{Cost, Network, Program};
use crate::strategy::share::Share;
use crate::units::Flops;
use std::cell::OnceCell;
use std::ops::Range;

/// One side at one cut.
pub(super) struct Side {
    pub share: Share,
    pub program: Program,
}

impl Side {
    /// Bytes of its weights, their gradient, what the optimizer keeps, and a workspace, predicted.
    pub fn memory(&self, rows: usize, vectors: usize) -> u64 {
        let weights = 4 * self.share.part.network.theta_len() as u64;
        weights * (2 + vectors as u64) + self.program.workspace_bytes(rows, true)
    }
}

/// The sides of a network, compiled when they are first needed.
pub(super) struct Sides<'n> {
    network: &'n Network,
    /// By cut, from 0.
    device: Vec<OnceCell<Side>>,
    server: Vec<OnceCell<Side>>,
}

impl<'n> Sides<'n> {
    pub fn new(network: &'n Network) -> Self {
        let empty = || (0..=network.cuts().len() + 1).map(|_| OnceCell::new()).collect();
        Self { network, device: empty(), server: empty() }
    }

    /// Trunk blocks of the whole: the cut at which the server has none.
    pub fn blocks(&self) -> usize {
        self.device.len() - 1
    }

    /// What a device holds; nothing at cut 0.
    pub fn device(&self, cut: usize) -> Option<&Side> {
        (cut > 0).then(|| self.device[cut].get_or_init(|| self.side(cut, true)))
    }

    /// What the server holds for a device; nothing at the last cut.
    pub fn server(&self, cut: usize) -> Option<&Side> {
        (cut < self.blocks()).then(|| self.server[cut].get_or_init(|| self.side(cut, false)))
    }

    fn side(&self, cut: usize, device: bool) -> Side {
        // At the ends the one side is the whole.
        let cuts = if cut == 0 || cut == self.blocks() { vec![] } else { vec![cut] };
        let piece = if device { 0 } else { cuts.len() };
        let share = Share::of(self.network, &cuts, piece);
        let program = share.program(!device && cut > 0, false);
        Side { share, program }
    }

    /// Parameters before a cut.
    pub fn theta_at(&self, cut: usize) -> usize {
        self.node_at(cut).map_or(self.network.theta_len(), |node| self.network.nodes()[node].theta.start)
    }

    /// Running statistics before a cut.
    pub fn sigma_at(&self, cut: usize) -> usize {
        self.node_at(cut).map_or(self.network.sigma_len(), |node| self.network.nodes()[node].sigma.start)
    }

    /// The first node behind a cut; none behind the last.
    fn node_at(&self, cut: usize) -> Option<usize> {
        match cut {
            0 => Some(0),
            cut => self.network.cuts().get(cut - 1).copied(),
        }
    }

    /// Elements of a sample that cross a cut: at cut 0 the sample itself.
    pub fn crossing(&self, cut: usize) -> usize {
        match cut {
            0 => self.network.shapes()[0].elements(),
            cut => self.device(cut).map_or(0, |side| side.share.handed_on()),
        }
    }

    /// What some blocks cost on so many rows, where they are a rank's only ones.
    pub fn work(&self, blocks: Range<usize>, rows: usize, pass: Pass) -> Work {
        let end = |block| self.node_at(block).unwrap_or(self.network.nodes().len());
        let nodes = &self.network.nodes()[end(blocks.start)..end(blocks.end)];
        let cost: Cost = nodes.iter().map(|node| node.cost).sum();
        // Nobody asks for the gradient of samples.
        let unwanted = nodes.first().filter(|_| blocks.start == 0).map_or(0, |node| node.cost.grad_input.0);
        let flops = match pass {
            Pass::Forward => cost.forward.0,
            Pass::BackwardInput => cost.grad_input.0 - unwanted,
            Pass::BackwardParams => cost.grad_params.0,
            Pass::Backward => cost.grad_input.0 - unwanted + cost.grad_params.0,
        };
        Work { flops: Flops(flops * rows as u64), blocks, rows, pass }
    }
}
