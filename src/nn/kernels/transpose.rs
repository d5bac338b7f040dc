//! Matrices turned: rows become columns, in squares that fit the registers.
//!
//! A picture in C, H, W order is, for each of its lines, a matrix `[channels, pixels]`; with the channels innermost it
//! is `[pixels, channels]`. Element by element, one of the two is read or written a float to a cache line; in squares
//! of as many rows as a register has lanes, both are in whole registers.

use super::Isa;
use super::simd::{Kernel, Simd};

/// The shape of matrices of one size, and how far apart their parts lie where they are read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transpose {
    /// Matrices.
    pub count: usize,
    /// Rows of a matrix that is read; what is written has as many columns.
    pub rows: usize,
    /// Columns of a matrix that is read; what is written has as many rows.
    pub columns: usize,
    /// Floats of each written row, at least `rows`: zeros follow the elements.
    pub depth: usize,
    /// Floats from a matrix to the next, and from a row to the next, where they are read.
    pub from: [usize; 2],
    /// The same, where they are written.
    pub to: [usize; 2],
}

impl Transpose {
    /// Writes `y[n, c, r] = x[n, r, c]`, and zeros for the `r` from `rows` to `depth`; nothing else in `y`.
    ///
    /// # Shapes
    /// `x`: `[count, rows, columns]` with the strides `from`; `y`: `[count, columns, depth]` with the strides `to`.
    ///
    /// # Panics
    /// If `x` or `y` is too short, or `depth` smaller than `rows`.
    pub fn run(self, isa: Isa, x: &[f32], y: &mut [f32]) {
        let Self { count, rows, columns, depth, from, to } = self;
        assert!(rows <= depth, "{rows} rows turned into a depth of {depth}");
        if [count, rows, columns].contains(&0) {
            return;
        }
        assert!(end(from, [count, rows, columns]) <= x.len(), "matrices to read that end behind their slice");
        assert!(end(to, [count, columns, depth]) <= y.len(), "matrices to write that end behind their slice");
        isa.run(Run { shape: self, x, y });
    }
}

/// Where the last element ends; no size is zero.
fn end([matrix, row]: [usize; 2], [count, rows, columns]: [usize; 3]) -> usize {
    let parts = [(count - 1).checked_mul(matrix), (rows - 1).checked_mul(row)];
    let start = parts.into_iter().try_fold(columns, |sum, part| sum.checked_add(part?));
    start.expect("matrices that fit the memory")
}

/// [`Transpose::run`] behind its checks.
struct Run<'a> {
    shape: Transpose,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Run<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Transpose { count, rows, columns, depth, from, to } = self.shape;
        for n in 0..count {
            for column in starts::<S>(columns) {
                for row in starts::<S>(depth) {
                    let at = [n * from[0] + row * from[1] + column, n * to[0] + column * to[1] + row];
                    let strides = [from[1], to[1]];
                    let (width, height) = (S::LANES.min(columns - column), S::LANES.min(depth - row));
                    let held = height.min(rows.saturating_sub(row));
                    // SAFETY: elements (n, row.., column..) of both, which `Transpose::run` has found to lie within
                    // their slices, and `y` is held alone. A square among the zeros reads nothing and may begin
                    // behind the end of `x`: hence the pointer that wraps.
                    unsafe {
                        let (x, y) = (self.x.as_ptr().wrapping_add(at[0]), self.y.as_mut_ptr().add(at[1]));
                        if [held, width, height] == [S::LANES; 3] {
                            square(s, x, y, strides);
                        } else {
                            edge(s, x, y, strides, [held, width, height]);
                        }
                    }
                }
            }
        }
    }
}

/// Where squares begin that cover `0..n`; the last overlaps the one before where the lanes do not divide `n`.
#[inline(always)]
fn starts<S: Simd>(n: usize) -> impl Iterator<Item = usize> {
    (0..n).step_by(S::LANES).map(move |start| start.min(n.saturating_sub(S::LANES)))
}

/// Turns a square of as many rows as lanes.
///
/// # Safety
/// Its rows can be read from `x` on and written from `y` on, `strides` apart.
#[inline(always)]
unsafe fn square<S: Simd>(s: S, x: *const f32, y: *mut f32, strides: [usize; 2]) {
    let mut square = [s.zero(); 16];
    for (row, v) in square[..S::LANES].iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        *v = unsafe { s.load(x.add(row * strides[0])) };
    }
    s.transpose(&mut square);
    for (row, v) in square[..S::LANES].iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe { s.store(y.add(row * strides[1]), *v) };
    }
}

/// Turns a part of a square: reads `held` rows of `width`, takes the others up to `height` as zeros, writes `width` rows
/// of `height`.
///
/// # Safety
/// As [`square`]; none of the three exceeds the lanes, `width` and `height` are not zero.
#[inline(always)]
unsafe fn edge<S: Simd>(s: S, x: *const f32, y: *mut f32, strides: [usize; 2], [held, width, height]: [usize; 3]) {
    let mut square = [s.zero(); 16];
    for (row, v) in square[..S::LANES].iter_mut().enumerate() {
        if row < held {
            // SAFETY: the caller's promise.
            *v = unsafe { s.load_part(x.add(row * strides[0]), width) };
        }
    }
    s.transpose(&mut square);
    for (row, v) in square[..S::LANES].iter().enumerate() {
        if row < width {
            // SAFETY: the caller's promise.
            unsafe { s.store_part(y.add(row * strides[1]), *v, height) };
        }
    }
}

/// How the registers of x86-64 processors turn a square. In the comments, `r` and `c` are bits of an element's row and
/// column: each step swaps bits of the number of a register with bits of the place within.
#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use std::arch::x86_64::*;

    /// Turns the 8·8 square of the first eight registers.
    ///
    /// # Safety
    /// The processor has AVX2.
    #[inline(always)]
    pub unsafe fn square_256(v: &mut [__m256; 16]) {
        // r2 and c2.
        for i in 0..4 {
            // SAFETY: the caller's promise.
            (v[i], v[i + 4]) = unsafe {
                (_mm256_permute2f128_ps::<0x20>(v[i], v[i + 4]), _mm256_permute2f128_ps::<0x31>(v[i], v[i + 4]))
            };
        }
        for first in [0, 4] {
            let [a, b, c, d] = [v[first], v[first + 1], v[first + 2], v[first + 3]];
            // SAFETY: the caller's promise. (r1 r0 | c1 c0) becomes (r0 c1 | c0 r1), then (c1 c0 | r1 r0).
            unsafe {
                let (a, b, c, d) = (
                    _mm256_unpacklo_ps(a, c),
                    _mm256_unpackhi_ps(a, c),
                    _mm256_unpacklo_ps(b, d),
                    _mm256_unpackhi_ps(b, d),
                );
                (v[first], v[first + 1]) = (_mm256_unpacklo_ps(a, c), _mm256_unpackhi_ps(a, c));
                (v[first + 2], v[first + 3]) = (_mm256_unpacklo_ps(b, d), _mm256_unpackhi_ps(b, d));
            }
        }
    }

    /// Turns a 16·16 square. Plain loops only: with iterators in between it is kept in memory, at half the speed.
    ///
    /// # Safety
    /// The processor has AVX-512 F.
    #[inline(always)]
    pub unsafe fn square_512(v: &mut [__m512; 16]) {
        // (r3 r2 | c3 c2) becomes (r3 c2 | r2 c3), then (c3 c2 | r3 r2).
        for k in 0..16 {
            let (i, apart) = if k < 8 { (k + (k & 4), 4) } else { (k - 8, 8) };
            let (a, b) = (v[i], v[i + apart]);
            // SAFETY: the caller's promise.
            unsafe {
                v[i] = _mm512_shuffle_f32x4::<0x88>(a, b);
                v[i + apart] = _mm512_shuffle_f32x4::<0xdd>(a, b);
            }
        }
        for first in [0, 4, 8, 12] {
            let [a, b, c, d] = [v[first], v[first + 1], v[first + 2], v[first + 3]];
            // SAFETY: the caller's promise. As above, within each quarter.
            unsafe {
                let (a, b, c, d) = (
                    _mm512_unpacklo_ps(a, c),
                    _mm512_unpackhi_ps(a, c),
                    _mm512_unpacklo_ps(b, d),
                    _mm512_unpackhi_ps(b, d),
                );
                (v[first], v[first + 1]) = (_mm512_unpacklo_ps(a, c), _mm512_unpackhi_ps(a, c));
                (v[first + 2], v[first + 3]) = (_mm512_unpacklo_ps(b, d), _mm512_unpackhi_ps(b, d));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What `y` holds before, to see that nobody wrote there.
    const MARK: f32 = -7.0;

    fn definition(t: Transpose, x: &[f32], y: &mut [f32]) {
        for n in 0..t.count {
            for column in 0..t.columns {
                for row in 0..t.depth {
                    let value = if row < t.rows { x[n * t.from[0] + row * t.from[1] + column] } else { 0.0 };
                    y[n * t.to[0] + column * t.to[1] + row] = value;
                }
            }
        }
    }

    proptest! {
        #[test]
        fn every_instruction_set_turns_matrices_of_any_size_and_touches_nothing_else(
            (count, rows, columns) in (0usize..4, 0usize..70, 0usize..70),
            gaps in prop::array::uniform5(0usize..20),
        ) {
            let depth = rows + gaps[0];
            let (read, written) = (columns + gaps[1], depth + gaps[2]);
            let (from, to) = ([rows * read + gaps[3], read], [columns * written + gaps[4], written]);
            let t = Transpose { count, rows, columns, depth, from, to };
            // No float more than there must be, so that none is read or written behind the end.
            let ends = [(from, [count, rows, columns]), (to, [count, columns, depth])];
            let [x_len, y_len] = ends.map(|(strides, sizes)| if sizes.contains(&0) { 0 } else { end(strides, sizes) });
            let x: Vec<f32> = (0..x_len).map(|i| i as f32).collect();
            let mut expected = vec![MARK; y_len];
            if rows > 0 {
                definition(t, &x, &mut expected);
            }
            for isa in Isa::all() {
                let mut y = vec![MARK; y_len];
                t.run(isa, &x, &mut y);
                prop_assert_eq!(&y, &expected, "{} {:?}", isa.name(), t);
            }
        }
    }

    #[test]
    fn slices_that_are_too_short_are_refused() {
        let t = Transpose { count: 2, rows: 3, columns: 5, depth: 4, from: [15, 5], to: [20, 4] };
        for (x, y) in [(29, 40), (30, 39)] {
            let run = || t.run(Isa::detect(), &vec![0.0; x], &mut vec![0.0; y]);
            assert!(std::panic::catch_unwind(run).is_err(), "{x} {y}");
        }
        t.run(Isa::detect(), &[0.0; 30], &mut [0.0; 40]);
    }
}
