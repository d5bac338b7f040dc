//! The gradient of the weights from the places that survive ReLU and max-pooling: at most one of four.
//!
//! For each output channel a list of its live places is made; the sums over the patches of the input at these places
//! stay in registers, each entry costs one broadcast and the multiplications.

use super::lists::{BLOCK, places};
use super::{ConvKernel, Post};
use crate::nn::kernels::simd::{Kernel, Simd};

impl ConvKernel {
    /// Whether to call the sparse forms instead of [`ConvKernel::unpool`] and the dense ones: after ReLU and 2 x 2
    /// max-pooling, 3 x 3 kernels with step 1.
    pub fn prefers_sparse(&self) -> bool {
        let s = &self.shape;
        self.post == Post::ReluPool && s.kernel == [3, 3] && s.stride == [1, 1] && self.can_list()
    }

    /// Entries of the scratch memory of [`ConvKernel::sparse_grad_weights`].
    pub fn scratch_len(&self) -> usize {
        BLOCK * self.list_len()
    }

    /// Adds one picture's gradient of the weights and the bias to `acc`, as [`ConvKernel::grad_weights`] does from
    /// the unpooled gradient.
    ///
    /// # Shapes
    /// `x`, `dy`: one picture on the grids `x`, `y`; `argmax`: [`ConvKernel::argmax_len`]; `acc`:
    /// [`ConvKernel::grad_len`].
    ///
    /// # Panics
    /// If the kernel does not prefer the sparse forms.
    pub fn sparse_grad_weights(&self, x: &[f32], dy: &[f32], argmax: &[u8], scratch: &mut [u32], acc: &mut [f32]) {
        self.check();
        assert!(self.prefers_sparse());
        assert!(x.len() >= self.x.len() && dy.len() >= self.y.len() && acc.len() >= self.grad_len());
        assert!(argmax.len() >= self.argmax_len() && scratch.len() >= self.scratch_len());
        let (lists, acc) = (scratch.as_mut_ptr(), acc.as_mut_ptr());
        self.isa.run(SparseWeights { k: self, x, dy, argmax, lists, acc });
    }
}

struct SparseWeights<'a> {
    k: &'a ConvKernel,
    x: &'a [f32],
    dy: &'a [f32],
    argmax: &'a [u8],
    lists: *mut u32,
    acc: *mut f32,
}

impl SparseWeights<'_> {
    /// Asks for one of `parts` parts of the input and the gradient of `rows` pooled rows from `row` on: they may
    /// have been left far away, and nobody else foresees which comes next.
    #[inline(always)]
    fn prefetch<S: Simd>(&self, s: S, row: usize, rows: usize, [part, parts]: [usize; 2]) {
        let k = self.k;
        for (slice, from, len) in
            [(self.x, k.x.at(2 * row, 0), 2 * rows * k.x.row()), (self.dy, k.y.at(row, 0), rows * k.y.row())]
        {
            let len = len.div_ceil(parts);
            for at in (0..len).step_by(16) {
                s.prefetch(slice.as_ptr().wrapping_add(from + part * len + at));
            }
        }
    }
}

/// One channel's list and what it is multiplied with.
#[derive(Clone, Copy)]
struct List {
    entries: *const u32,
    len: usize,
    x: *const f32,
    x_depth: usize,
    x_row: usize,
    dy: *const f32,
    dy_depth: usize,
    acc: *mut f32,
    /// Floats of `acc` from a kernel row to the next.
    acc_row: usize,
}

impl Kernel for SparseWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let k = self.k;
        let [py, px] = k.shape.padding;
        let (registers, run) = (k.run_len().div_ceil(S::LANES), k.run_stride());
        let (together, list_len) = (k.rows_listed(), k.list_len());
        for row in (0..k.y.height).step_by(together) {
            let rows = together.min(k.y.height - row);
            let x = self.x[(2 * row + k.x.halo - py) * k.x.row() + (k.x.halo - px) * k.x.depth..].as_ptr();
            for block in (0..k.y.depth).step_by(BLOCK) {
                // SAFETY: `sparse_grad_weights` has checked the lengths.
                let counts = unsafe { k.list(s, self.argmax, self.lists, list_len, [row, rows, block]) };
                for (c, len) in counts.into_iter().enumerate() {
                    self.prefetch(s, row + rows, rows, [block + c, k.y.depth]);
                    let dy = self.dy[k.y.at(row, 0) + block + c..].as_ptr();
                    // SAFETY: as above.
                    unsafe {
                        let entries = self.lists.add(c * list_len);
                        let acc = self.acc.add((block + c) * 3 * run);
                        let (x_depth, x_row, dy_depth) = (k.x.depth, k.x.row(), k.y.depth);
                        let list = List { entries, len, x, x_depth, x_row, dy, dy_depth, acc, acc_row: run };
                        let sum = tiles(s, list, registers);
                        *self.acc.add(k.bias_at() + block + c) += s.lanes(sum)[0];
                    }
                }
            }
        }
    }
}

/// Works on all registers of a run, as many at a time as fit; gives back the sum of the gradients.
///
/// # Safety
/// The list's places must exist.
#[inline(always)]
unsafe fn tiles<S: Simd>(s: S, list: List, registers: usize) -> S::V {
    let (mut at, mut sum) = (0, s.zero());
    while at < registers {
        // SAFETY: the caller's promise.
        unsafe {
            let list = List { x: list.x.add(at * S::LANES), acc: list.acc.add(at * S::LANES), ..list };
            // Every entry's sums depend on the last entry's: with few of them several entries are under way.
            let (width, of_tile) = match registers - at {
                6.. if S::ACCUMULATORS >= 24 => (6, tile::<S, 6, 1>(s, list)),
                3.. => (3, tile::<S, 3, 1>(s, list)),
                2 => (2, tile::<S, 2, 2>(s, list)),
                _ => (1, tile::<S, 1, 4>(s, list)),
            };
            if at == 0 {
                sum = of_tile;
            }
            at += width;
        }
    }
    sum
}

/// Adds the sums of three kernel rows of `T` registers, `U` entries at a time.
///
/// # Safety
/// The list's places must exist.
#[inline(always)]
unsafe fn tile<S: Simd, const T: usize, const U: usize>(s: S, list: List) -> S::V {
    let (mut sums, mut total) = ([[[s.zero(); T]; 3]; U], s.zero());
    let mut i = 0;
    // SAFETY: the caller's promise, here and below.
    unsafe {
        while i + U <= list.len {
            for (u, sums) in sums.iter_mut().enumerate() {
                total = s.add(total, entry(s, list, i + u, sums));
            }
            i += U;
        }
        while i < list.len {
            total = s.add(total, entry(s, list, i, &mut sums[0]));
            i += 1;
        }
        for r in 0..3 {
            for t in 0..T {
                let to = list.acc.add(r * list.acc_row + t * S::LANES);
                let sum = sums[1..].iter().fold(sums[0][r][t], |sum, other| s.add(sum, other[r][t]));
                s.store(to, s.add(s.load(to), sum));
            }
        }
    }
    total
}

/// Adds one place's patch times its gradient, which it gives back.
///
/// # Safety
/// The place must exist.
#[inline(always)]
unsafe fn entry<S: Simd, const T: usize>(s: S, list: List, i: usize, sums: &mut [[S::V; T]; 3]) -> S::V {
    // SAFETY: the caller's promise.
    unsafe {
        let (pixel, pooled) = places(*list.entries.add(i));
        let g = s.splat(*list.dy.add(pooled * list.dy_depth));
        let x = list.x.add(pixel * list.x_depth);
        for (r, sums) in sums.iter_mut().enumerate() {
            for (t, sum) in sums.iter_mut().enumerate() {
                *sum = s.mul_add(g, s.load(x.add(r * list.x_row + t * S::LANES)), *sum);
            }
        }
        g
    }
}
