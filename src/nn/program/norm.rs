//! The step of a batch normalization of pictures, with the ReLU and the pooling behind it.
//!
//! The pictures' sums are taken one by one and added up in the batch's order, in 64 bits: so the bits do not depend on
//! who took them.

use crate::nn::kernels::conv::Post;
use crate::nn::kernels::norm::{Affine, Back, NormKernel};
use crate::nn::kernels::share::{share1, share2};
use crate::nn::{Context, Phase, Team};

/// A batch normalization in a program.
#[derive(Debug, Clone)]
pub(super) struct NormStep {
    pub kernel: NormKernel,
    pub channels: usize,
    pub eps: f32,
    /// Where its marks begin, in bytes a sample.
    pub marks: usize,
    /// Where it keeps `[origin | mean | 1/s | scale | shift | a | b | c]`, each `[depth]`, in the packed arena.
    pub kept: usize,
}

/// What is kept from the forward for the backward pass.
const KEPT: usize = 8;

impl NormStep {
    /// Floats that it keeps.
    pub fn packed_len(&self) -> usize {
        KEPT * self.kernel.z.depth
    }

    /// Marks of a sample.
    pub fn marks_len(&self) -> usize {
        let y = self.kernel.y;
        if self.kernel.post == Post::ReluPool { y.height * y.width * y.depth } else { 0 }
    }

    /// Floats of scratch for each sample: two sums of 64 bits a channel.
    pub fn group_len(&self) -> usize {
        4 * self.kernel.z.depth
    }

    /// Values of a channel in a batch.
    fn count(&self, batch: usize) -> f64 {
        (batch * self.kernel.z.height * self.kernel.z.width) as f64
    }

    /// Runs forward on a batch; in training, also writes the moments that the running statistics follow.
    #[allow(clippy::too_many_arguments)]
    pub fn forward(
        &self,
        context: &Context,
        theta: &[f32],
        packed: &mut [f32],
        scratch: &mut [f32],
        z: &[f32],
        y: &mut [f32],
        marks: &mut [u8],
        moments: &mut [f32],
    ) {
        let (kernel, depth) = (&self.kernel, self.kernel.z.depth);
        let (z_len, batch) = (kernel.z.len(), y.len() / kernel.y.len());
        let kept = &mut packed[self.kept..][..self.packed_len()];
        let (origin, rest) = kept.split_at_mut(depth);
        let (mean, rest) = rest.split_at_mut(depth);
        let (inverse, rest) = rest.split_at_mut(depth);
        let (scale, rest) = rest.split_at_mut(depth);
        let shift = &mut rest[..depth];
        // Sums of differences to any value near the mean lose no digits; a pixel of the first picture will do.
        origin.copy_from_slice(&z[kernel.z.at(0, 0)..][..depth]);
        let n = self.count(batch);
        let train = context.phase == Phase::Train;
        if train {
            let each = |b: usize, sums: &mut [f64]| kernel.moments(&z[b * z_len..][..z_len], origin, sums);
            let sums = sums(context.team, scratch, depth, batch, &each);
            for c in 0..self.channels {
                let (first, second) = (sums[c] / n, sums[depth + c] / n);
                let variance = (second - first * first).max(0.0);
                mean[c] = (f64::from(origin[c]) + first) as f32;
                inverse[c] = (1.0 / (variance + f64::from(self.eps)).sqrt()) as f32;
                moments[c] = mean[c];
                // A single value says nothing about a variance: the running one stays.
                let unbiased =
                    if n > 1.0 { variance * n / (n - 1.0) } else { f64::from(context.sigma[self.channels + c]) };
                moments[self.channels + c] = unbiased as f32;
            }
        } else {
            for c in 0..self.channels {
                mean[c] = context.sigma[c];
                let variance = f64::from(context.sigma[self.channels + c]);
                inverse[c] = (1.0 / (variance + f64::from(self.eps)).sqrt()) as f32;
            }
        }
        for c in 0..self.channels {
            scale[c] = theta[c] * inverse[c];
            shift[c] = theta[self.channels + c] - mean[c] * scale[c];
        }
        let affine = Affine { scale, shift };
        let (y_len, marks_len) = (kernel.y.len(), self.marks_len());
        share2(context.team, batch, (y, y_len), (marks, marks_len), &|b, y, marks| {
            kernel.apply(&z[b * z_len..][..z_len], affine, y, marks);
        });
    }

    /// Runs backward on a batch: writes `dtheta` and the gradient of the input, as far as either is asked for.
    #[allow(clippy::too_many_arguments)]
    pub fn backward(
        &self,
        context: &Context,
        packed: &mut [f32],
        scratch: &mut [f32],
        [z, y, dy]: [&[f32]; 3],
        marks: &[u8],
        dz: Option<&mut [f32]>,
        mut dtheta: Option<&mut [f32]>,
    ) {
        let (kernel, depth, channels) = (&self.kernel, self.kernel.z.depth, self.channels);
        let (z_len, y_len, marks_len) = (kernel.z.len(), kernel.y.len(), self.marks_len());
        let batch = dy.len() / y_len;
        let kept = &mut packed[self.kept..][..self.packed_len()];
        let (kept, spread) = kept.split_at_mut(5 * depth);
        let (mean, inverse, scale) =
            (&kept[depth..2 * depth], &kept[2 * depth..3 * depth], &kept[3 * depth..4 * depth]);
        let picture = |b: usize| {
            let marks = &marks[b * marks_len..][..marks_len];
            (&z[b * z_len..][..z_len], &y[b * y_len..][..y_len], &dy[b * y_len..][..y_len], marks)
        };
        let each = |b: usize, sums: &mut [f64]| {
            let (z, y, dy, marks) = picture(b);
            kernel.grad_sums(z, y, dy, marks, mean, sums);
        };
        let sums = sums(context.team, scratch, depth, batch, &each);
        let n = self.count(batch);
        let (a, rest) = spread.split_at_mut(depth);
        let (b, c) = rest.split_at_mut(depth);
        for i in 0..channels {
            // Σ g and Σ g x̂: what reaches β and γ.
            let (sum, slope) = (sums[i], sums[depth + i] * f64::from(inverse[i]));
            if let Some(dtheta) = &mut dtheta {
                dtheta[i] = slope as f32;
                dtheta[channels + i] = sum as f32;
            }
            a[i] = scale[i];
            if context.phase == Phase::Train {
                let back = -f64::from(scale[i]) * slope / n * f64::from(inverse[i]);
                b[i] = back as f32;
                c[i] = (-f64::from(scale[i]) * sum / n - back * f64::from(mean[i])) as f32;
            } else {
                (b[i], c[i]) = (0.0, 0.0);
            }
        }
        let back = Back { a, b, c };
        if let Some(dz) = dz {
            share1(context.team, batch, (dz, z_len), &|b, dz| {
                let (z, y, dy, marks) = picture(b);
                kernel.grad_input(z, y, dy, marks, back, dz);
            });
        }
    }
}

/// Sums of each picture, added up in the batch's order.
fn sums<'a>(
    team: &dyn Team,
    scratch: &'a mut [f32],
    depth: usize,
    batch: usize,
    each: &(dyn Fn(usize, &mut [f64]) + Sync),
) -> &'a [f64] {
    let scratch: &mut [f64] = bytemuck::cast_slice_mut(&mut scratch[..batch * 4 * depth]);
    share1(team, batch, (&mut *scratch, 2 * depth), &|b, sums| {
        sums.fill(0.0);
        each(b, sums);
    });
    let (first, others) = scratch.split_at_mut(2 * depth);
    for other in others.chunks_exact(2 * depth) {
        first.iter_mut().zip(other).for_each(|(sum, part)| *sum += part);
    }
    first
}
