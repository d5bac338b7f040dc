//! Small dense layers: the weights lie in a cache near by, and calls and tails are what costs.
//!
//! The forward pass multiplies from a transposed copy of the weights, so that a register holds neighboring
//! outputs. The gradients have no tail loops: their last register overlaps the one before it, which is exact
//! because results are written, never added to.

use super::Dims;
use crate::nn::kernels::{Activation, Isa, lane_starts, load, mul_add, multiversion, store};
use crate::nn::program::LANE;

/// Batch rows in a tile.
const ROWS: usize = 4;

/// Floats of packed weights and bias.
pub(super) fn packed_len(d: Dims) -> usize {
    (d.inputs + 1) * d.ldy
}

/// Writes `y = f(x Wᵀ + b)`.
pub(super) fn forward(isa: Isa, d: Dims, f: Activation, theta: &[f32], packed: &mut [f32], x: &[f32], y: &mut [f32]) {
    pack(isa, d, theta, packed);
    forward_packed(isa, d, f, packed, x, y);
}

/// Writes `dx = dz W`.
pub(super) fn grad_input(isa: Isa, d: Dims, theta: &[f32], dz: &[f32], dx: &mut [f32]) {
    match d.inputs {
        8.. => grad_input_8(isa, d, theta, dz, dx),
        4.. => grad_input_4(isa, d, theta, dz, dx),
        _ => grad_input_1(isa, d, theta, dz, dx),
    }
}

/// Writes `dW = dzᵀ x`.
pub(super) fn grad_weights(isa: Isa, d: Dims, x: &[f32], dz: &[f32], dw: &mut [f32]) {
    match d.inputs {
        8.. => grad_weights_8(isa, d, x, dz, dw),
        4.. => grad_weights_4(isa, d, x, dz, dw),
        _ => grad_weights_1(isa, d, x, dz, dw),
    }
}

multiversion! { fn pack(dims: Dims, theta: &[f32], packed: &mut [f32]) = pack_body }
multiversion! {
    /// Writes `db = Σ_b dz`.
    pub(super) fn grad_bias(dims: Dims, dz: &[f32], db: &mut [f32]) = grad_bias_body
}
multiversion! { fn forward_packed(dims: Dims, f: Activation, packed: &[f32], x: &[f32], y: &mut [f32]) = forward_body }
multiversion! { fn grad_input_8(dims: Dims, theta: &[f32], dz: &[f32], dx: &mut [f32]) = grad_input_lanes_8 }
multiversion! { fn grad_input_4(dims: Dims, theta: &[f32], dz: &[f32], dx: &mut [f32]) = grad_input_lanes_4 }
multiversion! { fn grad_input_1(dims: Dims, theta: &[f32], dz: &[f32], dx: &mut [f32]) = grad_input_lanes_1 }
multiversion! { fn grad_weights_8(dims: Dims, x: &[f32], dz: &[f32], dw: &mut [f32]) = grad_weights_lanes_8 }
multiversion! { fn grad_weights_4(dims: Dims, x: &[f32], dz: &[f32], dw: &mut [f32]) = grad_weights_lanes_4 }
multiversion! { fn grad_weights_1(dims: Dims, x: &[f32], dz: &[f32], dw: &mut [f32]) = grad_weights_lanes_1 }

/// Runs a tile function on [`ROWS`] batch rows at a time, and on single rows for what is left. A row's result
/// does not depend on which of the two computed it.
macro_rules! row_tiles {
    ($dims:expr, $tile:ident::<$($g:tt),*>($($arg:expr),*)) => {
        let mut b = 0;
        while b + ROWS <= $dims.batch {
            $tile::<$($g,)* ROWS>($dims, b, $($arg),*);
            b += ROWS;
        }
        while b < $dims.batch {
            $tile::<$($g,)* 1>($dims, b, $($arg),*);
            b += 1;
        }
    };
}

/// Copies `W [out, in]` to `[in, ldy]` and the bias behind it, four outputs at a time.
/// Some of the padding repeats an output; nobody reads what comes of it.
#[inline(always)]
fn pack_body<const FMA: bool>(d: Dims, theta: &[f32], packed: &mut [f32]) {
    let (weights, bias) = theta.split_at(d.inputs * d.outputs);
    let (to, to_bias) = packed.split_at_mut(d.inputs * d.ldy);
    for (four, rows) in weights.chunks(4 * d.inputs).enumerate() {
        let row = |k: usize| rows.chunks_exact(d.inputs).nth(k).unwrap_or(&rows[..d.inputs]);
        let columns = row(0).iter().zip(row(1)).zip(row(2)).zip(row(3));
        for (to, (((a, b), c), e)) in to.chunks_exact_mut(d.ldy).zip(columns) {
            store(to, 4 * four, &[*a, *b, *c, *e]);
        }
    }
    to_bias[..d.outputs].copy_from_slice(bias);
}

/// `db[o] = Σ_b dz[b, o]`, a register of outputs at a time.
#[inline(always)]
fn grad_bias_body<const FMA: bool>(d: Dims, dz: &[f32], db: &mut [f32]) {
    for (lane, db) in db.chunks_mut(LANE).enumerate() {
        let mut sum = [0.0f32; LANE];
        for row in dz.chunks_exact(d.ldy).take(d.batch) {
            let dz: [f32; LANE] = load(row, lane * LANE);
            for (sum, dz) in sum.iter_mut().zip(&dz) {
                *sum += dz;
            }
        }
        db.copy_from_slice(&sum[..db.len()]);
    }
}

#[inline(always)]
fn forward_body<const FMA: bool>(dims: Dims, f: Activation, packed: &[f32], x: &[f32], y: &mut [f32]) {
    row_tiles!(dims, narrow_rows::<FMA>(packed, x, y));
    f.apply::<FMA>(y);
}

#[inline(always)]
fn narrow_rows<const FMA: bool, const R: usize>(d: Dims, b: usize, packed: &[f32], x: &[f32], y: &mut [f32]) {
    let mut o = 0;
    while o + 2 * LANE <= d.ldy {
        narrow_tile::<FMA, R, 2>(d, b, o, packed, x, y);
        o += 2 * LANE;
    }
    if o < d.ldy {
        narrow_tile::<FMA, R, 1>(d, b, o, packed, x, y);
    }
}

/// `R` batch rows by `V` registers of outputs.
#[inline(always)]
fn narrow_tile<const FMA: bool, const R: usize, const V: usize>(
    d: Dims,
    b: usize,
    o: usize,
    packed: &[f32],
    x: &[f32],
    y: &mut [f32],
) {
    let rows: [&[f32]; R] = std::array::from_fn(|r| &x[(b + r) * d.ldx..][..d.inputs]);
    let bias: [[f32; LANE]; V] = std::array::from_fn(|v| load(packed, d.inputs * d.ldy + o + v * LANE));
    let mut sums = [bias; R];
    for (i, weights) in packed.chunks_exact(d.ldy).take(d.inputs).enumerate() {
        let w: [[f32; LANE]; V] = std::array::from_fn(|v| load(weights, o + v * LANE));
        for (sums, row) in sums.iter_mut().zip(&rows) {
            for (sum, w) in sums.iter_mut().zip(&w) {
                for (sum, w) in sum.iter_mut().zip(w) {
                    *sum = mul_add::<FMA>(row[i], *w, *sum);
                }
            }
        }
    }
    for (r, sums) in sums.into_iter().enumerate() {
        for (v, sum) in sums.into_iter().enumerate() {
            store(y, (b + r) * d.ldy + o + v * LANE, &sum);
        }
    }
}

macro_rules! lanes {
    ($name:ident, $l:literal, $tile:ident, $($arg:ident: $ty:ty),*) => {
        #[inline(always)]
        fn $name<const FMA: bool>(dims: Dims, $($arg: $ty),*) {
            $tile::<FMA, $l>(dims, $($arg),*)
        }
    };
}
lanes!(grad_input_lanes_8, 8, grad_input_body, theta: &[f32], dz: &[f32], dx: &mut [f32]);
lanes!(grad_input_lanes_4, 4, grad_input_body, theta: &[f32], dz: &[f32], dx: &mut [f32]);
lanes!(grad_input_lanes_1, 1, grad_input_body, theta: &[f32], dz: &[f32], dx: &mut [f32]);
lanes!(grad_weights_lanes_8, 8, grad_weights_body, x: &[f32], dz: &[f32], dw: &mut [f32]);
lanes!(grad_weights_lanes_4, 4, grad_weights_body, x: &[f32], dz: &[f32], dw: &mut [f32]);
lanes!(grad_weights_lanes_1, 1, grad_weights_body, x: &[f32], dz: &[f32], dw: &mut [f32]);

#[inline(always)]
fn grad_input_body<const FMA: bool, const L: usize>(dims: Dims, theta: &[f32], dz: &[f32], dx: &mut [f32]) {
    row_tiles!(dims, grad_input_rows::<FMA, L>(theta, dz, dx));
}

/// `dx[b, i] = Σ_o dz[b, o] W[o, i]` for `R` rows and each register of inputs.
#[inline(always)]
fn grad_input_rows<const FMA: bool, const L: usize, const R: usize>(
    d: Dims,
    b: usize,
    theta: &[f32],
    dz: &[f32],
    dx: &mut [f32],
) {
    let rows: [&[f32]; R] = std::array::from_fn(|r| &dz[(b + r) * d.ldy..][..d.outputs]);
    for i in lane_starts::<L>(d.inputs) {
        let mut sums = [[0.0f32; L]; R];
        for (o, w) in theta.chunks_exact(d.inputs).take(d.outputs).enumerate() {
            let w: [f32; L] = load(w, i);
            for (sum, row) in sums.iter_mut().zip(&rows) {
                for (sum, w) in sum.iter_mut().zip(&w) {
                    *sum = mul_add::<FMA>(row[o], *w, *sum);
                }
            }
        }
        for (r, sum) in sums.iter().enumerate() {
            store(dx, (b + r) * d.ldx + i, sum);
        }
    }
}

#[inline(always)]
fn grad_weights_body<const FMA: bool, const L: usize>(d: Dims, x: &[f32], dz: &[f32], dw: &mut [f32]) {
    let mut o = 0;
    while o + 4 <= d.outputs {
        grad_weights_rows::<FMA, L, 4>(d, o, x, dz, dw);
        o += 4;
    }
    while o < d.outputs {
        grad_weights_rows::<FMA, L, 1>(d, o, x, dz, dw);
        o += 1;
    }
}

/// `dW[o, i] = Σ_b dz[b, o] x[b, i]` for `R` outputs and pairs of registers of inputs.
#[inline(always)]
fn grad_weights_rows<const FMA: bool, const L: usize, const R: usize>(
    d: Dims,
    o: usize,
    x: &[f32],
    dz: &[f32],
    dw: &mut [f32],
) {
    let mut starts = lane_starts::<L>(d.inputs);
    while let Some(i) = starts.next() {
        match starts.next() {
            Some(j) => grad_weights_tile::<FMA, L, R, 2>(d, o, [i, j], x, dz, dw),
            None => grad_weights_tile::<FMA, L, R, 1>(d, o, [i], x, dz, dw),
        }
    }
}

/// `R` outputs by `V` registers of inputs, summed over the batch.
#[inline(always)]
fn grad_weights_tile<const FMA: bool, const L: usize, const R: usize, const V: usize>(
    d: Dims,
    o: usize,
    starts: [usize; V],
    x: &[f32],
    dz: &[f32],
    dw: &mut [f32],
) {
    let mut sums = [[[0.0f32; L]; V]; R];
    for (x, dz) in x.chunks_exact(d.ldx).zip(dz.chunks_exact(d.ldy)).take(d.batch) {
        let x: [[f32; L]; V] = std::array::from_fn(|v| load(x, starts[v]));
        let dz: [f32; R] = load(dz, o);
        for (sums, dz) in sums.iter_mut().zip(&dz) {
            for (sum, x) in sums.iter_mut().zip(&x) {
                for (sum, x) in sum.iter_mut().zip(x) {
                    *sum = mul_add::<FMA>(*dz, *x, *sum);
                }
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        for (sum, start) in sums.iter().zip(starts) {
            store(dw, (o + r) * d.inputs + start, sum);
        }
    }
}
