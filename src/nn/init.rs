//! Initial weights.

use super::Network;
use crate::rng::{Purpose, stream};
use ndarray::{ArrayViewMut1, s};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::{Normal, Uniform};
use serde::{Deserialize, Serialize};

/// How weights begin. Biases begin at zero, except under [`Init::Uniform`].
///
/// # References
/// Glorot and Bengio, *Understanding the difficulty of training deep feedforward neural networks*,
/// AISTATS 2010; He et al., *Delving deep into rectifiers*, ICCV 2015.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// `U(-a, a)`, `a = sqrt(6 / (fan_in + fan_out))`: for sigmoid and tanh.
    Glorot,
    /// `N(0, 2 / fan_in)`: for ReLU.
    He,
    /// `U(-a, a)`, `a = 1 / sqrt(fan_in)`, biases too: PyTorch's default.
    Uniform,
}

impl Init {
    /// Draws θ. Tensor `t` has its own stream, so a part of a network draws the same weights as the whole.
    pub fn draw(self, network: &Network, seed: u64) -> Vec<f32> {
        let mut theta = ndarray::Array1::zeros(network.theta_len());
        for (t, tensor) in network.tensors().enumerate() {
            let rng = stream(seed, Purpose::Init, 0, t as u64);
            let mut span = theta.slice_mut(s![tensor.span.range()]);
            match tensor.constant {
                Some(value) => span.fill(value),
                None => self.fill(span, tensor.fan_in, tensor.fan_out, tensor.is_bias, rng),
            }
        }
        theta.to_vec()
    }

    fn fill(
        self,
        mut span: ArrayViewMut1<f32>,
        fan_in: usize,
        fan_out: usize,
        is_bias: bool,
        mut rng: impl ndarray_rand::rand::Rng,
    ) {
        if is_bias && self != Init::Uniform {
            return;
        }
        let n = span.len();
        let uniform = |a: f64| Uniform::new(-a as f32, a as f32).expect("a is positive and finite");
        let drawn = match self {
            Init::Glorot => {
                ndarray::Array1::random_using(n, uniform((6.0 / (fan_in + fan_out) as f64).sqrt()), &mut rng)
            }
            Init::Uniform => ndarray::Array1::random_using(n, uniform(1.0 / (fan_in as f64).sqrt()), &mut rng),
            Init::He => {
                let deviation = (2.0 / fan_in as f64).sqrt() as f32;
                let normal = Normal::new(0.0, deviation).expect("the deviation is positive and finite");
                ndarray::Array1::random_using(n, normal, &mut rng)
            }
        };
        span.assign(&drawn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::zoo;

    #[test]
    fn weights_have_the_spread_the_papers_ask_for() {
        let network = Network::build(zoo::mlp(100, &[200], 50, &zoo::MlpOptions::default())).unwrap();
        let weights = network.tensors().next().unwrap().span.range();
        for (init, variance, bias_moves) in
            [(Init::Glorot, 2.0 / 300.0, false), (Init::He, 2.0 / 100.0, false), (Init::Uniform, 1.0 / 300.0, true)]
        {
            let theta = init.draw(&network, 7);
            let w = &theta[weights.clone()];
            let measured = w.iter().map(|x| f64::from(x * x)).sum::<f64>() / w.len() as f64;
            assert!((measured / variance - 1.0).abs() < 0.05, "{init:?}: {measured} against {variance}");
            let bias = &theta[weights.end..weights.end + 200];
            assert_eq!(bias.iter().any(|b| *b != 0.0), bias_moves, "{init:?}");
            assert_eq!(theta, init.draw(&network, 7));
            assert_ne!(theta, init.draw(&network, 8));
        }
    }
}
