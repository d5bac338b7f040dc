//! What the weights must be: the logged steps, one after the other, in plain code that knows no rank.

use super::setup::{Case, ROWS, World};
use goai::comm::fixed_point::{Fit, OrderFreeSum};
use goai::data::order::{StepPlan, balanced, epoch_order};
use goai::data::{Samples, Visit};
use goai::event::Applied;
use goai::nn::kernels::{Isa, vector};
use goai::nn::{Alone, Context, Flavor, Phase, Program, Span, Workspace};
use goai::optim::Step;
use goai::rng::{Purpose, shuffle, stream};
use std::ops::Range;

/// What rides behind a gradient: loss, right answers, two wishes.
const TAIL: usize = 4;

/// In which order contributions are added: by their chunks; another order is another number.
pub type Arrange<'a> = &'a dyn Fn(&Applied) -> Vec<(usize, usize, u32)>;

/// By chunk, as it must be.
pub fn by_chunk(applied: &Applied) -> Vec<(usize, usize, u32)> {
    let mut contributions = applied.contributions.clone();
    contributions.sort_unstable();
    contributions
}

pub struct Oracle<'a> {
    case: &'a Case,
    world: &'a World,
    program: Program,
    workspace: Workspace,
    order: Vec<u32>,
    /// θ by version.
    versions: Vec<Vec<f32>>,
}

/// The weights after these steps.
pub fn replay(case: &Case, world: &World, applied: &[Applied], arrange: Arrange) -> Vec<f32> {
    let program = Program::compile(&world.network, Flavor::Fused);
    let workspace = program.workspace(ROWS);
    let versions = vec![case.hyper.init.draw(&world.network, case.hyper.seed)];
    Oracle { case, world, program, workspace, order: Vec::new(), versions }.run(applied, arrange)
}

impl Oracle<'_> {
    fn run(mut self, applied: &[Applied], arrange: Arrange) -> Vec<f32> {
        let (hyper, len) = (&self.case.hyper, self.program.theta_len());
        let mut optimizer = hyper.rule.build(len, hyper.weight_decay);
        let tensors = self.world.network.tensors().map(|tensor| tensor.span);
        let tail = (0..TAIL).map(|i| Span { start: len + i, len: 1 });
        let micro = self.case.micro_chunk();
        let pieces = micro.map_or(1, |micro| hyper.global_batch.min(ROWS).div_ceil(micro));
        let mut order_free = OrderFreeSum::new(tensors.chain(tail).collect(), pieces);
        let (mut epoch, mut done) = (0, 0);
        for (index, step) in applied.iter().enumerate() {
            if step.epoch != epoch {
                (epoch, done) = (step.epoch, 0);
                epoch_order(ROWS, hyper.seed, epoch - 1, &mut self.order);
            }
            let rate = self.rate(epoch - 1, done);
            let contributions = arrange(step);
            done += contributions.len();
            let mut theta = self.versions[index].clone();
            let samples: usize = contributions.iter().map(|(chunk, ..)| self.positions(*chunk).len()).sum();
            let mut sum = vec![0.0; len + TAIL];
            if let Some(micro) = micro {
                self.sum_order_free(&contributions, index, micro, epoch - 1, &mut order_free, &mut sum);
            } else {
                for (chunk, _, staleness) in &contributions {
                    let version = index - *staleness as usize;
                    if self.case.sends_deltas() {
                        let delta = self.shard(*chunk, version, epoch - 1, rate);
                        let share = (self.positions(*chunk).len() as f64 / samples as f64) as f32;
                        vector::axpy(Isa::detect(), share, &delta, &mut sum[..len]);
                    } else {
                        let gradient = self.gradient_at(version, self.positions(*chunk), epoch - 1);
                        sum.iter_mut().zip(gradient).for_each(|(sum, value)| *sum += value);
                    }
                }
            }
            if self.case.sends_deltas() {
                theta.iter_mut().zip(&sum).for_each(|(weight, delta)| *weight += *delta);
            } else {
                let step = Step { number: step.step, rate, scale: 1.0 / samples as f64 };
                optimizer.step(step, &sum[..len], &mut theta, &Alone);
            }
            self.versions.push(theta);
        }
        self.versions.pop().expect("at least the first")
    }

    /// The rate of a step before which so many chunks of its epoch were applied.
    fn rate(&self, epoch: u64, done: usize) -> f64 {
        let steps = self.case.chunks().div_ceil(self.case.grid.k);
        let at = (done / self.case.grid.k).min(steps - 1);
        let span = 1.0 / steps as f64;
        self.case.hyper.schedule.at(epoch as f64 + at as f64 * span, span)
    }

    /// The positions of a chunk in its epoch's order.
    fn positions(&self, chunk: usize) -> Range<usize> {
        if let Some(shards) = self.case.grid.shards.filter(|_| self.case.sends_deltas()) {
            return balanced(ROWS, shards.count.min(ROWS), chunk);
        }
        let (k, micro) = (self.case.grid.k, self.case.hyper.micro_chunk.unwrap_or(1));
        let run = StepPlan::new(ROWS, self.case.hyper.global_batch).run(chunk / k);
        let slice = balanced(run.len().div_ceil(micro), k, chunk % k);
        (run.start + slice.start * micro).min(run.end)..(run.start + slice.end * micro).min(run.end)
    }

    fn gradient_at(&mut self, version: usize, positions: Range<usize>, epoch: u64) -> Vec<f32> {
        let samples = self.order[positions].to_vec();
        let theta = std::mem::take(&mut self.versions[version]);
        let gradient = self.gradient(&theta, &samples, epoch);
        self.versions[version] = theta;
        gradient
    }

    /// `[∇ | loss, right answers, 0, 0]`.
    fn gradient(&mut self, theta: &[f32], samples: &[u32], epoch: u64) -> Vec<f32> {
        let train = &self.world.train;
        let labels: Vec<u32> = samples.iter().map(|sample| train.label(*sample as usize)).collect();
        let visit = Visit { seed: self.case.hyper.seed, epoch: Some(epoch) };
        self.workspace.begin(samples.len());
        self.workspace.fill(0, &Alone, &|row, layout, to| train.load(samples[row] as usize, visit, layout, to));
        let seed = self.case.hyper.seed;
        let context = Context { phase: Phase::Train, seed, epoch, samples, sigma: &[], team: &Alone };
        let mut packed = vec![0.0; theta.len() + TAIL];
        let (gradient, tail) = packed.split_at_mut(theta.len());
        let tally = self.program.loss_and_grad(&context, theta, &mut self.workspace, &labels, gradient);
        tail.copy_from_slice(&[tally.loss as f32, tally.correct as f32, 0.0, 0.0]);
        packed
    }

    fn sum_order_free(
        &mut self,
        contributions: &[(usize, usize, u32)],
        version: usize,
        micro: usize,
        epoch: u64,
        total: &mut OrderFreeSum,
        sum: &mut [f32],
    ) {
        loop {
            total.clear();
            for (chunk, ..) in contributions {
                let positions = self.positions(*chunk);
                for start in positions.clone().step_by(micro) {
                    let gradient = self.gradient_at(version, start..(start + micro).min(positions.end), epoch);
                    total.add(&gradient);
                }
            }
            match total.judge() {
                Fit::Again => {}
                Fit::Good => return total.finish(sum),
                Fit::NotFinite => panic!("these data do not diverge"),
            }
        }
    }

    /// What a shard's own steps make of the weights.
    fn shard(&mut self, chunk: usize, version: usize, epoch: u64, rate: f64) -> Vec<f32> {
        let (hyper, shards) = (&self.case.hyper, self.case.grid.shards.expect("there are shards"));
        let mut optimizer = hyper.rule.build(self.program.theta_len(), hyper.weight_decay);
        let begin = self.versions[version].clone();
        let mut theta = begin.clone();
        let mut number = 0;
        for pass in 0..shards.epochs {
            let mut samples = self.order[self.positions(chunk)].to_vec();
            if pass > 0 {
                let draw = (chunk * shards.epochs + pass) as u64;
                shuffle(&mut samples, &mut stream(hyper.seed, Purpose::Shard, epoch, draw));
            }
            for batch in samples.chunks(shards.batch) {
                let gradient = self.gradient(&theta, batch, epoch);
                number += 1;
                let step = Step { number, rate, scale: 1.0 / batch.len() as f64 };
                optimizer.step(step, &gradient[..begin.len()], &mut theta, &Alone);
            }
        }
        theta.iter().zip(&begin).map(|(end, begin)| end - begin).collect()
    }
}
