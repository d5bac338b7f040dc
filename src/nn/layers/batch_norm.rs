//! Batch normalization.

use crate::nn::layer::one_input;
use crate::nn::{At, Context, Cost, Inputs, Layer, NetError, Phase, Shape, TensorSpec};
use crate::units::{Bytes, Flops};
use ndarray::{ArrayView2, ArrayViewMut2, Zip, s};
use serde::{Deserialize, Serialize};

/// Mean 0 and variance 1 of each channel over the batch, then a learned scale and shift, as PyTorch's `BatchNorm`.
///
/// The batch is what one pass sees: a rank's part of it, or with `--deterministic` a micro-chunk.
///
/// # Shapes
/// `x`, `y`: `[B, C, H, W]`, or `[B, C]` where each feature is a channel. θ holds `γ` and `β`, σ the running mean and
/// the running variance, `[C]` each.
///
/// # Math
/// ```text
/// y  = γ x̂ + β,   x̂ = (x - μ) / s,   s = √(v + ε)
/// in training  μ, v over the channel's n = B H W values;  dx = γ/s (dy - mean(dy) - x̂ mean(dy ⊙ x̂))
/// otherwise    μ, v from σ;                               dx = γ/s dy
/// dγ = Σ dy ⊙ x̂,  dβ = Σ dy
/// ```
/// The variance is divided by n; the moments that the running ones follow have it divided by n - 1. A single value
/// says nothing about a variance: with n = 1 the running one stays.
///
/// # References
/// Ioffe and Szegedy, *Batch normalization*, ICML 2015.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchNorm {
    /// C.
    pub channels: usize,
    /// ε, added to the variance.
    #[serde(default = "epsilon")]
    pub eps: f32,
}

fn epsilon() -> f32 {
    1e-5
}

/// One channel of a batch, `[B, H W]`.
fn channel<'a>(x: ArrayView2<'a, f32>, channels: usize, c: usize) -> ArrayView2<'a, f32> {
    let plane = x.ncols() / channels;
    x.slice_move(s![.., c * plane..(c + 1) * plane])
}

/// Mean and biased variance.
fn mean_and_variance(x: &ArrayView2<f32>) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
    (mean, x.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / n)
}

impl BatchNorm {
    fn per_channel(&self, tensors: [(&'static str, f32); 2]) -> Vec<TensorSpec> {
        let tensor = |(name, value)| TensorSpec {
            name,
            shape: vec![self.channels],
            fan_in: 1,
            fan_out: 1,
            constant: Some(value),
        };
        tensors.map(tensor).to_vec()
    }

    /// `μ` and `1 / s` of channel `c`, whose values are `x`.
    fn normal(&self, context: &Context, x: &ArrayView2<f32>, c: usize) -> (f64, f64) {
        let (mean, variance) = match context.phase {
            Phase::Train => mean_and_variance(x),
            Phase::Eval => (f64::from(context.sigma[c]), f64::from(context.sigma[self.channels + c])),
        };
        (mean, 1.0 / (variance + f64::from(self.eps)).sqrt())
    }

    /// `Σ dy` and `Σ dy ⊙ x̂`.
    fn sums(x: &ArrayView2<f32>, dy: &ArrayView2<f32>, (mean, scale): (f64, f64)) -> (f64, f64) {
        x.iter().zip(dy).fold((0.0, 0.0), |(sum, slope), (x, dy)| {
            let dy = f64::from(*dy);
            (sum + dy, slope + dy * (f64::from(*x) - mean) * scale)
        })
    }
}

impl Layer for BatchNorm {
    fn kind(&self) -> &'static str {
        "batch_norm"
    }

    fn output(&self, node: &str, inputs: &[Shape]) -> Result<Shape, NetError> {
        let x = one_input(node, self.kind(), inputs)?;
        let unfit = |why, cure| NetError::Unfit { node: node.into(), layer: self.kind(), why, cure };
        if x.0.first() != Some(&self.channels) {
            return Err(unfit(
                format!("with {} channels cannot read a tensor of {x}", self.channels),
                "give it as many channels as the tensor has",
            ));
        }
        // Zero would divide by zero where a channel is constant, as behind dead rectifiers.
        if !(self.eps.is_finite() && self.eps > 0.0) {
            return Err(unfit(format!("has eps = {}", self.eps), "give a small positive number, as 1e-5"));
        }
        Ok(x.clone())
    }

    fn tensors(&self, _inputs: &[Shape]) -> Vec<TensorSpec> {
        self.per_channel([("weight", 1.0), ("bias", 0.0)])
    }

    fn statistics(&self, _inputs: &[Shape]) -> Vec<TensorSpec> {
        self.per_channel([("running_mean", 0.0), ("running_var", 1.0)])
    }

    fn moments(&self, context: &Context, x: Inputs, moments: &mut [f32]) {
        let (means, variances) = moments.split_at_mut(self.channels);
        for (c, (to_mean, to_variance)) in means.iter_mut().zip(variances).enumerate() {
            let x = channel(x.get(0), self.channels, c);
            let (mean, variance) = mean_and_variance(&x);
            let n = x.len() as f64;
            *to_mean = mean as f32;
            *to_variance = if n > 1.0 { (variance * n / (n - 1.0)) as f32 } else { context.sigma[self.channels + c] };
        }
    }

    fn cost(&self, _inputs: &[Shape], output: &Shape) -> Cost {
        let elements = output.elements() as u64;
        Cost {
            // Two for the mean, three for the variance, four to normalize, scale and shift.
            forward: Flops(elements.saturating_mul(9)),
            grad_input: Flops(elements.saturating_mul(11)),
            grad_params: Flops(elements.saturating_mul(5)),
            activations: Bytes(elements.saturating_mul(4)),
            parameters: Bytes(8 * self.channels as u64),
        }
    }

    fn forward(&self, context: &Context, x: Inputs, theta: &[f32], mut y: ArrayViewMut2<f32>) {
        let (gamma, beta) = theta.split_at(self.channels);
        let plane = y.ncols() / self.channels;
        for c in 0..self.channels {
            let x = channel(x.get(0), self.channels, c);
            let (mean, scale) = self.normal(context, &x, c);
            let (gamma, beta) = (f64::from(gamma[c]), f64::from(beta[c]));
            let y = y.slice_mut(s![.., c * plane..(c + 1) * plane]);
            Zip::from(y).and(x).for_each(|y, x| *y = (gamma * (f64::from(*x) - mean) * scale + beta) as f32);
        }
    }

    fn grad_input(&self, context: &Context, at: At, dy: ArrayView2<f32>, _: usize, mut dx: ArrayViewMut2<f32>) {
        let plane = dx.ncols() / self.channels;
        for c in 0..self.channels {
            let (x, dy) = (channel(at.x.get(0), self.channels, c), channel(dy, self.channels, c));
            let (mean, scale) = self.normal(context, &x, c);
            let slope = f64::from(at.theta[c]) * scale;
            let n = x.len() as f64;
            let (shift, along) = match context.phase {
                Phase::Train => Self::sums(&x, &dy, (mean, scale)),
                Phase::Eval => (0.0, 0.0),
            };
            let dx = dx.slice_mut(s![.., c * plane..(c + 1) * plane]);
            Zip::from(dx).and(x).and(dy).for_each(|dx, x, dy| {
                let normal = (f64::from(*x) - mean) * scale;
                *dx = (slope * (f64::from(*dy) - shift / n - normal * along / n)) as f32;
            });
        }
    }

    fn grad_params(&self, context: &Context, at: At, dy: ArrayView2<f32>, dtheta: &mut [f32]) {
        for c in 0..self.channels {
            let (x, dy) = (channel(at.x.get(0), self.channels, c), channel(dy, self.channels, c));
            let (sum, along) = Self::sums(&x, &dy, self.normal(context, &x, c));
            dtheta[c] = along as f32;
            dtheta[self.channels + c] = sum as f32;
        }
    }
}
