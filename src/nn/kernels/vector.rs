//! Updates of flat vectors: θ, gradients, optimizer state.
//!
//! An optimizer's step reads and writes each vector once: for large ones memory is the limit, and so the gradient is
//! scaled on the way. A team shares them out in blocks of `BLOCK` elements.

use super::share::{share1, share2, share3};
use super::{Isa, mul_add, multiversion};
use crate::nn::Team;

/// Elements of a task.
const BLOCK: usize = 1 << 15;

/// The numbers of one step of gradient descent, with or without momentum.
#[derive(Debug, Clone, Copy)]
pub struct DescentStep {
    /// The learning rate.
    pub rate: f32,
    /// `1 - rate · weight decay`, what θ shrinks by.
    pub shrink: f32,
    /// What the gradient is multiplied with.
    pub scale: f32,
}

/// The numbers of one Adam step.
#[derive(Debug, Clone, Copy)]
pub struct AdamStep {
    /// β₁ and β₂.
    pub decay: (f32, f32),
    /// Learning rate divided by `1 - β₁ᵗ`.
    pub rate: f32,
    /// `1 / sqrt(1 - β₂ᵗ)`.
    pub correction: f32,
    /// ε.
    pub epsilon: f32,
    /// `1 - rate · weight decay`, what θ shrinks by.
    pub shrink: f32,
    /// What the gradient is multiplied with.
    pub scale: f32,
}

multiversion! {
    /// `y += a x`.
    pub fn axpy(a: f32, x: &[f32], y: &mut [f32]) = axpy_body
}
/// `θ = shrink θ - rate scale g`.
pub fn sgd(team: &dyn Team, isa: Isa, step: DescentStep, grad: &[f32], theta: &mut [f32]) {
    share1(team, theta.len().div_ceil(BLOCK), (theta, BLOCK), &|i, theta| {
        sgd_block(isa, step.rate * step.scale, step.shrink, block(grad, i), theta);
    });
}

/// `v = μ v + scale g`, `θ = shrink θ - rate v`.
pub fn momentum(
    team: &dyn Team,
    isa: Isa,
    step: DescentStep,
    mu: f32,
    grad: &[f32],
    velocity: &mut [f32],
    theta: &mut [f32],
) {
    share2(team, theta.len().div_ceil(BLOCK), (velocity, BLOCK), (theta, BLOCK), &|i, velocity, theta| {
        momentum_block(isa, step, mu, block(grad, i), velocity, theta);
    });
}

/// One Adam step on θ and both moments.
pub fn adam(
    team: &dyn Team,
    isa: Isa,
    step: AdamStep,
    grad: &[f32],
    first: &mut [f32],
    second: &mut [f32],
    theta: &mut [f32],
) {
    let tasks = theta.len().div_ceil(BLOCK);
    share3(team, tasks, (first, BLOCK), (second, BLOCK), (theta, BLOCK), &|i, first, second, theta| {
        adam_block(isa, step, block(grad, i), first, second, theta);
    });
}

fn block(vector: &[f32], i: usize) -> &[f32] {
    &vector[i * BLOCK..vector.len().min((i + 1) * BLOCK)]
}

multiversion! { fn sgd_block(rate: f32, shrink: f32, grad: &[f32], theta: &mut [f32]) = sgd_body }
multiversion! { fn momentum_block(step: DescentStep, mu: f32, grad: &[f32], v: &mut [f32], theta: &mut [f32]) = momentum_body }
multiversion! { fn adam_block(step: AdamStep, grad: &[f32], first: &mut [f32], second: &mut [f32], theta: &mut [f32]) = adam_body }

multiversion! {
    /// Adds `round(factor · x)` to integers, for products below 2^51; larger ones add something else.
    ///
    /// Adding 1.5 · 2^52 leaves the nearest integer in the low bits of the sum: that vectorizes, rounding
    /// functions and conversions do not.
    pub fn add_rounded(factor: f64, x: &[f32], sum: &mut [i64]) = add_rounded_body
}
multiversion! {
    /// Writes the bits of the largest magnitude among `x`; infinities and NaN are larger than every number.
    pub fn largest_magnitude(x: &[f32], bits: &mut u32) = largest_magnitude_body
}
multiversion! {
    /// `x = factor · sum`.
    pub fn scale_integers(factor: f64, sum: &[i64], x: &mut [f32]) = scale_integers_body
}

#[inline(always)]
fn add_rounded_body<const FMA: bool>(factor: f64, x: &[f32], sum: &mut [i64]) {
    const ROUND: f64 = 6_755_399_441_055_744.0;
    for (sum, x) in sum.iter_mut().zip(x) {
        let rounded = (f64::from(*x) * factor + ROUND).to_bits().wrapping_sub(ROUND.to_bits());
        *sum = sum.wrapping_add(rounded as i64);
    }
}

#[inline(always)]
fn largest_magnitude_body<const FMA: bool>(x: &[f32], bits: &mut u32) {
    *bits = x.iter().fold(0, |largest, x| largest.max(x.to_bits() & 0x7fff_ffff));
}

#[inline(always)]
fn scale_integers_body<const FMA: bool>(factor: f64, sum: &[i64], x: &mut [f32]) {
    for (x, sum) in x.iter_mut().zip(sum) {
        *x = (*sum as f64 * factor) as f32;
    }
}

#[inline(always)]
fn axpy_body<const FMA: bool>(a: f32, x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = mul_add::<FMA>(a, *x, *y);
    }
}

#[inline(always)]
fn sgd_body<const FMA: bool>(rate: f32, shrink: f32, grad: &[f32], theta: &mut [f32]) {
    for (theta, g) in theta.iter_mut().zip(grad) {
        *theta = mul_add::<FMA>(-rate, *g, shrink * *theta);
    }
}

#[inline(always)]
fn momentum_body<const FMA: bool>(step: DescentStep, mu: f32, grad: &[f32], v: &mut [f32], theta: &mut [f32]) {
    let DescentStep { rate, shrink, scale } = step;
    for ((theta, v), g) in theta.iter_mut().zip(v).zip(grad) {
        *v = mul_add::<FMA>(mu, *v, scale * g);
        *theta = mul_add::<FMA>(-rate, *v, shrink * *theta);
    }
}

#[inline(always)]
fn adam_body<const FMA: bool>(step: AdamStep, grad: &[f32], first: &mut [f32], second: &mut [f32], theta: &mut [f32]) {
    let AdamStep { decay: (b1, b2), rate, correction, epsilon, shrink, scale } = step;
    for (((theta, m), v), g) in theta.iter_mut().zip(first).zip(second).zip(grad) {
        let g = scale * g;
        *m = mul_add::<FMA>(b1, *m, (1.0 - b1) * g);
        *v = mul_add::<FMA>(b2, *v, (1.0 - b2) * g * g);
        *theta = shrink * *theta - rate * *m / mul_add::<FMA>(v.sqrt(), correction, epsilon);
    }
}
