//! Vector registers as kernels see them: written once over [`Simd`], compiled for each instruction set.
//!
//! A kernel is a struct with its arguments that implements [`Kernel`]; [`Isa::run`] calls it inside a function
//! that was compiled for the instruction set. All of it must be `#[inline(always)]`, or the registers are
//! passed through memory.

use super::{Isa, Level};

/// An instruction set's vector register of `f32`, and what can be done with it.
///
/// A value of an implementing type exists only where the processor has the instructions.
pub trait Simd: Copy + Send + Sync {
    /// Floats in a register.
    const LANES: usize;
    /// Accumulators that a tile may hold, so that its operands still fit.
    const ACCUMULATORS: usize;
    /// A register.
    type V: Copy;

    /// All lanes equal.
    fn splat(self, x: f32) -> Self::V;
    /// Reads `LANES` floats.
    ///
    /// # Safety
    /// They must lie within one allocation that may be read.
    unsafe fn load(self, from: *const f32) -> Self::V;
    /// Writes `LANES` floats.
    ///
    /// # Safety
    /// They must lie within one allocation that may be written, and that nobody else uses.
    unsafe fn store(self, to: *mut f32, v: Self::V);
    /// `a·b + c`, rounded once where the instruction set can.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a·b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// The larger of each lane; `b` where one is no number.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// `then` where `a > b`, `other` elsewhere.
    fn select_greater(self, a: Self::V, b: Self::V, then: Self::V, other: Self::V) -> Self::V;
    /// Writes the lanes, whole numbers of 0 to 127, as `LANES` bytes.
    ///
    /// # Safety
    /// They must lie within one allocation that may be written, and that nobody else uses.
    unsafe fn store_bytes(self, to: *mut u8, v: Self::V);
    /// Turns the square of the first `LANES` registers: lane `i` of register `j` becomes lane `j` of register `i`.
    fn transpose(self, square: &mut [Self::V; 16]);

    /// Reads `n` floats, at most `LANES`; the lanes behind them are zero.
    ///
    /// # Safety
    /// They must lie within one allocation that may be read.
    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, n: usize) -> Self::V {
        if n == Self::LANES {
            // SAFETY: the caller's promise.
            return unsafe { self.load(from) };
        }
        let mut lanes = [0.0; 16];
        for (i, lane) in lanes[..Self::LANES].iter_mut().enumerate() {
            if i < n {
                // SAFETY: the caller's promise.
                *lane = unsafe { from.add(i).read() };
            }
        }
        // SAFETY: no register has more than 16 lanes.
        unsafe { self.load(lanes.as_ptr()) }
    }

    /// Writes the first `n` lanes, at most `LANES`.
    ///
    /// # Safety
    /// They must lie within one allocation that may be written, and that nobody else uses.
    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, v: Self::V, n: usize) {
        if n == Self::LANES {
            // SAFETY: the caller's promise.
            return unsafe { self.store(to, v) };
        }
        for (i, lane) in self.lanes(v)[..Self::LANES].iter().enumerate() {
            if i < n {
                // SAFETY: the caller's promise.
                unsafe { to.add(i).write(*lane) };
            }
        }
    }

    /// Writes `first + k·step + places[kinds[k]]` for each of the sixteen `kinds` that is below 4, in order and without
    /// gaps, and says how many there were: how the lists of the sparse convolutions are built.
    ///
    /// # Safety
    /// Sixteen bytes, all below 8, may be read at `kinds`; sixteen entries may be written at `to`.
    #[inline(always)]
    unsafe fn list(self, kinds: *const u8, first: u32, step: u32, places: [u32; 4], to: *mut u32) -> usize {
        let [a, b, c, d] = places;
        let places = [a, b, c, d, 0, 0, 0, 0];
        // SAFETY: the caller's promise.
        let kinds = unsafe { kinds.cast::<[u8; 16]>().read() };
        let mut n = 0;
        for (k, kind) in kinds.into_iter().enumerate() {
            // SAFETY: no more entries than bytes; an unwanted one is overwritten by the next.
            unsafe { to.add(n).write(first + k as u32 * step + places[usize::from(kind & 7)]) };
            n += usize::from(kind < 4);
        }
        n
    }

    /// Asks for the cache line at `from`, which may be anywhere, in the second-level cache.
    #[inline(always)]
    fn prefetch(self, from: *const f32) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: SSE is part of x86-64, and a prefetch does not fault.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(from.cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = from;
    }

    /// All lanes zero.
    #[inline(always)]
    fn zero(self) -> Self::V {
        self.splat(0.0)
    }

    /// The lanes, first to last.
    #[inline(always)]
    fn lanes(self, v: Self::V) -> [f32; 16] {
        let mut lanes = [0.0; 16];
        // SAFETY: no register has more than 16 lanes.
        unsafe { self.store(lanes.as_mut_ptr(), v) };
        lanes
    }
}

/// A computation that is compiled for each instruction set.
pub trait Kernel {
    /// What it gives back.
    type Output;
    /// Runs it. Must be `#[inline(always)]`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

impl Isa {
    /// Runs a kernel with this instruction set.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Level::Portable => kernel.run(Portable),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => {
                #[target_feature(enable = "avx2,fma,bmi1,popcnt")]
                fn compiled<K: Kernel>(kernel: K) -> K::Output {
                    kernel.run(x86::Avx2(()))
                }
                // SAFETY: an Isa with AVX2 is made only after these were detected.
                unsafe { compiled(kernel) }
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => {
                #[target_feature(enable = "avx2,fma,bmi1,popcnt,avx512f,avx512bw,avx512dq,avx512vl")]
                fn compiled<K: Kernel>(kernel: K) -> K::Output {
                    kernel.run(x86::Avx512(()))
                }
                // SAFETY: an Isa with AVX-512 is made only after these subsets were detected.
                unsafe { compiled(kernel) }
            }
        }
    }
}

struct Lanes;

impl Kernel for Lanes {
    type Output = usize;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> usize {
        S::LANES
    }
}

impl Isa {
    /// Floats in one of its registers.
    pub fn lanes(self) -> usize {
        self.run(Lanes)
    }
}

/// Four floats in an array: what every processor can do, and what compilers make vector code from.
#[derive(Debug, Clone, Copy)]
pub struct Portable;

impl Simd for Portable {
    const LANES: usize = 4;
    const ACCUMULATORS: usize = 12;
    type V = [f32; 4];

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; 4] {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> [f32; 4] {
        // SAFETY: the caller's promise; an array of floats needs no more alignment than a float.
        unsafe { from.cast::<[f32; 4]>().read() }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: [f32; 4]) {
        // SAFETY: as above.
        unsafe { to.cast::<[f32; 4]>().write(v) }
    }
    #[inline(always)]
    fn mul_add(self, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| super::mul_add::<{ cfg!(target_arch = "aarch64") }>(a[i], b[i], c[i]))
    }
    #[inline(always)]
    fn add(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn max(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn select_greater(self, a: [f32; 4], b: [f32; 4], then: [f32; 4], other: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| if a[i] > b[i] { then[i] } else { other[i] })
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8, v: [f32; 4]) {
        // SAFETY: the caller's promise; an array of bytes needs no alignment.
        unsafe { to.cast::<[u8; 4]>().write(v.map(|x| x as u8)) }
    }
    #[inline(always)]
    fn transpose(self, square: &mut [[f32; 4]; 16]) {
        let [a, b, c, d] = [square[0], square[1], square[2], square[3]];
        for i in 0..4 {
            square[i] = [a[i], b[i], c[i], d[i]];
        }
    }
}

/// The registers of x86-64 processors.
#[cfg(target_arch = "x86_64")]
pub mod x86 {
    use super::Simd;
    use crate::nn::kernels::transpose::x86::{square_256, square_512};
    use std::arch::x86_64::*;

    // SAFETY, for the unsafe functions below: only the registers' `Simd` calls them, see there.
    #[allow(clippy::undocumented_unsafe_blocks)]
    mod more {
        use super::*;

        /// A mask of the first `n` lanes, at most 16.
        #[inline(always)]
        pub fn first(n: usize) -> __mmask16 {
            ((1u32 << n) - 1) as u16
        }
        #[inline(always)]
        pub unsafe fn select_256(a: __m256, b: __m256, then: __m256, other: __m256) -> __m256 {
            unsafe { _mm256_blendv_ps(other, then, _mm256_cmp_ps::<_CMP_GT_OQ>(a, b)) }
        }
        #[inline(always)]
        pub unsafe fn select_512(a: __m512, b: __m512, then: __m512, other: __m512) -> __m512 {
            unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b), other, then) }
        }
        #[inline(always)]
        pub unsafe fn bytes_256(to: *mut u8, v: __m256) {
            unsafe {
                let v = _mm256_cvtps_epi32(v);
                let half = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
                _mm_storel_epi64(to.cast(), _mm_packus_epi16(half, half));
            }
        }
        #[inline(always)]
        pub unsafe fn bytes_512(to: *mut u8, v: __m512) {
            unsafe { _mm_storeu_si128(to.cast(), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v))) }
        }
    }
    use more::*;

    macro_rules! registers {
        ($(#[$doc:meta])* $name:ident, $v:ty, $lanes:literal, $accumulators:literal, $set1:ident, $load:ident, $store:ident,
         $fma:ident, $add:ident, $sub:ident, $mul:ident, $max:ident, $select:ident, $bytes:ident, $square:ident, { $($own:tt)* }) => {
            $(#[$doc])*
            #[derive(Debug, Clone, Copy)]
            pub struct $name(pub(super) ());

            // SAFETY, for every block: a value of the type exists only inside `Isa::run`, which has detected the
            // instructions; memory is the caller's promise.
            #[allow(clippy::undocumented_unsafe_blocks)]
            impl Simd for $name {
                const LANES: usize = $lanes;
                const ACCUMULATORS: usize = $accumulators;
                type V = $v;

                #[inline(always)]
                fn splat(self, x: f32) -> $v {
                    unsafe { $set1(x) }
                }
                #[inline(always)]
                unsafe fn load(self, from: *const f32) -> $v {
                    unsafe { $load(from) }
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut f32, v: $v) {
                    unsafe { $store(to, v) }
                }
                #[inline(always)]
                fn mul_add(self, a: $v, b: $v, c: $v) -> $v {
                    unsafe { $fma(a, b, c) }
                }
                #[inline(always)]
                fn add(self, a: $v, b: $v) -> $v {
                    unsafe { $add(a, b) }
                }
                #[inline(always)]
                fn sub(self, a: $v, b: $v) -> $v {
                    unsafe { $sub(a, b) }
                }
                #[inline(always)]
                fn mul(self, a: $v, b: $v) -> $v {
                    unsafe { $mul(a, b) }
                }
                #[inline(always)]
                fn max(self, a: $v, b: $v) -> $v {
                    unsafe { $max(a, b) }
                }
                #[inline(always)]
                fn select_greater(self, a: $v, b: $v, then: $v, other: $v) -> $v {
                    unsafe { $select(a, b, then, other) }
                }
                #[inline(always)]
                unsafe fn store_bytes(self, to: *mut u8, v: $v) {
                    unsafe { $bytes(to, v) }
                }
                #[inline(always)]
                fn transpose(self, square: &mut [$v; 16]) {
                    unsafe { $square(square) }
                }
                $($own)*
            }
        };
    }

    registers! {
        /// Eight floats a register, sixteen registers.
        Avx2, __m256, 8, 12, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps,
        _mm256_fmadd_ps, _mm256_add_ps, _mm256_sub_ps, _mm256_mul_ps, _mm256_max_ps, select_256, bytes_256, square_256, {}
    }
    registers! {
        /// Sixteen floats a register, thirty-two registers.
        Avx512, __m512, 16, 24, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps,
        _mm512_fmadd_ps, _mm512_add_ps, _mm512_sub_ps, _mm512_mul_ps, _mm512_max_ps, select_512, bytes_512, square_512, {
            #[inline(always)]
            unsafe fn load_part(self, from: *const f32, n: usize) -> __m512 {
                unsafe { _mm512_maskz_loadu_ps(first(n), from) }
            }
            #[inline(always)]
            unsafe fn store_part(self, to: *mut f32, v: __m512, n: usize) {
                unsafe { _mm512_mask_storeu_ps(to, first(n), v) }
            }
            #[inline(always)]
            unsafe fn list(self, kinds: *const u8, first: u32, step: u32, places: [u32; 4], to: *mut u32) -> usize {
                unsafe {
                    let kinds = _mm512_cvtepu8_epi32(_mm_loadu_si128(kinds.cast()));
                    let live = _mm512_cmplt_epu32_mask(kinds, _mm512_set1_epi32(4));
                    let places = _mm512_castsi128_si512(_mm_loadu_si128(places.as_ptr().cast()));
                    let k = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
                    let start = _mm512_mullo_epi32(k, _mm512_set1_epi32(step as i32));
                    let start = _mm512_add_epi32(start, _mm512_set1_epi32(first as i32));
                    let entries = _mm512_add_epi32(start, _mm512_permutexvar_epi32(kinds, places));
                    // Compressing in a register and writing all of it: writing compressed is microcode on some.
                    _mm512_storeu_si512(to.cast(), _mm512_maskz_compress_epi32(live, entries));
                    live.count_ones() as usize
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dot<'a>(&'a [f32], &'a [f32]);

    impl Kernel for Dot<'_> {
        type Output = f32;
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> f32 {
            let mut sum = s.zero();
            for i in (0..self.0.len()).step_by(S::LANES) {
                // SAFETY: the lengths are whole registers.
                let (a, b) = unsafe { (s.load(self.0.as_ptr().add(i)), s.load(self.1.as_ptr().add(i))) };
                sum = s.mul_add(a, b, sum);
            }
            s.lanes(sum).iter().sum()
        }
    }

    #[test]
    fn every_instruction_set_of_this_processor_computes_the_same() {
        let a: Vec<f32> = (0..64).map(|i| i as f32).collect();
        for isa in Isa::all() {
            assert_eq!(isa.run(Dot(&a, &a)), 85344.0, "{}", isa.name());
        }
    }
}
