//! Mean and deviation of each color channel, exactly.

use super::{Pictures, Pixels};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Sums over the pixels of some pictures: whole numbers, so that neither threads nor ranks change the result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moments {
    /// Pixels.
    pub count: u64,
    /// Σ x, one a channel.
    pub sums: Vec<u64>,
    /// Σ x², one a channel.
    pub squares: Vec<u64>,
}

impl Moments {
    /// Of the given pictures of a set. A mapped set reads no pixel: its file holds the sums of each picture.
    ///
    /// # Panics
    /// If a row is not below the number of pictures.
    pub fn of(pictures: &Pictures, rows: &[u32]) -> Self {
        let [channels, ..] = pictures.shape;
        let one = |&row: &u32| match &pictures.pixels {
            Pixels::Owned(_) => Self::of_pixels(pictures.pixels(row as usize), channels),
            Pixels::Mapped(mapped) => mapped.moments(row as usize),
        };
        rows.par_iter().map(one).reduce(Self::default, Self::plus)
    }

    /// Of one picture, `[H, W, C]`.
    pub fn of_pixels(pixels: &[u8], channels: usize) -> Self {
        match channels {
            1 => Self::interleaved::<1>(pixels),
            3 => Self::interleaved::<3>(pixels),
            _ => {
                let mut moments = Self::zero(pixels.len() / channels, channels);
                for (i, &value) in pixels.iter().enumerate() {
                    moments.sums[i % channels] += u64::from(value);
                    moments.squares[i % channels] += u64::from(value).pow(2);
                }
                moments
            }
        }
    }

    /// The channels' number known to the compiler, and 32-bit sums over runs that cannot overflow them.
    fn interleaved<const C: usize>(pixels: &[u8]) -> Self {
        let mut moments = Self::zero(pixels.len() / C, C);
        // 255² · 2¹⁶ < 2³²
        for run in pixels.chunks(C << 16) {
            let (mut sums, mut squares) = ([0u32; C], [0u32; C]);
            for pixel in run.as_chunks::<C>().0 {
                for c in 0..C {
                    sums[c] += u32::from(pixel[c]);
                    squares[c] += u32::from(pixel[c]).pow(2);
                }
            }
            for c in 0..C {
                moments.sums[c] += u64::from(sums[c]);
                moments.squares[c] += u64::from(squares[c]);
            }
        }
        moments
    }

    fn zero(count: usize, channels: usize) -> Self {
        Self { count: count as u64, sums: vec![0; channels], squares: vec![0; channels] }
    }

    /// The sums over both.
    pub fn plus(mut self, other: Self) -> Self {
        if self.count == 0 {
            return other;
        }
        self.count += other.count;
        self.sums.iter_mut().zip(other.sums).for_each(|(a, b)| *a += b);
        self.squares.iter_mut().zip(other.squares).for_each(|(a, b)| *a += b);
        self
    }
}

/// What is subtracted from the pixels of each channel, and what they are divided by, in units of 0 to 255.
///
/// # Math
/// μ = 1/n Σ x and σ² = 1/n Σ x² − μ² over the pixels of the pictures it was fitted on. A channel that is constant
/// there has σ = 1: it becomes 0, not 0/0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PixelScale {
    /// μ, one a channel.
    pub means: Vec<f32>,
    /// σ, one a channel, never 0.
    pub deviations: Vec<f32>,
}

impl PixelScale {
    /// Fits on the given pictures, those that train; with none it changes nothing.
    ///
    /// # Panics
    /// If a row is not below the number of pictures.
    pub fn fit(pictures: &Pictures, rows: &[u32]) -> Self {
        let [channels, ..] = pictures.shape;
        match Moments::of(pictures, rows) {
            moments if moments.count == 0 => Self { means: vec![0.0; channels], deviations: vec![1.0; channels] },
            moments => Self::of(&moments),
        }
    }

    /// The scale of these sums.
    fn of(moments: &Moments) -> Self {
        let count = moments.count as f64;
        let deviation = |(&sum, &squares): (&u64, &u64)| {
            // n²σ² in whole numbers: no digit is lost where the mean is large and the deviation small.
            let scaled = u128::from(moments.count) * u128::from(squares) - u128::from(sum).pow(2);
            if scaled == 0 { 1.0 } else { ((scaled as f64).sqrt() / count) as f32 }
        };
        Self {
            means: moments.sums.iter().map(|&sum| (sum as f64 / count) as f32).collect(),
            deviations: moments.sums.iter().zip(&moments.squares).map(deviation).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn moments_are_those_of_the_given_pictures_alone() {
        for channels in [1, 2, 3, 4] {
            let pixels: Vec<u8> = (0..5 * 6 * channels).map(|i| (i * 37 % 251) as u8).collect();
            let pictures = Pictures {
                name: String::new(),
                shape: [channels, 2, 3],
                labels: vec![0; 5],
                classes: vec![],
                own_test: 0,
                pixels: Pixels::Owned(Arc::new(pixels.clone())),
            };
            let scale = PixelScale::fit(&pictures, &[1, 3]);
            for c in 0..channels {
                let of = |row: usize| pixels[row * 6 * channels..][..6 * channels].iter().skip(c).step_by(channels);
                let values: Vec<f64> = of(1).chain(of(3)).map(|&value| f64::from(value)).collect();
                let mean = values.iter().sum::<f64>() / 12.0;
                let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 12.0;
                assert!((f64::from(scale.means[c]) - mean).abs() < 1e-4, "{channels}");
                assert!((f64::from(scale.deviations[c]) - variance.sqrt()).abs() < 1e-4, "{channels}");
            }
            assert_eq!(PixelScale::fit(&pictures, &[]).deviations, vec![1.0; channels]);
        }
    }

    #[test]
    fn large_and_constant_pictures_do_not_overflow() {
        let white = Moments::of_pixels(&vec![255; 3 << 20], 3);
        assert_eq!(white.squares, vec![(255 * 255) << 20; 3]);
        let twice = white.clone().plus(white);
        assert_eq!(PixelScale::of(&twice), PixelScale { means: vec![255.0; 3], deviations: vec![1.0; 3] });
    }
}
