//! The places of the gradients that survive ReLU and max-pooling, listed for each output channel.
//!
//! The pooled pictures have the channels innermost, the lists have the pixels innermost: blocks of 16 pixels and 16
//! channels are transposed in registers on the way.

use super::{ConvKernel, DEAD};
use crate::nn::kernels::simd::Simd;

/// Channels that are listed at a time, and pixels that are looked at together.
pub(super) const BLOCK: usize = 16;

/// Bytes of input rows, gradients and lists that are worked on at a time: they stay in the first-level cache.
const BLOCK_BYTES: usize = 40 << 10;

/// An entry holds a pixel's number in the input in the low half and the pooled pixel's number in the high half,
/// both counted from the first pixel of a group of rows and with the margins.
pub(super) fn places(entry: u32) -> (usize, usize) {
    ((entry & 0xffff) as usize, (entry >> 16) as usize)
}

impl ConvKernel {
    /// Pooled rows that are listed together.
    pub(super) fn rows_listed(&self) -> usize {
        let each = 2 * self.x.row() * 4 + self.y.width * BLOCK * 8;
        (BLOCK_BYTES.saturating_sub(2 * self.x.row() * 4) / each).clamp(1, self.y.height.max(1))
    }

    /// Entries that a channel's list has room for.
    pub(super) fn list_len(&self) -> usize {
        self.rows_listed() * self.y.width.next_multiple_of(BLOCK) + BLOCK
    }

    /// Whether the number of every pixel that a list can name fits its half of an entry.
    pub(super) fn can_list(&self) -> bool {
        (2 * self.rows_listed() + 2) * (self.x.width + 2 * self.x.halo) < 1 << 16
    }

    /// Lists the live places of `rows` pooled rows from `row` on for the channels `channel..channel + 16`, and says
    /// how many each has.
    ///
    /// # Safety
    /// The rows and channels must exist; `lists` must hold sixteen times `len` entries, `len` being
    /// [`ConvKernel::list_len`].
    #[inline(always)]
    pub(super) unsafe fn list<S: Simd>(
        &self,
        s: S,
        argmax: &[u8],
        lists: *mut u32,
        len: usize,
        [row, rows, channel]: [usize; 3],
    ) -> [usize; BLOCK] {
        let (wide, y) = (self.x.width + 2 * self.x.halo, &self.y);
        let ends = [0, 1, wide as u32, wide as u32 + 1];
        let mut counts = [0; BLOCK];
        for r in 0..rows {
            for column in (0..y.width).step_by(BLOCK) {
                let mut block = [[DEAD; BLOCK]; BLOCK];
                let there = (y.width - column).min(BLOCK);
                let from = ((row + r) * y.width + column) * y.depth + channel;
                for (pixel, kinds) in block[..there].iter_mut().enumerate() {
                    // SAFETY: sixteen channels of a pooled pixel.
                    *kinds = unsafe { argmax.as_ptr().add(from + pixel * y.depth).cast::<[u8; BLOCK]>().read() };
                }
                let block = transpose(block);
                let first = (r * (y.width + 2 * y.halo) + column) << 16 | (2 * r * wide + 2 * column);
                for (c, (kinds, count)) in block.iter().zip(&mut counts).enumerate() {
                    // SAFETY: a list has room for every pixel of its rows, and for sixteen more that `list` may touch.
                    *count += unsafe {
                        s.list(kinds.as_ptr(), first as u32, (1 << 16) + 2, ends, lists.add(c * len + *count))
                    };
                }
            }
        }
        counts
    }
}

/// Rows to columns.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn transpose(block: [[u8; BLOCK]; BLOCK]) -> [[u8; BLOCK]; BLOCK] {
    use std::arch::x86_64::*;
    // SAFETY: SSE2 is part of x86-64; the types have the same size.
    unsafe {
        let mut rows: [__m128i; BLOCK] = std::mem::transmute(block);
        for _ in 0..4 {
            let old = rows;
            for i in 0..BLOCK / 2 {
                rows[2 * i] = _mm_unpacklo_epi8(old[i], old[i + BLOCK / 2]);
                rows[2 * i + 1] = _mm_unpackhi_epi8(old[i], old[i + BLOCK / 2]);
            }
        }
        std::mem::transmute(rows)
    }
}

/// Rows to columns.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn transpose(block: [[u8; BLOCK]; BLOCK]) -> [[u8; BLOCK]; BLOCK] {
    std::array::from_fn(|c| std::array::from_fn(|r| block[r][c]))
}
