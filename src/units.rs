//! Quantities that carry their unit: a number of seconds is never mistaken for a number of bytes.

use serde::{Deserialize, Serialize};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, Sub};

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident($inner:ty), $symbol:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
        }
        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0 - other.0)
            }
        }
        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                self.0 += other.0;
            }
        }
        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
                iter.fold(Self::default(), Add::add)
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&self.0, f)?;
                f.write_str(concat!(" ", $symbol))
            }
        }
    };
}

unit!(
    /// Time, in seconds. Whether it was measured or modelled is said where it is produced.
    Seconds(f64), "s"
);
unit!(
    /// Energy, in joules.
    Joules(f64), "J"
);
unit!(
    /// Power, in watts.
    Watts(f64), "W"
);
unit!(
    /// Data volume, in bytes.
    Bytes(u64), "B"
);
unit!(
    /// Floating-point operations; a fused multiply-add counts two.
    Flops(u64), "FLOP"
);

impl Seconds {
    /// The time that has passed since `start`, measured.
    pub fn since(start: std::time::Instant) -> Self {
        Self(start.elapsed().as_secs_f64())
    }
}

impl Mul<Seconds> for Watts {
    type Output = Joules;
    fn mul(self, time: Seconds) -> Joules {
        Joules(self.0 * time.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_add_and_print_with_their_unit() {
        let total: Bytes = [Bytes(3), Bytes(4)].into_iter().sum();
        assert_eq!(total, Bytes(7));
        assert_eq!(format!("{:.2}", Seconds(1.5) + Seconds(0.25)), "1.75 s");
        assert_eq!(format!("{}", Watts(2.5) * Seconds(4.0)), "10 J");
    }
}
