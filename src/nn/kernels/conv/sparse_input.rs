//! The gradient of the input from the places that survive ReLU and max-pooling.
//!
//! A pooled pixel's gradients, wherever their maxima were, reach a patch of 4 x 4 input pixels: it stays in registers
//! while the live channels of each place in the window are run through, as the bits of a mask. Neighboring patches
//! overlap by two pixels: two columns move on to the next patch, two rows are added to what the row above left.

use super::ConvKernel;
use crate::nn::kernels::grid::DEPTH;
use crate::nn::kernels::simd::{Kernel, Simd};

/// Floats of a packed filter: the taps of sixteen input channels.
const FILTER: usize = 9 * DEPTH;

impl ConvKernel {
    /// Floats of the weights as [`ConvKernel::sparse_grad_input`] reads them; 0 where it is not used.
    pub fn packed_sparse_len(&self) -> usize {
        let used = self.prefers_sparse() && self.x.depth.is_multiple_of(DEPTH);
        if used { self.x.depth * 9 * self.z.depth } else { 0 }
    }

    /// Packs the weights `W [O, I, 3, 3]` for [`ConvKernel::sparse_grad_input`]: `[I/16, O, 3, 3, 16]`, padded with
    /// zeros.
    pub fn pack_sparse(&self, theta: &[f32], packed: &mut [f32]) {
        let (inputs, outputs) = (self.shape.inputs, self.shape.outputs);
        let packed = &mut packed[..self.packed_sparse_len()];
        packed.fill(0.0);
        for (o, filter) in theta[..outputs * inputs * 9].chunks_exact(inputs * 9).enumerate() {
            for (i, taps) in filter.chunks_exact(9).enumerate() {
                let at = (i / DEPTH * self.z.depth + o) * FILTER + i % DEPTH;
                for (tap, w) in taps.iter().enumerate() {
                    packed[at + tap * DEPTH] = *w;
                }
            }
        }
    }

    /// Writes the gradient of the input: the interior of `dx` completely, its margin is zero afterwards.
    ///
    /// # Shapes
    /// `packed`: [`ConvKernel::packed_sparse_len`]; `dy`: one picture on the grid `y`; `argmax`:
    /// [`ConvKernel::argmax_len`]; `dx`: one picture on the grid `x`.
    ///
    /// # Panics
    /// If the kernel does not prefer the sparse forms, or the input's depth is not whole registers.
    pub fn sparse_grad_input(&self, packed: &[f32], dy: &[f32], argmax: &[u8], dx: &mut [f32]) {
        self.check();
        assert!(self.packed_sparse_len() > 0 && packed.len() >= self.packed_sparse_len());
        assert!(dy.len() >= self.y.len() && argmax.len() >= self.argmax_len() && dx.len() >= self.x.len());
        let dx = &mut dx[..self.x.len()];
        self.clear_outside(dx);
        let (packed, dy, argmax) = (packed.as_ptr(), dy.as_ptr(), argmax.as_ptr());
        self.isa.run(SparseInput { k: self, packed, dy, argmax, dx: dx.as_mut_ptr() });
        self.clear_margin(dx);
    }

    /// Clears what no patch overwrites: the two rows that the first patches are added to, and what lies behind the
    /// last patches.
    fn clear_outside(&self, dx: &mut [f32]) {
        let (x, [py, px]) = (&self.x, self.shape.padding);
        let (row, wide) = (x.row(), x.width + 2 * x.halo);
        let top = x.halo - py;
        let (bottom, right) = (top + 2 * self.y.height + 2, x.halo - px + 2 * self.y.width + 2);
        dx[top * row..(top + 2) * row].fill(0.0);
        if self.y.height == 0 || self.y.width == 0 {
            dx.fill(0.0);
        }
        dx[bottom.min(x.height + 2 * x.halo) * row..].fill(0.0);
        if right < wide {
            for pixels in dx.chunks_exact_mut(row) {
                pixels[right * x.depth..].fill(0.0);
            }
        }
    }

    /// Clears the margin, which the outermost patches reach.
    fn clear_margin(&self, dx: &mut [f32]) {
        let (x, halo) = (&self.x, self.x.halo * self.x.depth);
        let (first, last) = (x.halo, x.halo + x.height);
        for (y, row) in dx.chunks_exact_mut(x.row()).enumerate() {
            if (first..last).contains(&y) {
                row[..halo].fill(0.0);
                row[x.row() - halo..].fill(0.0);
            } else {
                row.fill(0.0);
            }
        }
    }
}

struct SparseInput<'a> {
    k: &'a ConvKernel,
    packed: *const f32,
    dy: *const f32,
    argmax: *const u8,
    dx: *mut f32,
}

/// Registers of 4 x 4 pixels.
type Patch<S> = [[<S as Simd>::V; 4]; 4];

impl Kernel for SparseInput<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (x, y, [py, px]) = (&self.k.x, &self.k.y, self.k.shape.padding);
        // The weights of one register of input channels stay in the first-level cache.
        for i in (0..x.depth).step_by(S::LANES) {
            for row in 0..y.height {
                // SAFETY: `sparse_grad_input` has checked the lengths.
                unsafe {
                    let packed = self.packed.add(i / DEPTH * y.depth * FILTER + i % DEPTH);
                    let to = self.dx.add((2 * row + x.halo - py) * x.row() + (x.halo - px) * x.depth + i);
                    self.row(s, row, packed, to);
                }
            }
        }
    }
}

impl SparseInput<'_> {
    /// Writes what a row of pooled pixels reaches of one register of input channels.
    ///
    /// # Safety
    /// The slices must hold whole pictures; `to` must be the row's first patch.
    #[inline(always)]
    unsafe fn row<S: Simd>(&self, s: S, row: usize, packed: *const f32, mut to: *mut f32) {
        let (x, y) = (&self.k.x, &self.k.y);
        let mut patch: Patch<S> = [[s.zero(); 4]; 4];
        // SAFETY: the caller's promise, here and below.
        unsafe {
            let mut dy = self.dy.add(y.at(row, 0));
            let mut argmax = self.argmax.add(row * y.width * y.depth);
            for _ in 0..y.width {
                let mut c = 0;
                while c < y.depth {
                    let channels = (y.depth - c).min(64);
                    let (w, dy, argmax) = (packed.add(c * FILTER), dy.add(c), argmax.add(c));
                    scatter::<S, 0, 0>(s, live(argmax, channels, 0), w, dy, &mut patch);
                    scatter::<S, 0, 1>(s, live(argmax, channels, 1), w, dy, &mut patch);
                    scatter::<S, 1, 0>(s, live(argmax, channels, 2), w, dy, &mut patch);
                    scatter::<S, 1, 1>(s, live(argmax, channels, 3), w, dy, &mut patch);
                    c += channels;
                }
                leave(s, &mut patch, to, x.row(), x.depth);
                to = to.add(2 * x.depth);
                dy = dy.add(y.depth);
                argmax = argmax.add(y.depth);
            }
            leave(s, &mut patch, to, x.row(), x.depth);
        }
    }
}

/// Adds the filters of the channels in `mask`, times their gradients, to the patch at (DY, DX).
///
/// # Safety
/// The channels must exist.
#[inline(always)]
unsafe fn scatter<S: Simd, const DY: usize, const DX: usize>(
    s: S,
    mut mask: u64,
    w: *const f32,
    dy: *const f32,
    patch: &mut Patch<S>,
) {
    while mask != 0 {
        let c = mask.trailing_zeros() as usize;
        mask &= mask - 1;
        // SAFETY: the caller's promise.
        unsafe {
            let (g, w) = (s.splat(*dy.add(c)), w.add(c * FILTER));
            for ky in 0..3 {
                for kx in 0..3 {
                    let sum = &mut patch[DY + ky][DX + kx];
                    *sum = s.mul_add(g, s.load(w.add((3 * ky + kx) * DEPTH)), *sum);
                }
            }
        }
    }
}

/// Writes the patch's two left columns, which are complete, and moves the other two there. The upper rows are added
/// to what the pooled row above left.
///
/// # Safety
/// Four rows of two pixels must exist at `to`.
#[inline(always)]
unsafe fn leave<S: Simd>(s: S, patch: &mut Patch<S>, to: *mut f32, row: usize, depth: usize) {
    for (r, pixels) in patch.iter_mut().enumerate() {
        for (column, pixel) in pixels[..2].iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe {
                let to = to.add(r * row + column * depth);
                let v = if r < 2 { s.add(*pixel, s.load(to)) } else { *pixel };
                s.store(to, v);
            }
        }
        *pixels = [pixels[2], pixels[3], s.zero(), s.zero()];
    }
}

/// Which of up to 64 channels (a multiple of 16) have their maximum at `place`.
///
/// # Safety
/// The channels must exist.
#[inline(always)]
unsafe fn live(argmax: *const u8, channels: usize, place: u8) -> u64 {
    let mut mask = 0;
    let mut c = 0;
    while c < channels {
        // SAFETY: the caller's promise.
        mask |= u64::from(unsafe { equal(argmax.add(c), place) }) << c;
        c += 16;
    }
    mask
}

/// Which of sixteen bytes equal `place`.
///
/// # Safety
/// They must exist.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn equal(bytes: *const u8, place: u8) -> u16 {
    use std::arch::x86_64::*;
    // SAFETY: SSE2 is part of x86-64; the caller's promise.
    unsafe { _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(bytes.cast()), _mm_set1_epi8(place as i8))) as u16 }
}

/// Which of sixteen bytes equal `place`.
///
/// # Safety
/// They must exist.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
unsafe fn equal(bytes: *const u8, place: u8) -> u16 {
    // SAFETY: the caller's promise.
    let bytes = unsafe { bytes.cast::<[u8; 16]>().read() };
    bytes.iter().enumerate().fold(0, |mask, (i, byte)| mask | u16::from(*byte == place) << i)
}
