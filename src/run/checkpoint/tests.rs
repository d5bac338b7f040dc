//! What the tests of checkpoints share, and the round trip.

use super::*;
use crate::nn::zoo::by_name;
use crate::nn::{Network, Shape};
use crate::optim::{Optimizer, Rule, Step};
use crate::run::disk::RealDisk;
use crate::run::model_file::{self, ModelMeta, tests::meta};
use crate::strategy::{Cursor, Snapshot, State, team};
use std::path::Path;
use std::sync::Arc;

/// A network with running statistics: 9 tensors of θ.
fn network() -> Network {
    Network::build(by_name("vgg5", &Shape::image(1, 8, 8), 2).unwrap()).unwrap()
}

/// A state in the middle of a training, the same for the same step.
struct Example {
    network: Network,
    theta: Vec<f32>,
    sigma: Vec<f32>,
    scales: Vec<f32>,
    optimizer: Box<dyn Optimizer>,
}

impl Example {
    fn new(network: Network, rule: Rule, scales: &[f32]) -> Self {
        let value = |i: usize| ((i * 2_654_435_761) % 1000) as f32 / 997.0 - 0.5;
        let mut theta: Vec<f32> = (0..network.theta_len()).map(value).collect();
        theta[0] = -0.0;
        theta[1] = f32::from_bits(1);
        let sigma = (0..network.sigma_len()).map(|i| value(i + 7).abs()).collect();
        let mut optimizer = rule.build(network.theta_len(), 0.01);
        let mut grad: Vec<f32> = (0..network.theta_len()).map(|i| value(i + 3)).collect();
        optimizer.step(Step { number: 1, rate: 0.1, scale: 0.5 }, &mut grad, &mut theta, team());
        Self { network, theta, sigma, scales: scales.to_vec(), optimizer }
    }

    fn state(&self, step: u64) -> State<'_> {
        let cursor = Cursor { epoch: step / 10, step_in_epoch: step % 10, step, samples: step * 32 };
        let (theta, sigma, scales) = (&self.theta, &self.sigma, &self.scales);
        State { cursor, theta, sigma, scales, optimizer: &*self.optimizer }
    }
}
