//! The step of a convolution with the ReLU and the pooling behind it.
//!
//! Forward every picture is a task. Backward the pictures are cut into groups whose number depends on the batch alone;
//! each group adds up its own gradient of the weights, and the groups' sums are added in order.

use crate::nn::Team;
use crate::nn::kernels::conv::{ConvKernel, Post};
use crate::nn::kernels::share::{share1, share2};
use crate::nn::team::worthwhile;

/// The most groups of a backward pass: more than threads that share a picture's batch sensibly.
const MOST_GROUPS: usize = 16;
/// Floats of the groups' sums that are added up at a time.
const BLOCK: usize = 2048;
/// Floats that the weight gradients of all groups may take.
const MOST_SUMS: usize = 4 << 20;

/// A convolution in a program.
#[derive(Debug, Clone)]
pub(super) struct ConvStep {
    pub kernel: ConvKernel,
    /// Where its packed weights begin.
    pub packed: usize,
    /// Where its marks begin, in bytes a sample.
    pub marks: usize,
    /// Whether anybody asks for the gradient of its input.
    pub input_gradient: bool,
}

/// The memory that a backward pass of a batch works on.
pub(super) struct Backward<'a> {
    pub packed: &'a mut [f32],
    pub x: &'a [f32],
    pub y: &'a [f32],
    pub dy: &'a mut [f32],
    pub marks: &'a [u8],
    pub scratch: &'a mut [f32],
    /// Where the gradient of the input goes, if anybody asks.
    pub dx: Option<&'a mut [f32]>,
}

impl ConvStep {
    /// Floats of packed weights: one form for each direction.
    pub fn packed_len(&self) -> usize {
        self.kernel.packed_len() + self.back_len()
    }

    fn back_len(&self) -> usize {
        match (self.input_gradient, self.kernel.prefers_sparse()) {
            (false, _) => 0,
            (true, true) => self.kernel.packed_sparse_len(),
            (true, false) => self.kernel.packed_backward_len(),
        }
    }

    /// Marks of a sample.
    pub fn marks_len(&self) -> usize {
        if self.kernel.post == Post::ReluPool { self.kernel.argmax_len() } else { 0 }
    }

    /// Into how many groups a batch is cut at most.
    pub fn most_groups(&self) -> usize {
        (MOST_SUMS / self.kernel.grad_len()).clamp(1, MOST_GROUPS)
    }

    /// Floats of scratch that a group needs: its sums, then what it unpools or lists.
    pub fn group_len(&self) -> usize {
        let work = match self.kernel.post {
            Post::None => 0,
            Post::ReluPool if self.kernel.prefers_sparse() => self.kernel.scratch_len(),
            Post::Relu | Post::ReluPool => self.kernel.z.len(),
        };
        (self.kernel.grad_len() + work).next_multiple_of(16)
    }

    /// Runs forward on a batch.
    pub fn forward(
        &self,
        team: &dyn Team,
        theta: &[f32],
        packed: &mut [f32],
        x: &[f32],
        y: &mut [f32],
        marks: &mut [u8],
    ) {
        let kernel = &self.kernel;
        let packed = &mut packed[self.packed..][..kernel.packed_len()];
        kernel.pack(theta, packed);
        let packed = &*packed;
        let (each, batch) = (kernel.x.len(), y.len() / kernel.y.len());
        share2(team, batch, (y, kernel.y.len()), (marks, self.marks_len()), &|b, y, marks| {
            kernel.forward(packed, &x[b * each..][..each], y, marks);
        });
    }

    /// Runs backward on a batch of as many samples as `dy` holds; writes `dtheta` and the gradient of the input, as far
    /// as either is asked for.
    pub fn backward(&self, team: &dyn Team, theta: &[f32], m: Backward, dtheta: Option<&mut [f32]>) {
        let kernel = &self.kernel;
        let (x_len, y_len, marks_len) = (kernel.x.len(), kernel.y.len(), self.marks_len());
        let packed = &mut m.packed[self.packed + kernel.packed_len()..][..self.back_len()];
        match (m.dx.is_some(), kernel.prefers_sparse()) {
            (false, _) => {}
            (true, true) => kernel.pack_sparse(theta, packed),
            (true, false) => kernel.pack_backward(theta, packed),
        }
        let (packed, x, y, marks) = (&*packed, m.x, m.y, m.marks);
        let batch = m.dy.len() / y_len;
        let groups = batch.min(self.most_groups());
        let (per, group_len) = (batch.div_ceil(groups), self.group_len());
        // A convolution without anything behind it takes `dy` as it is, and its margin must be zero.
        if kernel.post == Post::None {
            m.dy.chunks_exact_mut(y_len).for_each(|dy| kernel.z.clear_margin(dy));
        }
        let dy = &*m.dy;
        let (dx, dx_part) = match m.dx {
            Some(dx) => (dx, per * x_len),
            None => (&mut [][..], 0),
        };
        let scratch = &mut m.scratch[..groups * group_len];
        share2(team, groups, (&mut *scratch, group_len), (dx, dx_part), &|g, scratch, dx| {
            let (sums, work) = scratch.split_at_mut(kernel.grad_len());
            let mut sums = Some(sums).filter(|_| dtheta.is_some());
            if let Some(sums) = &mut sums {
                sums.fill(0.0);
            }
            if !work.is_empty() && !kernel.prefers_sparse() {
                kernel.z.clear_margin(work);
            }
            let mut dx = dx.chunks_exact_mut(x_len);
            for b in g * per..batch.min((g + 1) * per) {
                let picture = Picture {
                    x: &x[b * x_len..][..x_len],
                    y: &y[b * y_len..][..y_len],
                    dy: &dy[b * y_len..][..y_len],
                    marks: &marks[b * marks_len..][..marks_len],
                };
                self.picture(packed, picture, work, sums.as_deref_mut(), dx.next());
            }
        });
        let Some(dtheta) = dtheta else { return };
        let (first, others) = scratch.split_at_mut(group_len);
        let sums = &mut first[..kernel.grad_len()];
        let blocks = sums.len().div_ceil(BLOCK);
        share1(worthwhile(team, groups * sums.len()), blocks, (&mut *sums, BLOCK), &|block, sums| {
            for other in others.chunks_exact(group_len) {
                sums.iter_mut().zip(&other[block * BLOCK..]).for_each(|(sum, part)| *sum += part);
            }
        });
        kernel.unpack_grad(sums, dtheta);
    }

    /// One picture's gradients.
    fn picture(&self, packed: &[f32], p: Picture, work: &mut [f32], sums: Option<&mut [f32]>, dx: Option<&mut [f32]>) {
        let kernel = &self.kernel;
        if kernel.post == Post::ReluPool && kernel.prefers_sparse() {
            if let Some(sums) = sums {
                kernel.sparse_grad_weights(p.x, p.dy, p.marks, bytemuck::cast_slice_mut(work), sums);
            }
            if let Some(dx) = dx {
                kernel.sparse_grad_input(packed, p.dy, p.marks, dx);
            }
            return;
        }
        let dz = match kernel.post {
            Post::None => p.dy,
            Post::Relu => {
                kernel.relu_backward(p.y, p.dy, work);
                work
            }
            Post::ReluPool => {
                kernel.unpool(p.dy, p.marks, work);
                work
            }
        };
        if let Some(sums) = sums {
            kernel.grad_weights(p.x, dz, sums);
        }
        if let Some(dx) = dx {
            kernel.grad_input(packed, dz, dx);
        }
    }
}

/// What one picture's backward pass reads.
struct Picture<'a> {
    x: &'a [f32],
    y: &'a [f32],
    dy: &'a [f32],
    marks: &'a [u8],
}
