//! Several tensors behind one another.

use crate::nn::layer::several_inputs;
use crate::nn::{At, Context, Cost, Inputs, Layer, NetError, Shape};
use crate::units::Bytes;
use ndarray::{ArrayView2, ArrayViewMut2, s};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Two or more tensors joined along their channels (vectors: along their features).
///
/// # Shapes
/// `xᵢ`: `[B, Cᵢ, H, W]`, `y`: `[B, Σ Cᵢ, H, W]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concat {}

/// Where input `i` lies in a row of the output.
fn columns(x: Inputs, i: usize) -> Range<usize> {
    let start = (0..i).map(|before| x.shape(before).elements()).sum();
    start..start + x.shape(i).elements()
}

impl Layer for Concat {
    fn kind(&self) -> &'static str {
        "concat"
    }

    fn output(&self, node: &str, inputs: &[Shape]) -> Result<Shape, NetError> {
        let first = several_inputs(node, self.kind(), inputs)?;
        let unfit = |why, cure| NetError::Unfit { node: node.into(), layer: self.kind(), why, cure };
        if let Some(other) = inputs.iter().find(|x| x.0.get(1..) != first.0.get(1..)) {
            let why = format!("got tensors of {first} and {other}");
            return Err(unfit(why, "give it tensors that differ in their channels only"));
        }
        let channels = inputs.iter().try_fold(0usize, |sum, x| sum.checked_add(*x.0.first()?));
        let Some(channels) = channels else {
            return Err(unfit("got more channels than memory holds".into(), "give it smaller tensors"));
        };
        let mut shape = first.clone();
        shape.0[0] = channels;
        Ok(shape)
    }

    fn cost(&self, _inputs: &[Shape], output: &Shape) -> Cost {
        Cost { activations: Bytes(4 * output.elements() as u64), ..Cost::default() }
    }

    fn forward(&self, _: &Context, x: Inputs, _: &[f32], mut y: ArrayViewMut2<f32>) {
        for i in 0..x.count() {
            y.slice_mut(s![.., columns(x, i)]).assign(&x.get(i));
        }
    }

    fn grad_input(&self, _: &Context, at: At, dy: ArrayView2<f32>, input: usize, mut dx: ArrayViewMut2<f32>) {
        dx.assign(&dy.slice(s![.., columns(at.x, input)]));
    }
}
