//! Fast kernels: what the fused program and the optimizers run.
//!
//! A kernel is written once, as plain loops over fixed-size arrays, and compiled twice: for
//! AVX2 + FMA and for the portable baseline; which one runs is decided at run time. The layers in
//! `nn/layers` are their oracles.
#![allow(unsafe_code)] // calls into functions compiled for an instruction set that was detected

mod activation;
mod dense;
pub mod math;
pub mod vector;

pub use activation::Activation;
pub use dense::DenseKernel;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// The instruction set that kernels use. One with AVX2 exists only where the processor has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isa(Level);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

/// Set where the ranks of a job do not all have the same instruction set.
static ONLY_PORTABLE: AtomicBool = AtomicBool::new(false);

impl Isa {
    /// The best instruction set of this processor, unless the process was held to the portable one.
    pub fn detect() -> Self {
        static DETECTED: OnceLock<Isa> = OnceLock::new();
        if ONLY_PORTABLE.load(Ordering::Relaxed) {
            return Self::portable();
        }
        *DETECTED.get_or_init(|| {
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Isa(Level::Avx2);
            }
            Isa::portable()
        })
    }

    /// From now on this process uses the portable kernels: every rank must round alike, or the replicas drift apart.
    pub fn hold_to_portable() {
        ONLY_PORTABLE.store(true, Ordering::Relaxed);
    }

    /// The baseline that every processor has.
    pub fn portable() -> Self {
        Self(Level::Portable)
    }

    /// Its name, as a run's head shows it.
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2+fma",
        }
    }
}

/// Compiles the body once for each instruction set and dispatches on its first argument.
///
/// The body is generic over `const FMA: bool`: whether `a * b + c` is one instruction.
macro_rules! multiversion {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) = $body:ident) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments)]
        #[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))] // there is one instruction set to choose from
        $vis fn $name(isa: $crate::nn::kernels::Isa, $($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            if isa.0 == $crate::nn::kernels::Level::Avx2 {
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn fast($($arg: $ty),*) {
                    $body::<true>($($arg),*)
                }
                // SAFETY: an Isa with AVX2 is made only after AVX2 and FMA were detected.
                return unsafe { fast($($arg),*) };
            }
            $body::<false>($($arg),*)
        }
    };
}
pub(crate) use multiversion;

/// `a * b + c`, fused where that is one instruction. (`f32::mul_add` without the instruction is a slow library call.)
#[inline(always)]
fn mul_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// `L` floats from `at`.
#[inline(always)]
fn load<const L: usize>(from: &[f32], at: usize) -> [f32; L] {
    from[at..at + L].try_into().expect("a slice of L floats")
}

/// Writes `L` floats at `at`.
#[inline(always)]
fn store<const L: usize>(to: &mut [f32], at: usize, lane: &[f32; L]) {
    to[at..at + L].copy_from_slice(lane);
}

/// The starts of lanes of `L` floats that cover `0..n`; the last overlaps the one before when `L` does not divide `n`.
#[inline(always)]
fn lane_starts<const L: usize>(n: usize) -> impl Iterator<Item = usize> {
    (0..n.div_ceil(L)).map(move |lane| (lane * L).min(n - L))
}
