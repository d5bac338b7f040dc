//! Computes the summed gradient of given samples: the same on a trainer of any strategy.

use super::Task;
use super::team::team;
use crate::data::Visit;
use crate::device::{Clock, Pass, Work};
use crate::nn::kernels::{Isa, vector};
use crate::nn::{Context, Phase, Program, Span, Tally, Team, Workspace};
use crate::units::Flops;

/// The most rows that go through the network at once; larger batches are summed in pieces.
pub(super) const MOST_ROWS: usize = 256;

/// What a network is made of at a step: parameters and running statistics.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weights<'a> {
    pub theta: &'a [f32],
    pub sigma: &'a [f32],
}

/// A program with the memory to train it.
pub(super) struct Learner<'a> {
    task: &'a Task<'a>,
    program: &'a Program,
    clock: &'a dyn Clock,
    team: &'static dyn Team,
    /// Arithmetic of one sample's forward and of its backward pass.
    sample_cost: [(Pass, Flops); 2],
    /// Trunk blocks of the network.
    blocks: usize,
    workspace: Workspace,
    labels: Vec<u32>,
    piece: Vec<f32>,
}

impl<'a> Learner<'a> {
    /// A learner for batches of up to `batch` samples.
    pub fn new(task: &'a Task, program: &'a Program, clock: &'a dyn Clock, batch: usize) -> Self {
        let rows = batch.clamp(1, MOST_ROWS);
        let flops = program.flops();
        Self {
            task,
            program,
            clock,
            team: team(),
            sample_cost: [(Pass::Forward, flops.forward), (Pass::Backward, flops.backward())],
            blocks: program.network().cuts().len() + 1,
            workspace: program.workspace(rows),
            labels: Vec::with_capacity(rows),
            piece: if batch > rows {
                vec![0.0; program.theta_len() + program.network().sigma_len()]
            } else {
                Vec::new()
            },
        }
    }

    /// Writes the gradient of the summed loss over `samples`, and behind it their moments, each weighed with the number of
    /// samples that it was taken over. Returns the sums.
    ///
    /// `ready` is told of each span of the gradient as soon as it is final, from the end of θ to its beginning; of none
    /// where the sum is made of several pieces.
    pub fn sum_gradient(
        &mut self,
        weights: Weights,
        epoch: u64,
        samples: &[u32],
        sums: &mut [f32],
        ready: &mut dyn FnMut(&mut [f32], Span),
    ) -> Tally {
        let mut pieces = samples.chunks(self.workspace.capacity());
        let Some(first) = pieces.next() else {
            sums.fill(0.0);
            return Tally::default();
        };
        if pieces.len() == 0 {
            return self.run(weights, epoch, first, sums, ready);
        }
        let mut total = self.run(weights, epoch, first, sums, &mut |_, _| {});
        for samples in pieces {
            let mut piece = std::mem::take(&mut self.piece);
            total += self.run(weights, epoch, samples, &mut piece, &mut |_, _| {});
            vector::axpy(Isa::detect(), 1.0, &piece, sums);
            self.piece = piece;
        }
        total
    }

    fn run(
        &mut self,
        weights: Weights,
        epoch: u64,
        samples: &[u32],
        sums: &mut [f32],
        ready: &mut dyn FnMut(&mut [f32], Span),
    ) -> Tally {
        let train = self.task.train;
        self.labels.clear();
        self.labels.extend(samples.iter().map(|sample| train.label(*sample as usize)));
        let visit = Visit { seed: self.task.hyper.seed, epoch: Some(epoch) };
        self.workspace.begin(samples.len());
        self.workspace.fill(0, self.team, &|b, layout, row| train.load(samples[b] as usize, visit, layout, row));
        let (seed, sigma) = (self.task.hyper.seed, weights.sigma);
        let context = Context { phase: Phase::Train, seed, epoch, samples, sigma, team: self.team };
        let (rows, blocks) = (samples.len(), self.blocks);
        let work = self.sample_cost.map(|(pass, cost)| Work {
            flops: Flops(cost.0 * rows as u64),
            blocks: 0..blocks,
            rows,
            pass,
        });
        let (program, workspace, labels) = (self.program, &mut self.workspace, &self.labels);
        let (grad, moments) = sums.split_at_mut(program.theta_len());
        let tally = self
            .clock
            .work(work, || program.loss_and_grad_telling(&context, weights.theta, workspace, labels, grad, ready));
        let taken = workspace.moments().iter().map(|moment| moment * samples.len() as f32);
        moments.iter_mut().zip(taken).for_each(|(sum, moment)| *sum = moment);
        tally
    }
}
