//! Multi-layer perceptrons: `iris_mlp` is 4-30-20-3.

use crate::nn::layers::{Dense, LayerKind, Relu, Sigmoid, Standardize, Tanh};
use crate::nn::{Loss, Shape, Spec};

/// The non-linearity between dense layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hidden {
    /// `1 / (1 + e⁻ᶻ)`, the original's.
    Sigmoid,
    /// `tanh z`.
    Tanh,
    /// `max(0, z)`.
    Relu,
}

/// What an MLP is made of besides its widths.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MlpOptions {
    /// The non-linearity.
    pub hidden: Hidden,
    /// The loss; under L2 the outputs go through a sigmoid, as the original's do.
    pub loss: Loss,
    /// Whether each sample's hidden vector is standardized before its non-linearity.
    pub standardize: bool,
}

impl Default for MlpOptions {
    fn default() -> Self {
        Self { hidden: Hidden::Sigmoid, loss: Loss::CrossEntropy, standardize: false }
    }
}

/// Dense layers `inputs-hidden…-classes`.
pub fn mlp(inputs: usize, hidden: &[usize], classes: usize, options: &MlpOptions) -> Spec {
    let mut layers: Vec<(String, LayerKind)> = Vec::new();
    let mut width = inputs;
    for (i, next) in hidden.iter().copied().enumerate() {
        let i = i + 1;
        layers.push((format!("fc{i}"), dense(width, next)));
        if options.standardize {
            layers.push((format!("norm{i}"), LayerKind::Standardize(Standardize {})));
        }
        layers.push((format!("act{i}"), activation(options.hidden)));
        width = next;
    }
    let last = hidden.len() + 1;
    layers.push((format!("fc{last}"), dense(width, classes)));
    if options.loss == Loss::L2 {
        layers.push((format!("act{last}"), LayerKind::Sigmoid(Sigmoid {})));
    }
    Spec::chain("mlp", Shape::vector(inputs), layers, options.loss)
}

fn dense(inputs: usize, outputs: usize) -> LayerKind {
    LayerKind::Dense(Dense { inputs, outputs })
}

fn activation(hidden: Hidden) -> LayerKind {
    match hidden {
        Hidden::Sigmoid => LayerKind::Sigmoid(Sigmoid {}),
        Hidden::Tanh => LayerKind::Tanh(Tanh {}),
        Hidden::Relu => LayerKind::Relu(Relu {}),
    }
}
