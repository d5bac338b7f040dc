//! Batch normalization of pictures, with the ReLU and the pooling behind it.
//!
//! One pass over the sums of a convolution takes the moments, one normalizes, cuts and pools; backward likewise one
//! takes the sums over the gradient and one spreads it. All work on one picture; the caller adds up the
//! pictures' sums in a fixed order.

use super::conv::{DEAD, Post};
use super::grid::{DEPTH, Grid};
use super::{Isa, load, mul_add, multiversion, store};

/// Batch normalization compiled for one size of picture.
#[derive(Debug, Clone, Copy)]
pub struct NormKernel {
    /// The instruction set.
    pub isa: Isa,
    /// The picture that is normalized, and its gradient.
    pub z: Grid,
    /// The output after `post`.
    pub y: Grid,
    /// What follows.
    pub post: Post,
}

/// What a channel's values are brought to: `y = scale·z + shift`.
#[derive(Clone, Copy)]
pub struct Affine<'a> {
    /// γ / s, `[depth]`.
    pub scale: &'a [f32],
    /// β − μ·γ / s, `[depth]`.
    pub shift: &'a [f32],
}

/// How the gradient comes back: `dz = a·g + b·z + c`, with g the gradient behind the normalization.
#[derive(Clone, Copy)]
pub struct Back<'a> {
    /// γ / s.
    pub a: &'a [f32],
    /// What the variance gives back.
    pub b: &'a [f32],
    /// What the mean gives back.
    pub c: &'a [f32],
}

/// A register of channels.
type Lane = [f32; DEPTH];

impl NormKernel {
    /// Adds `Σ (z − origin)` and `Σ (z − origin)²` of each channel to `sums`.
    ///
    /// # Shapes
    /// `origin`: `[depth]`; `sums`: `[2, depth]`.
    pub fn moments(&self, z: &[f32], origin: &[f32], sums: &mut [f64]) {
        moments(self.isa, self.z, z, origin, sums);
    }

    /// Writes `y` and, when it pools, which element of each window was the largest.
    ///
    /// # Shapes
    /// `marks`: `[Hp, Wp, depth]`.
    pub fn apply(&self, z: &[f32], affine: Affine, y: &mut [f32], marks: &mut [u8]) {
        match self.post {
            Post::ReluPool => apply_pool(self.isa, self.z, self.y, z, affine, y, marks),
            post => apply_plain(self.isa, self.z, self.y, z, affine, post == Post::Relu, y),
        }
    }

    /// Adds `Σ g` and `Σ g·(z − origin)` of each channel to `sums`, g being `dy` where it comes through `post`.
    ///
    /// # Shapes
    /// `sums`: `[2, depth]`.
    pub fn grad_sums(&self, z: &[f32], y: &[f32], dy: &[f32], marks: &[u8], origin: &[f32], sums: &mut [f64]) {
        match self.post {
            Post::ReluPool => sums_pool(self.isa, self.z, self.y, z, dy, marks, origin, sums),
            post => sums_plain(self.isa, self.z, self.y, z, y, dy, post == Post::Relu, origin, sums),
        }
    }

    /// Writes `dz`.
    pub fn grad_input(&self, z: &[f32], y: &[f32], dy: &[f32], marks: &[u8], back: Back, dz: &mut [f32]) {
        match self.post {
            Post::ReluPool => spread_pool(self.isa, self.z, self.y, z, dy, marks, back, dz),
            post => spread_plain(self.isa, self.z, self.y, z, y, dy, post == Post::Relu, back, dz),
        }
    }
}

multiversion! { fn moments(g: Grid, z: &[f32], origin: &[f32], sums: &mut [f64]) = moments_body }
multiversion! { fn apply_pool(zg: Grid, yg: Grid, z: &[f32], affine: Affine, y: &mut [f32], marks: &mut [u8]) = apply_pool_body }
multiversion! { fn apply_plain(zg: Grid, yg: Grid, z: &[f32], affine: Affine, relu: bool, y: &mut [f32]) = apply_plain_body }
multiversion! { fn sums_pool(zg: Grid, yg: Grid, z: &[f32], dy: &[f32], marks: &[u8], origin: &[f32], sums: &mut [f64]) = sums_pool_body }
multiversion! { fn sums_plain(zg: Grid, yg: Grid, z: &[f32], y: &[f32], dy: &[f32], relu: bool, origin: &[f32], sums: &mut [f64]) = sums_plain_body }
multiversion! { fn spread_pool(zg: Grid, yg: Grid, z: &[f32], dy: &[f32], marks: &[u8], back: Back, dz: &mut [f32]) = spread_pool_body }
multiversion! { fn spread_plain(zg: Grid, yg: Grid, z: &[f32], y: &[f32], dy: &[f32], relu: bool, back: Back, dz: &mut [f32]) = spread_plain_body }

/// `f` of each lane.
#[inline(always)]
fn lane(f: impl Fn(usize) -> f32) -> Lane {
    let mut lane = [0.0; DEPTH];
    for (l, to) in lane.iter_mut().enumerate() {
        *to = f(l);
    }
    lane
}

/// Adds two lanes of a row's sums to the channels' sums of the picture.
#[inline(always)]
fn add_row(sums: &mut [f64], depth: usize, c: usize, row: [Lane; 2]) {
    for (s, row) in row.iter().enumerate() {
        for (to, from) in sums[s * depth + c..].iter_mut().zip(row) {
            *to += f64::from(*from);
        }
    }
}

#[inline(always)]
fn moments_body<const FMA: bool>(g: Grid, z: &[f32], origin: &[f32], sums: &mut [f64]) {
    for c in (0..g.depth).step_by(DEPTH) {
        let from: Lane = load(origin, c);
        for row in 0..g.height {
            let mut row_sums = [[0.0f32; DEPTH]; 2];
            let pixels = &z[g.at(row, 0) + c..];
            for x in 0..g.width {
                let z: Lane = load(pixels, x * g.depth);
                let d = lane(|l| z[l] - from[l]);
                row_sums[0] = lane(|l| row_sums[0][l] + d[l]);
                row_sums[1] = lane(|l| mul_add::<FMA>(d[l], d[l], row_sums[1][l]));
            }
            add_row(sums, g.depth, c, row_sums);
        }
    }
}

#[inline(always)]
fn apply_plain_body<const FMA: bool>(zg: Grid, yg: Grid, z: &[f32], affine: Affine, relu: bool, y: &mut [f32]) {
    let least = if relu { 0.0 } else { f32::NEG_INFINITY };
    for c in (0..zg.depth).step_by(DEPTH) {
        let (scale, shift): (Lane, Lane) = (load(affine.scale, c), load(affine.shift, c));
        for row in 0..zg.height {
            let from = &z[zg.at(row, 0) + c..];
            let to = &mut y[yg.at(row, 0) + c..];
            for x in 0..zg.width {
                let z: Lane = load(from, x * zg.depth);
                let y = lane(|l| mul_add::<FMA>(z[l], scale[l], shift[l]));
                // Not `max`, which would turn NaN into a number.
                store(to, x * yg.depth, &lane(|l| if y[l] < least { least } else { y[l] }));
            }
        }
    }
}

#[inline(always)]
fn apply_pool_body<const FMA: bool>(zg: Grid, yg: Grid, z: &[f32], affine: Affine, y: &mut [f32], marks: &mut [u8]) {
    for row in 0..yg.height {
        for x in 0..yg.width {
            let from = zg.at(2 * row, 2 * x);
            let (to, mark) = (yg.at(row, x), (row * yg.width + x) * yg.depth);
            for c in (0..zg.depth).step_by(DEPTH) {
                let (scale, shift): (Lane, Lane) = (load(affine.scale, c), load(affine.shift, c));
                let mut best = [0.0f32; DEPTH];
                let mut which = [DEAD; DEPTH];
                for (k, at) in [0, zg.depth, zg.row(), zg.row() + zg.depth].into_iter().enumerate() {
                    let z: Lane = load(z, from + at + c);
                    for l in 0..DEPTH {
                        let y = mul_add::<FMA>(z[l], scale[l], shift[l]);
                        // NaN must go on to the loss.
                        let larger = y > best[l] || y.is_nan();
                        best[l] = if larger { y } else { best[l] };
                        which[l] = if larger { k as u8 } else { which[l] };
                    }
                }
                store(y, to + c, &best);
                marks[mark + c..mark + c + DEPTH].copy_from_slice(&which);
            }
        }
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn sums_plain_body<const FMA: bool>(
    zg: Grid,
    yg: Grid,
    z: &[f32],
    y: &[f32],
    dy: &[f32],
    relu: bool,
    origin: &[f32],
    sums: &mut [f64],
) {
    for c in (0..zg.depth).step_by(DEPTH) {
        let from: Lane = load(origin, c);
        for row in 0..zg.height {
            let mut row_sums = [[0.0f32; DEPTH]; 2];
            for x in 0..zg.width {
                let (at, to) = (zg.at(row, x) + c, yg.at(row, x) + c);
                let (z, y, dy): (Lane, Lane, Lane) = (load(z, at), load(y, to), load(dy, to));
                let g = lane(|l| if relu && y[l] <= 0.0 { 0.0 } else { dy[l] });
                row_sums[0] = lane(|l| row_sums[0][l] + g[l]);
                row_sums[1] = lane(|l| mul_add::<FMA>(g[l], z[l] - from[l], row_sums[1][l]));
            }
            add_row(sums, zg.depth, c, row_sums);
        }
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn sums_pool_body<const FMA: bool>(
    zg: Grid,
    yg: Grid,
    z: &[f32],
    dy: &[f32],
    marks: &[u8],
    origin: &[f32],
    sums: &mut [f64],
) {
    for c in (0..zg.depth).step_by(DEPTH) {
        let origin: Lane = load(origin, c);
        for row in 0..yg.height {
            let mut row_sums = [[0.0f32; DEPTH]; 2];
            for x in 0..yg.width {
                let from = zg.at(2 * row, 2 * x) + c;
                let dy: Lane = load(dy, yg.at(row, x) + c);
                let marks = &marks[(row * yg.width + x) * yg.depth + c..][..DEPTH];
                for (k, at) in [0, zg.depth, zg.row(), zg.row() + zg.depth].into_iter().enumerate() {
                    let z: Lane = load(z, from + at);
                    let g = lane(|l| if marks[l] == k as u8 { dy[l] } else { 0.0 });
                    row_sums[0] = lane(|l| row_sums[0][l] + g[l]);
                    row_sums[1] = lane(|l| mul_add::<FMA>(g[l], z[l] - origin[l], row_sums[1][l]));
                }
            }
            add_row(sums, zg.depth, c, row_sums);
        }
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn spread_plain_body<const FMA: bool>(
    zg: Grid,
    yg: Grid,
    z: &[f32],
    y: &[f32],
    dy: &[f32],
    relu: bool,
    back: Back,
    dz: &mut [f32],
) {
    for c in (0..zg.depth).step_by(DEPTH) {
        let (a, b, d): (Lane, Lane, Lane) = (load(back.a, c), load(back.b, c), load(back.c, c));
        for row in 0..zg.height {
            for x in 0..zg.width {
                let (at, to) = (zg.at(row, x) + c, yg.at(row, x) + c);
                let (z, y, dy): (Lane, Lane, Lane) = (load(z, at), load(y, to), load(dy, to));
                let g = lane(|l| if relu && y[l] <= 0.0 { 0.0 } else { dy[l] });
                store(dz, at, &lane(|l| mul_add::<FMA>(a[l], g[l], mul_add::<FMA>(b[l], z[l], d[l]))));
            }
        }
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn spread_pool_body<const FMA: bool>(
    zg: Grid,
    yg: Grid,
    z: &[f32],
    dy: &[f32],
    marks: &[u8],
    back: Back,
    dz: &mut [f32],
) {
    for row in 0..zg.height {
        for x in 0..zg.width {
            let (at, window) = (zg.at(row, x), (row / 2, x / 2));
            let pooled = window.0 < yg.height && window.1 < yg.width;
            let k = (row % 2 * 2 + x % 2) as u8;
            for c in (0..zg.depth).step_by(DEPTH) {
                let (a, b, d): (Lane, Lane, Lane) = (load(back.a, c), load(back.b, c), load(back.c, c));
                let z: Lane = load(z, at + c);
                let rest = lane(|l| mul_add::<FMA>(b[l], z[l], d[l]));
                if !pooled {
                    store(dz, at + c, &rest);
                    continue;
                }
                let dy: Lane = load(dy, yg.at(window.0, window.1) + c);
                let marks = &marks[(window.0 * yg.width + window.1) * yg.depth + c..][..DEPTH];
                let g = lane(|l| if marks[l] == k { dy[l] } else { 0.0 });
                store(dz, at + c, &lane(|l| mul_add::<FMA>(a[l], g[l], rest[l])));
            }
        }
    }
}
