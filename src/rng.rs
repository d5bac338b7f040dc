//! One seed, independent counter-based streams.
//!
//! A draw is keyed by what it is for, never by which rank makes it: the ChaCha8 key is
//! (seed, purpose, epoch) and the stream number is the sample. So the same draw comes out
//! on any number of ranks, and a checkpoint needs no generator state.
//!
//! # References
//! Bernstein, *ChaCha, a variant of Salsa20*, 2008.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// What a stream of draws is for. The numbers are part of the reproducibility promise: never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Initial weights; the sample number is the index of the parameter tensor.
    Init = 1,
    /// The order of the training samples in an epoch.
    Order = 2,
    /// The split into training, validation and test part.
    Split = 3,
    /// The folds of a cross-validation; the epoch is the repeat.
    Folds = 4,
    /// Crop and flip of a picture in an epoch; the sample number is its index in the training part.
    Augment = 5,
    /// What a dropout layer drops; the sample number is that of the sample, the layer's own number lies above bit 32.
    Dropout = 6,
    /// The pictures of a synthetic data set; the epoch is 0, the sample number that of the picture.
    Synthetic = 7,
    /// A sampler's proposal and the number that decides on it; the epoch is the step, the sample number the iteration.
    Proposal = 8,
    /// What a task takes longer than its work on an emulated machine; the epoch is the step, the sample number the chunk,
    /// the rank above bit 32: a straggler is slow by its rank, and a chunk computed twice takes two times.
    Delay = 9,
    /// The order in which a shard is passed over again; the sample number is that of the pass among all of the epoch.
    Shard = 10,
    /// Which samples each device holds, where devices are not alike; the sample number is the class.
    NonIid = 11,
    /// When requests come up; the sample number is the rank that asks.
    Arrival = 13,
    /// The synthetic picture of a request; the sample number is the request's.
    Request = 14,
    /// What a planner of task graphs tries; the epoch is the method, the sample number the task or the step.
    Placement = 12,
}

/// The generator for one `(purpose, epoch, sample)` of a run with this seed.
pub fn stream(seed: u64, purpose: Purpose, epoch: u64, sample: u64) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&(purpose as u64).to_le_bytes());
    key[16..24].copy_from_slice(&epoch.to_le_bytes());
    key[24..].copy_from_slice(b"goai-rs1");
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(sample);
    rng
}

/// Shuffles in place, Fisher-Yates; the same generator state gives the same order for ever.
pub fn shuffle<T>(items: &mut [T], rng: &mut impl RngCore) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(rng, last as u64 + 1) as usize);
    }
}

/// A number in `0..n`. The bias of the multiply-and-shift method is below n / 2^64.
pub fn below(rng: &mut impl RngCore, n: u64) -> u64 {
    ((u128::from(rng.next_u64()) * u128::from(n)) >> 64) as u64
}

/// A number of the open interval (0, 1): the middles of 2^52 equal parts.
pub fn unit(rng: &mut impl RngCore) -> f64 {
    ((rng.next_u64() >> 12) as f64 + 0.5) / (1u64 << 52) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_independent_and_repeatable() {
        let draw = |seed, purpose, epoch, sample| stream(seed, purpose, epoch, sample).next_u64();
        let reference = draw(1, Purpose::Order, 2, 3);
        assert_eq!(reference, draw(1, Purpose::Order, 2, 3));
        for other in [
            draw(2, Purpose::Order, 2, 3),
            draw(1, Purpose::Init, 2, 3),
            draw(1, Purpose::Order, 3, 3),
            draw(1, Purpose::Order, 2, 4),
        ] {
            assert_ne!(reference, other);
        }
    }

    #[test]
    fn a_shuffle_is_a_permutation_and_uniform_enough() {
        let mut first = [0usize; 5];
        for seed in 0..5000 {
            let mut items = [0, 1, 2, 3, 4];
            shuffle(&mut items, &mut stream(seed, Purpose::Order, 0, 0));
            let mut sorted = items;
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4]);
            first[items[0]] += 1;
        }
        for count in first {
            assert!((850..1150).contains(&count), "{first:?}");
        }
    }

    /// A generator that gives the same number for ever.
    struct Constant(u64);

    impl RngCore for Constant {
        fn next_u32(&mut self) -> u32 {
            self.0 as u32
        }

        fn next_u64(&mut self) -> u64 {
            self.0
        }

        fn fill_bytes(&mut self, bytes: &mut [u8]) {
            bytes.fill(self.0 as u8);
        }
    }

    #[test]
    fn the_unit_interval_is_open() {
        let [low, high] = [0, u64::MAX].map(|bits| unit(&mut Constant(bits)));
        assert!(low > 0.0 && low < 1e-15 && high < 1.0 && 1.0 - high < 1e-15, "{low} {high}");
    }
}
