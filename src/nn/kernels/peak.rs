//! The most arithmetic that a core can do: fused multiply-adds on registers alone.
//!
//! It measures nothing itself; whoever holds a clock times [`Peak::spin`] and divides [`Peak::flops`].

use super::Isa;
use super::simd::{Kernel, Simd};

/// Independent sums, enough that none waits for its last addition.
const SUMS: usize = 12;

/// A loop of multiply-adds.
#[derive(Debug, Clone, Copy)]
pub struct Peak {
    steps: usize,
}

impl Peak {
    /// A loop of `steps` rounds.
    pub fn new(steps: usize) -> Self {
        Self { steps }
    }

    /// Multiplications and additions of one run.
    pub fn flops(&self, isa: Isa) -> f64 {
        (self.steps * isa.lanes() * SUMS * 2) as f64
    }

    /// Runs the loop. The result is worth nothing, but must be used or the loop is removed.
    pub fn spin(&self, isa: Isa) -> f32 {
        isa.run(*self)
    }
}

impl Kernel for Peak {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let (a, b) = (s.splat(0.5), s.splat(1.0));
        let mut sums = [s.zero(); SUMS];
        for _ in 0..self.steps {
            for sum in &mut sums {
                *sum = s.mul_add(*sum, a, b);
            }
        }
        let sum = sums.into_iter().fold(s.zero(), |sum, v| s.add(sum, v));
        s.lanes(sum)[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_are_really_computed() {
        for isa in Isa::all() {
            assert_eq!(Peak::new(2).spin(isa), 1.5 * SUMS as f32, "{}", isa.name());
            assert!(Peak::new(2).spin(isa) < Peak::new(9).spin(isa));
            assert_eq!(Peak::new(10).flops(isa) % (10 * SUMS * 2 * 4) as f64, 0.0);
        }
    }
}
