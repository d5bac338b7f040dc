//! Initial weights.

use super::Network;
use crate::rng::{Purpose, stream};
use ndarray_rand::rand::Rng;
use ndarray_rand::rand_distr::{Distribution, Normal, Uniform};
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
        let nodes: Vec<usize> = (0..network.nodes().len()).collect();
        self.draw_part(network, &nodes, seed)
    }

    /// Draws what of θ belongs to `nodes`, node by node: the bits that [`Init::draw`] draws for the whole `network`,
    /// without the memory and the time of the others.
    ///
    /// # Panics
    /// If a node is none of the network's.
    pub fn draw_part(self, network: &Network, nodes: &[usize], seed: u64) -> Vec<f32> {
        let firsts: Vec<usize> = network
            .nodes()
            .iter()
            .scan(0, |next, node| {
                *next += node.tensors.len();
                Some(*next - node.tensors.len())
            })
            .collect();
        let mut theta = vec![0.0; nodes.iter().map(|n| network.nodes()[*n].theta.len).sum()];
        let mut rest = theta.as_mut_slice();
        for n in nodes {
            for (t, tensor) in (firsts[*n]..).zip(&network.nodes()[*n].tensors) {
                let (span, behind) = rest.split_at_mut(tensor.span.len);
                match tensor.constant {
                    Some(value) => span.fill(value),
                    None => {
                        let rng = stream(seed, Purpose::Init, 0, t as u64);
                        self.fill(span, tensor.fan_in, tensor.fan_out, tensor.is_bias, rng);
                    }
                }
                rest = behind;
            }
        }
        theta
    }

    fn fill(self, span: &mut [f32], fan_in: usize, fan_out: usize, is_bias: bool, mut rng: impl Rng) {
        if is_bias && self != Init::Uniform {
            return;
        }
        let uniform = |a: f64| Uniform::new(-a as f32, a as f32).expect("a is positive and finite");
        match self {
            Init::Glorot => draw(span, uniform((6.0 / (fan_in + fan_out) as f64).sqrt()), &mut rng),
            Init::Uniform => draw(span, uniform(1.0 / (fan_in as f64).sqrt()), &mut rng),
            Init::He => {
                let deviation = (2.0 / fan_in as f64).sqrt() as f32;
                draw(span, Normal::new(0.0, deviation).expect("the deviation is positive and finite"), &mut rng);
            }
        }
    }
}

fn draw(span: &mut [f32], from: impl Distribution<f32>, rng: &mut impl Rng) {
    span.iter_mut().for_each(|weight| *weight = from.sample(rng));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Shape, zoo};

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

    #[test]
    fn a_part_draws_the_bits_of_the_whole() {
        let narrow = zoo::by_name_with_width("resnet50", &Shape::image(3, 32, 32), 5, 0.0625);
        let network = Network::build(narrow.unwrap()).unwrap();
        let count = network.nodes().len();
        for init in [Init::Glorot, Init::He, Init::Uniform] {
            let whole = init.draw(&network, 3);
            for nodes in [(0..count).step_by(3).collect(), vec![count - 1], vec![2], (5..40).collect::<Vec<usize>>()] {
                let expected: Vec<f32> =
                    nodes.iter().flat_map(|n| whole[network.nodes()[*n].theta.range()].to_vec()).collect();
                assert_eq!(init.draw_part(&network, &nodes, 3), expected, "{init:?} {nodes:?}");
            }
        }
    }
}
