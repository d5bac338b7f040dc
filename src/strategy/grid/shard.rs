//! A shard: a worker trains it by itself, and tells how that changed the weights.
//!
//! # References
//! McMahan et al., *Communication-efficient learning of deep networks from decentralized data*, AISTATS 2017,
//! arXiv:1602.05629.

use super::settings::Shards;
use super::wire::Order;
use crate::comm::CommError;
use crate::nn::{Network, Tally};
use crate::optim::Step;
use crate::rng::{Purpose, shuffle, stream};
use crate::strategy::Task;
use crate::strategy::fit::MOMENTS_SHARE;
use crate::strategy::learner::{Learner, Weights};
use crate::strategy::stepper::{TAIL, compute};
use crate::strategy::team::team;

/// What became of a shard.
pub(super) enum Trained {
    /// It is done; the sums are those of its last pass.
    All(Tally),
    /// A newer order came meanwhile.
    CalledOff,
}

/// Memory to train shards.
pub(super) struct ShardTrainer {
    shards: Shards,
    theta: Vec<f32>,
    sigma: Vec<f32>,
    /// `[∇ | moments | tail]` of a local step.
    packed: Vec<f32>,
    order: Vec<u32>,
}

impl ShardTrainer {
    pub fn new(network: &Network, shards: Shards) -> Self {
        let (theta, sigma) = (vec![0.0; network.theta_len()], vec![0.0; network.sigma_len()]);
        let packed = vec![0.0; theta.len() + sigma.len() + TAIL];
        Self { shards, theta, sigma, packed, order: Vec::new() }
    }

    /// Trains for some passes from the given weights, with an optimizer that remembers nothing of other shards, and writes
    /// `[Δθ | Δσ | 0]`.
    #[allow(clippy::too_many_arguments)]
    pub fn train(
        &mut self,
        task: &Task,
        learner: &mut Learner,
        weights: Weights,
        order: Order,
        rate: f64,
        samples: &[u32],
        delta: &mut [f32],
        superseded: &mut dyn FnMut() -> Result<bool, CommError>,
    ) -> Result<Trained, CommError> {
        self.theta.copy_from_slice(weights.theta);
        self.sigma.copy_from_slice(weights.sigma);
        let mut optimizer = task.hyper.rule.build(self.theta.len(), task.hyper.weight_decay);
        let (mut tally, mut number) = (Tally::default(), 0);
        for pass in 0..self.shards.epochs {
            self.order.clear();
            self.order.extend_from_slice(samples);
            if pass > 0 {
                // The first pass is in the epoch's own order, which is a random one.
                let draw = (order.chunk * self.shards.epochs + pass) as u64;
                shuffle(&mut self.order, &mut stream(task.hyper.seed, Purpose::Shard, order.epoch, draw));
            }
            tally = Tally::default();
            for batch in self.order.chunks(self.shards.batch) {
                if superseded()? {
                    return Ok(Trained::CalledOff);
                }
                number += 1;
                let weights = Weights { theta: &self.theta, sigma: &self.sigma };
                compute(learner, weights, order.epoch, batch, &mut self.packed, &mut |_, _| {});
                let (sums, tail) = self.packed.split_at_mut(self.theta.len() + self.sigma.len());
                let (grad, moments) = sums.split_at_mut(self.theta.len());
                let step = Step { number, rate, scale: 1.0 / batch.len() as f64 };
                optimizer.step(step, grad, &mut self.theta, team());
                for (running, sum) in self.sigma.iter_mut().zip(moments) {
                    *running += MOMENTS_SHARE * (*sum / batch.len() as f32 - *running);
                }
                tally += Tally { loss: tail[0].into(), correct: tail[1] as u64, samples: batch.len() as u64 };
            }
        }
        delta.fill(0.0);
        let (to, rest) = delta.split_at_mut(self.theta.len());
        let ends = self.theta.iter().zip(weights.theta);
        to.iter_mut().zip(ends).for_each(|(delta, (end, begin))| *delta = end - begin);
        let ends = self.sigma.iter().zip(weights.sigma);
        rest.iter_mut().zip(ends).for_each(|(delta, (end, begin))| *delta = end - begin);
        Ok(Trained::All(tally))
    }
}
