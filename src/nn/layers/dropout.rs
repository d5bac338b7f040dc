//! Dropout.

use crate::nn::layer::one_input;
use crate::nn::{At, Context, Cost, Inputs, Layer, NetError, Phase, Shape};
use crate::rng::{Purpose, stream};
use ndarray::{ArrayView1, ArrayView2, ArrayViewMut1, ArrayViewMut2, Zip};
use rand_chacha::rand_core::RngCore;
use serde::{Deserialize, Serialize};

/// In training, sets each element to zero with probability `rate` and divides the others by `1 - rate`; otherwise the
/// identity.
///
/// What is dropped follows from (seed, epoch, sample, `stream`) alone: not from the rank, the batch or the part of the
/// network that holds the layer. Two dropout layers of a network must have different streams, else they would drop the
/// same places; the zoo and model files number them from 0, and [`Network::build`](crate::nn::Network::build) refuses
/// equal ones.
///
/// # References
/// Srivastava et al., *Dropout*, JMLR 2014; the inverted form, as PyTorch has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// The probability that an element is dropped, in `[0, 1)`.
    pub rate: f32,
    /// The layer's own stream of draws.
    #[serde(default)]
    pub stream: u32,
}

impl Dropout {
    /// `to = mask ⊙ from` for row `b`; the mask is drawn anew each time, which is cheaper than to keep it.
    fn apply(&self, context: &Context, b: usize, from: ArrayView1<f32>, to: ArrayViewMut1<f32>) {
        if context.phase == Phase::Eval {
            Zip::from(to).and(from).for_each(|to, from| *to = *from);
            return;
        }
        let sample = u64::from(context.samples[b]) | u64::from(self.stream) << 32;
        let mut rng = stream(context.seed, Purpose::Dropout, context.epoch, sample);
        let limit = (f64::from(self.rate) * (1u64 << 32) as f64) as u64;
        let scale = 1.0 / (1.0 - self.rate);
        Zip::from(to).and(from).for_each(|to, from| {
            *to = if u64::from(rng.next_u32()) < limit { 0.0 } else { from * scale };
        });
    }
}

impl Layer for Dropout {
    fn kind(&self) -> &'static str {
        "dropout"
    }

    fn output(&self, node: &str, inputs: &[Shape]) -> Result<Shape, NetError> {
        if !(0.0..1.0).contains(&self.rate) {
            return Err(NetError::Unfit {
                node: node.into(),
                layer: self.kind(),
                why: format!("has a rate of {}", self.rate),
                cure: "give the share that is dropped: at least 0 and below 1",
            });
        }
        one_input(node, self.kind(), inputs).cloned()
    }

    fn cost(&self, _inputs: &[Shape], output: &Shape) -> Cost {
        Cost::elementwise(output.elements(), 1)
    }

    fn forward(&self, context: &Context, x: Inputs, _: &[f32], mut y: ArrayViewMut2<f32>) {
        for (b, (x, y)) in x.get(0).rows().into_iter().zip(y.rows_mut()).enumerate() {
            self.apply(context, b, x, y);
        }
    }

    fn grad_input(&self, context: &Context, _: At, dy: ArrayView2<f32>, _: usize, mut dx: ArrayViewMut2<f32>) {
        for (b, (dy, dx)) in dy.rows().into_iter().zip(dx.rows_mut()).enumerate() {
            self.apply(context, b, dy, dx);
        }
    }
}
