//! The parameters of a network that is ready: folded, packed, aligned.

use super::{Op, Plan, Step};
use crate::nn::layers::LayerKind;
use crate::nn::program::Arena;
use crate::nn::{Network, Span};

/// All weights, each step's where the plan says.
///
/// # Shapes
/// `theta`: `[P]`, `sigma`: `[S]`.
pub(super) fn pack(network: &Network, plan: &Plan, theta: &[f32], sigma: &[f32]) -> Arena {
    let mut arena = Arena::zeros(plan.weights);
    for step in &plan.steps {
        let to = &mut arena.as_mut_slice()[step.weights.clone()];
        let Some(first) = step.nodes.first() else { continue };
        let own = &theta[network.nodes()[*first].theta.range()];
        match &step.op {
            Op::Conv(conv) => {
                let outputs = conv.shape().conv.outputs;
                let (weights, bias) = fold(network, step, own, outputs, theta, sigma);
                conv.pack(&weights, &bias, to);
            }
            Op::Dense { .. } => {
                let outputs = network.shapes()[network.num_inputs() + first].elements();
                let (weights, bias) = fold(network, step, own, outputs, theta, sigma);
                to[..weights.len()].copy_from_slice(&weights);
                to[weights.len()..].copy_from_slice(&bias);
            }
            Op::Affine(norm) => {
                let (scale, shift) = to.split_at_mut(norm.z.depth);
                for (c, [s, t]) in affine(network, *first, theta, sigma).into_iter().enumerate() {
                    (scale[c], shift[c]) = (s as f32, t as f32);
                }
            }
            Op::Layer { .. } => to.copy_from_slice(own),
            Op::Pool(_) | Op::GlobalMean | Op::Sum { .. } | Op::Concat { .. } | Op::Relayout => {}
        }
    }
    arena
}

/// A layer's weights and bias, with the batch normalization behind it, if one is, multiplied in.
///
/// # Math
/// `γ/s (W x + b - μ) + β = (γ/s W) x + (γ/s b + β - γ/s μ)`, rounded once.
fn fold<'a>(
    network: &Network,
    step: &Step,
    own: &'a [f32],
    outputs: usize,
    theta: &[f32],
    sigma: &[f32],
) -> (std::borrow::Cow<'a, [f32]>, Vec<f32>) {
    let has_bias = network.nodes()[step.nodes[0]].tensors.len() > 1;
    let (weights, bias) = own.split_at(own.len() - if has_bias { outputs } else { 0 });
    let mut bias = if has_bias { bias.to_vec() } else { vec![0.0; outputs] };
    let is_norm = |node: &&usize| matches!(network.spec().nodes[**node].layer, LayerKind::BatchNorm(_));
    let Some(norm) = step.nodes.get(1).filter(is_norm) else { return (weights.into(), bias) };
    let mut weights = weights.to_vec();
    let each = weights.len() / outputs;
    for (o, [scale, shift]) in affine(network, *norm, theta, sigma).into_iter().enumerate() {
        let row = &mut weights[o * each..][..each];
        row.iter_mut().for_each(|w| *w = (f64::from(*w) * scale) as f32);
        bias[o] = (f64::from(bias[o]) * scale + shift) as f32;
    }
    (weights.into(), bias)
}

/// What a batch normalization of the running statistics does to each channel: `γ/s` and `β - γ/s μ`.
fn affine(network: &Network, node: usize, theta: &[f32], sigma: &[f32]) -> Vec<[f64; 2]> {
    let LayerKind::BatchNorm(norm) = &network.spec().nodes[node].layer else { panic!("a batch normalization") };
    let of = |span: Span, all: &[f32], i: usize| f64::from(all[span.start + i]);
    let (theta_at, sigma_at) = (network.nodes()[node].theta, network.nodes()[node].sigma);
    let channel = |c: usize| {
        let (gamma, beta) = (of(theta_at, theta, c), of(theta_at, theta, norm.channels + c));
        let (mean, variance) = (of(sigma_at, sigma, c), of(sigma_at, sigma, norm.channels + c));
        let scale = gamma / (variance + f64::from(norm.eps)).sqrt();
        [scale, beta - scale * mean]
    };
    (0..norm.channels).map(channel).collect()
}
