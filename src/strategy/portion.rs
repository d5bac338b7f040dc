//! A part of the network that computes: with its part of the weights and of the optimizer's memory.

use super::fit::MOMENTS_SHARE;
use super::parcel::Parcel;
use super::share::Share;
use super::team::team;
use super::{Hyper, Task};
use crate::data::{Samples, Visit};
use crate::device::{Clock, Pass, Work};
use crate::nn::{Context, PassFlops, Phase, Program, Tally, Workspace};
use crate::optim::{Optimizer, Step};
use crate::units::Flops;
use ndarray::ArrayView2;

/// A part that computes.
pub(super) struct Portion<'a> {
    pub task: &'a Task<'a>,
    pub clock: &'a dyn Clock,
    pub share: &'a Share,
    pub program: &'a Program,
    pub theta: Vec<f32>,
    pub sigma: Vec<f32>,
    pub optimizer: Box<dyn Optimizer>,
    /// What one sample costs in each pass.
    flops: PassFlops,
}

/// Where a pass stands: what layers draw from, and where the samples are.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub epoch: u64,
    pub samples: &'a [u32],
}

impl<'a> Portion<'a> {
    /// The part with its share of the whole's weights.
    pub fn new(
        task: &'a Task<'a>,
        clock: &'a dyn Clock,
        share: &'a Share,
        program: &'a Program,
        whole_theta: &[f32],
    ) -> Self {
        let theta = whole_theta[share.theta.range()].to_vec();
        let sigma = task.network.initial_sigma()[share.sigma.range()].to_vec();
        Self::of(task, clock, share, program, theta, sigma)
    }

    /// The part with its own weights, and an optimizer that remembers nothing.
    pub fn of(
        task: &'a Task<'a>,
        clock: &'a dyn Clock,
        share: &'a Share,
        program: &'a Program,
        theta: Vec<f32>,
        sigma: Vec<f32>,
    ) -> Self {
        let Hyper { rule, weight_decay, .. } = task.hyper;
        let optimizer = rule.build(theta.len(), weight_decay);
        Self { task, clock, share, program, theta, sigma, optimizer, flops: program.flops() }
    }

    /// The context of a training pass.
    pub fn training<'b>(&'b self, at: At<'b>) -> Context<'b> {
        let At { epoch, samples } = at;
        let seed = self.task.hyper.seed;
        Context { phase: Phase::Train, seed, epoch, samples, sigma: &self.sigma, team: team() }
    }

    /// Fills the input with samples: what the first part does.
    pub fn load(&self, ws: &mut Workspace, samples: &dyn Samples, visit: Visit, rows: &[u32]) {
        ws.begin(rows.len());
        ws.fill(0, team(), &|b, layout, row| samples.load(rows[b] as usize, visit, layout, row));
    }

    /// Fills the input with what the part before sent.
    pub fn receive(&self, ws: &mut Workspace, parcel: &Parcel) {
        let (rows, activations) = (parcel.rows(), parcel.activations());
        ws.begin(rows);
        let dims = activations.len() / rows.max(1);
        ws.fill(0, team(), &|b, layout, row| {
            layout.scatter(&activations[b * dims..][..dims], row);
        });
    }

    /// Copies what is handed on, one row behind the other.
    pub fn hand_on(&self, ws: &Workspace, to: &mut [f32]) {
        let value = ws.value(self.share.export.expect("a part that another follows hands a value on"));
        copy_rows(value, to);
    }

    /// What this part's arithmetic costs on so many rows.
    pub fn work(&self, rows: usize, pass: Pass) -> Work {
        let each = match pass {
            Pass::Forward => self.flops.forward.0,
            Pass::Backward => self.flops.backward().0,
            Pass::BackwardInput => self.flops.backward_input.0,
            Pass::BackwardParams => self.flops.backward_params.0,
        };
        Work { flops: Flops(each * rows as u64), blocks: self.share.blocks.clone(), rows, pass }
    }

    /// Runs forward and charges it.
    pub fn forward(&self, context: &Context, ws: &mut Workspace, rows: usize) {
        self.clock.work([self.work(rows, Pass::Forward)], || self.program.forward(context, &self.theta, ws));
    }

    /// The loss at the part's own outputs, whose gradient is left there; nothing where it has none.
    pub fn losses(&self, ws: &mut Workspace, labels: &[u32]) -> Tally {
        match self.program.network().outputs().is_empty() {
            true => Tally { samples: labels.len() as u64, ..Tally::default() },
            false => self.program.losses(ws, labels),
        }
    }

    /// Goes backward, from the gradients that lie at the outputs.
    pub fn backward(&self, at: At, ws: &mut Workspace, gradient: &mut Gradient) {
        let (rows, context) = (at.samples.len(), self.training(at));
        self.clock.work([self.work(rows, Pass::Backward)], || {
            self.program.backward(&context, &self.theta, ws, &mut gradient.theta, &mut |_, _| {});
        });
        let taken = ws.moments().iter().map(|moment| moment * rows as f32);
        gradient.moments.iter_mut().zip(taken).for_each(|(sum, moment)| *sum = moment);
    }

    /// Memory for its gradient.
    pub fn gradient(&self) -> Gradient {
        Gradient { theta: vec![0.0; self.theta.len()], moments: vec![0.0; self.sigma.len()] }
    }

    /// Moves the weights against a summed gradient, and the running statistics towards a step's moments.
    pub fn update(&mut self, step: Step, grad: &[f32], moments: &[f32], rows: usize) {
        self.optimizer.step(step, grad, &mut self.theta, team());
        for (running, sum) in self.sigma.iter_mut().zip(moments) {
            *running += MOMENTS_SHARE * (sum / rows as f32 - *running);
        }
    }

    /// The learning rate of step `s` out of `steps`.
    pub fn rate(&self, epoch: u64, s: u64, steps: u64) -> f64 {
        let span = 1.0 / steps as f64;
        self.task.hyper.schedule.at(epoch as f64 + s as f64 * span, span)
    }
}

/// A gradient, and the moments of the rows that it is of; sums over these rows, both.
#[derive(Debug, Clone, Default)]
pub(super) struct Gradient {
    pub theta: Vec<f32>,
    pub moments: Vec<f32>,
}

/// Copies rows that may lie apart one behind the other.
pub(super) fn copy_rows(rows: ArrayView2<f32>, to: &mut [f32]) {
    let dims = rows.ncols();
    for (row, to) in rows.outer_iter().zip(to.chunks_exact_mut(dims)) {
        to.copy_from_slice(row.to_slice().expect("a row is contiguous"));
    }
}
