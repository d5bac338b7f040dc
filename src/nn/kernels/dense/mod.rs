//! The dense layer on rows padded to whole vector registers.
//!
//! Layers of up to [`PACK_LIMIT`] weights ([`narrow`]) and larger ones ([`dot`], [`outer`]) have different kernels. The
//! larger ones are cut into tasks for a team, by the shape alone.

mod dot;
mod narrow;
mod outer;
#[cfg(test)]
mod tests;

use super::{Activation, Isa};
use crate::nn::Team;
use crate::nn::program::LANE;

/// The most weights of a narrow layer.
const PACK_LIMIT: usize = 1 << 12;

/// A dense layer compiled for one instruction set. θ holds `W [out, in]`, then `b [out]`.
#[derive(Debug, Clone, Copy)]
pub struct DenseKernel {
    isa: Isa,
    inputs: usize,
    outputs: usize,
    packed_at: usize,
}

/// The sizes that a body needs.
#[derive(Clone, Copy)]
struct Dims {
    inputs: usize,
    outputs: usize,
    /// Row strides of the padded input and output rows.
    ldx: usize,
    ldy: usize,
    batch: usize,
}

impl DenseKernel {
    /// A kernel for `W [outputs, inputs]` whose scratch memory lies at `packed_at` of the workspace.
    pub fn new(isa: Isa, inputs: usize, outputs: usize, packed_at: usize) -> Self {
        Self { isa, inputs, outputs, packed_at }
    }

    /// The instruction set.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Floats of scratch memory: packed weights and bias of a narrow layer, partial sums of a wide one.
    pub fn packed_len(&self) -> usize {
        let dims = self.dims(0);
        if self.is_wide() { dot::partial_len(dims) } else { narrow::packed_len(dims) }
    }

    fn is_wide(&self) -> bool {
        self.inputs * self.outputs > PACK_LIMIT
    }

    fn dims(&self, batch: usize) -> Dims {
        let (inputs, outputs) = (self.inputs, self.outputs);
        let (ldx, ldy) = (inputs.next_multiple_of(LANE), outputs.next_multiple_of(LANE));
        Dims { inputs, outputs, ldx, ldy, batch }
    }

    /// Writes `y = f(x Wᵀ + b)`.
    ///
    /// # Shapes
    /// `x`: `[B, in]`, `y`: `[B, out]`, rows padded to whole registers.
    #[allow(clippy::too_many_arguments)]
    pub fn forward(
        &self,
        team: &dyn Team,
        f: Activation,
        theta: &[f32],
        packed: &mut [f32],
        x: &[f32],
        y: &mut [f32],
        batch: usize,
    ) {
        let dims = self.dims(batch);
        let packed = &mut packed[self.packed_at..self.packed_at + self.packed_len()];
        if self.is_wide() {
            dot::forward(self.isa, team, dims, f, theta, packed, x, y);
        } else {
            narrow::forward(self.isa, dims, f, theta, packed, x, y);
        }
    }

    /// Writes `dx = dz W`.
    pub fn grad_input(&self, team: &dyn Team, theta: &[f32], dz: &[f32], dx: &mut [f32], batch: usize) {
        let dims = self.dims(batch);
        if self.is_wide() {
            outer::grad_input(self.isa, team, dims, theta, dz, dx);
        } else {
            narrow::grad_input(self.isa, dims, theta, dz, dx);
        }
    }

    /// Writes `dW = dzᵀ x` and `db = Σ_b dz`.
    pub fn grad_params(&self, team: &dyn Team, x: &[f32], dz: &[f32], dtheta: &mut [f32], batch: usize) {
        let dims = self.dims(batch);
        let (dw, db) = dtheta.split_at_mut(dims.inputs * dims.outputs);
        if self.is_wide() {
            outer::grad_weights(self.isa, team, dims, x, dz, dw, false);
        } else {
            narrow::grad_weights(self.isa, dims, x, dz, dw);
        }
        narrow::grad_bias(self.isa, dims, dz, db);
    }

    /// Whether [`DenseKernel::add_params`] is there: a large gradient is not worth a copy to be added from.
    pub fn adds(&self) -> bool {
        self.is_wide()
    }

    /// Adds `dW = dzᵀ x` and `db = Σ_b dz` to what is there.
    ///
    /// # Panics
    /// If the layer is a narrow one.
    pub fn add_params(&self, team: &dyn Team, x: &[f32], dz: &[f32], dtheta: &mut [f32], batch: usize) {
        assert!(self.adds(), "a large layer");
        let dims = self.dims(batch);
        let (dw, db) = dtheta.split_at_mut(dims.inputs * dims.outputs);
        outer::grad_weights(self.isa, team, dims, x, dz, dw, true);
        for row in dz.chunks_exact(dims.ldy).take(batch) {
            db.iter_mut().zip(row).for_each(|(db, dz)| *db += dz);
        }
    }
}

/// Calls a cache line in advance; the address need not be one of ours.
#[inline(always)]
fn prefetch(at: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the instruction, and it touches no memory that the program could see.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}
