//! Elementary functions that vectorize: polynomials instead of library calls.
//!
//! # References
//! Moshier, *Cephes Mathematical Library* (`expf`, `tanhf`): the range reduction and coefficients.

use super::mul_add;

/// `eˣ` with a relative error below 2e-7; 0 below -87.3 and largest finite above 88.3, NaN stays NaN.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    exp_lane::<false>(x)
}

/// As [`exp`], for use inside a kernel.
#[inline(always)]
pub(super) fn exp_lane<const FMA: bool>(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // Adding 1.5 * 2^23 rounds to the nearest integer, which then sits in the low mantissa bits.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let clamped = x.clamp(-87.3, 88.3);
    let rounded = mul_add::<FMA>(clamped, LOG2_E, ROUND);
    let n = rounded - ROUND;
    let r = mul_add::<FMA>(-n, LN2_LOW, mul_add::<FMA>(-n, LN2_HIGH, clamped));
    let mut p = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = mul_add::<FMA>(p, r, coefficient);
    }
    let e_r = mul_add::<FMA>(p * r, r, r + 1.0);
    let power = rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    let y = e_r * f32::from_bits(power);
    if x < -87.3 { 0.0 } else { y }
}

/// `1 / (1 + e⁻ˣ)`.
#[inline(always)]
pub(super) fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp_lane::<FMA>(-x))
}

/// `tanh x`: a polynomial near 0, where the quotient of exponentials would cancel.
#[inline(always)]
pub(super) fn tanh<const FMA: bool>(x: f32) -> f32 {
    let square = x * x;
    let mut p = -5.704_988_7e-3;
    for coefficient in [2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1] {
        p = mul_add::<FMA>(p, square, coefficient);
    }
    let near = mul_add::<FMA>(p * square, x, x);
    let far = 1.0 - 2.0 / (exp_lane::<FMA>(2.0 * x.abs()) + 1.0);
    if x.abs() < 0.625 { near } else { far.copysign(x) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_against_f64_are_within_a_few_units_in_the_last_place() {
        let mut x = -86.0f32;
        while x < 88.0 {
            let exact = f64::from(x).exp();
            for y in [exp_lane::<false>(x), exp_lane::<true>(x)] {
                assert!((f64::from(y) / exact - 1.0).abs() < 3e-7, "exp({x}) = {y}");
            }
            let (s, t) = (1.0 / (1.0 + (-f64::from(x)).exp()), f64::from(x).tanh());
            assert!((f64::from(sigmoid::<false>(x)) / s - 1.0).abs() < 4e-7, "sigmoid({x})");
            assert!((f64::from(tanh::<false>(x)) - t).abs() < 4e-7 * t.abs().max(1e-9), "tanh({x})");
            x += 0.001_7;
        }
        assert_eq!((exp(0.0), exp(-1000.0), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
        assert!(exp(f32::NAN).is_nan() && tanh::<false>(f32::NAN).is_nan() && sigmoid::<false>(f32::NAN).is_nan());
        assert!(exp(1000.0) > 1e38 && tanh::<false>(-1e9) == -1.0 && sigmoid::<false>(-1e9) < 1e-37);
    }
}
