//! The one source of chance in a simulated world.

/// A stream of draws that follows from its seed alone.
///
/// # Math
/// The n-th draw is mix(seed + n · γ): SplitMix64. Only integers, so that a schedule is the same on every machine.
///
/// # References
/// Steele, Lea, Flood: Fast splittable pseudorandom number generators. OOPSLA 2014.
#[derive(Debug, Clone)]
pub(super) struct Draws(u64);

impl Draws {
    /// The stream of this seed for this purpose; streams of different purposes have nothing to do with each other.
    pub fn new(seed: u64, purpose: u64) -> Self {
        Self(mix(seed ^ mix(purpose)))
    }

    /// The next draw.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// The next draw below a bound that is not 0. Bounds are small against 2^64: the bias does not matter.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A draw from `low` to below `2^octaves · low`, every octave as likely as every other.
    pub fn octaves(&mut self, low: u64, octaves: u64) -> u64 {
        let base = low << self.below(octaves);
        base + self.below(base)
    }

    /// Whether something happens that happens once in so many times.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// Makes every bit depend on every bit.
pub(super) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ() {
        let take = |seed, purpose| {
            let mut draws = Draws::new(seed, purpose);
            [draws.next(), draws.next(), draws.next()]
        };
        assert_eq!(take(7, 1), take(7, 1));
        assert!(take(7, 1) != take(7, 2) && take(7, 1) != take(8, 1));
    }

    #[test]
    fn draws_stay_in_their_range() {
        let mut draws = Draws::new(3, 0);
        assert!((0..1000).all(|_| draws.below(5) < 5));
        let drawn: Vec<u64> = (0..1000).map(|_| draws.octaves(10, 4)).collect();
        assert!(drawn.iter().all(|v| (10..160).contains(v)));
        assert!(drawn.iter().any(|v| *v < 20) && drawn.iter().any(|v| *v >= 80));
        let count = (0..10_000).filter(|_| draws.once_in(10)).count();
        assert!((800..1200).contains(&count), "{count}");
    }
}
