//! Element-wise non-linearities inside a fused step.

use super::math;
use super::{Isa, multiversion};

/// The non-linearity behind a dense layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// None.
    Identity,
    /// `1 / (1 + e⁻ᶻ)`.
    Sigmoid,
    /// `tanh z`.
    Tanh,
    /// `max(0, z)`.
    Relu,
}

impl Activation {
    /// Replaces `z` by `f(z)`. One loop over whole rows: that is the form that compilers vectorize.
    #[inline(always)]
    pub(super) fn apply<const FMA: bool>(self, z: &mut [f32]) {
        match self {
            Activation::Identity => {}
            Activation::Sigmoid => z.iter_mut().for_each(|z| *z = math::sigmoid::<FMA>(*z)),
            Activation::Tanh => z.iter_mut().for_each(|z| *z = math::tanh::<FMA>(*z)),
            Activation::Relu => z.iter_mut().for_each(|z| *z = if *z < 0.0 { 0.0 } else { *z }),
        }
    }

    /// Turns the gradient of the output into the gradient before the non-linearity, in place: `dz = dy · f'(y)`.
    pub fn gradient(self, isa: Isa, y: &[f32], dy: &mut [f32]) {
        match self {
            Activation::Identity => {}
            Activation::Sigmoid => sigmoid(isa, y, dy),
            Activation::Tanh => tanh(isa, y, dy),
            Activation::Relu => relu(isa, y, dy),
        }
    }
}

multiversion! { fn sigmoid(y: &[f32], dy: &mut [f32]) = sigmoid_body }
multiversion! { fn tanh(y: &[f32], dy: &mut [f32]) = tanh_body }
multiversion! { fn relu(y: &[f32], dy: &mut [f32]) = relu_body }

#[inline(always)]
fn sigmoid_body<const FMA: bool>(y: &[f32], dy: &mut [f32]) {
    for (dy, y) in dy.iter_mut().zip(y) {
        *dy *= y * (1.0 - y);
    }
}

#[inline(always)]
fn tanh_body<const FMA: bool>(y: &[f32], dy: &mut [f32]) {
    for (dy, y) in dy.iter_mut().zip(y) {
        *dy *= 1.0 - y * y;
    }
}

#[inline(always)]
fn relu_body<const FMA: bool>(y: &[f32], dy: &mut [f32]) {
    for (dy, y) in dy.iter_mut().zip(y) {
        *dy = if *y > 0.0 { *dy } else { 0.0 };
    }
}
