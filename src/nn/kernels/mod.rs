//! Fast kernels: what the fused program and the optimizers run.
//!
//! A kernel is written once and compiled for each instruction set; which one runs is decided at run time. Small
//! ones are plain loops over fixed-size arrays (`multiversion!`: portable, AVX2 + FMA), those that count are
//! written over vector registers ([`simd`]: also AVX-512). The layers in `nn/layers` are their oracles.
#![allow(unsafe_code)] // calls into functions compiled for an instruction set that was detected

mod activation;
pub mod conv;
mod dense;
pub mod grid;
pub mod join;
pub mod lanes;
pub mod math;
pub mod norm;
pub mod peak;
pub mod pool;
pub mod share;
pub mod simd;
pub mod transpose;
pub mod vector;

pub use activation::Activation;
pub use dense::DenseKernel;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The instruction set that kernels use. One beyond the portable exists only where the processor has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Isa(Level);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// Every instruction set that there are kernels for, the most capable last.
const LEVELS: &[Level] = &[
    Level::Portable,
    #[cfg(target_arch = "x86_64")]
    Level::Avx2,
    #[cfg(target_arch = "x86_64")]
    Level::Avx512,
];

/// The highest level that this process may use, as an index into [`LEVELS`].
static BOUND: AtomicUsize = AtomicUsize::new(usize::MAX);

impl Level {
    fn is_here(self) -> bool {
        match self {
            Level::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("bmi1")
                    && is_x86_feature_detected!("popcnt")
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => {
                Level::Avx2.is_here()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
        }
    }
}

impl Isa {
    /// The best instruction set of this processor, unless the process was held to a lesser one.
    pub fn detect() -> Self {
        let bound = BOUND.load(Ordering::Relaxed).saturating_add(1);
        Self::all().take(bound).last().unwrap_or(Self::portable())
    }

    /// The instruction sets that this processor has, the portable one first.
    pub fn all() -> impl Iterator<Item = Self> {
        static HERE: OnceLock<usize> = OnceLock::new();
        let here = *HERE.get_or_init(|| LEVELS.iter().take_while(|level| level.is_here()).count());
        LEVELS[..here].iter().map(|level| Self(*level))
    }

    /// The instruction set of this name, where this processor has it.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|isa| isa.name() == name)
    }

    /// From now on this process uses kernels of at most this instruction set: every rank must round alike, or the
    /// replicas drift apart.
    pub fn hold_to(self) {
        let level = LEVELS.iter().position(|level| *level == self.0).expect("every level is listed");
        BOUND.fetch_min(level, Ordering::Relaxed);
    }

    /// The baseline that every processor has.
    pub fn portable() -> Self {
        Self(Level::Portable)
    }

    /// Whether it has 256-bit registers and fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    fn has_avx2(self) -> bool {
        self.0 >= Level::Avx2
    }

    /// Its name, as a run's head shows it.
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2+fma",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "avx512",
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
            if isa.has_avx2() {
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
