//! What a class of a synthetic set looks like.
//!
//! A picture is a grating under a soft round window somewhere in the picture, on a tinted ground, with a faint second
//! grating of any direction and noise on top. The class decides the direction, whether the grating is coarse or fine,
//! the tint and, a little, where the window is. Phase and place are random, so no pixel tells the class by itself: a
//! convolutional network learns the set within a few epochs, a network of dense layers a part of it.

use crate::rng::{Purpose, stream};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use std::f64::consts::{PI, TAU};

/// How much a grating's direction varies within a class, as a share of the step between classes (standard deviation).
const DIRECTION: f64 = 0.15;
/// How strong the grating is, of 255, at least; and how much stronger it may be.
const CONTRAST: [f64; 2] = [60.0, 30.0];
/// How strong the second grating is.
const DISTRACTION: f64 = 12.0;
/// How strong the noise is (standard deviation).
const NOISE: f64 = 18.0;
/// How far the tint of a class is from grey, and how far that of a picture from its class's (standard deviation).
const TINT: [f64; 2] = [6.0, 16.0];
/// The picture that the waves are measured by is at most so large: they stay within what a few small kernels see.
const WAVES_SIDE: f64 = 48.0;

/// A class of a set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Texture {
    /// Which class.
    pub class: usize,
    /// Of how many, K.
    pub classes: usize,
    /// Of which size, `[C, H, W]`.
    pub shape: [usize; 3],
}

/// Waves of one direction: cos(x·kx + y·ky + phase).
#[derive(Debug, Clone, Copy)]
struct Grating {
    kx: f64,
    ky: f64,
    phase: f64,
}

impl Grating {
    fn new(direction: f64, wavelength: f64, rng: &mut ChaCha8Rng) -> Self {
        let k = TAU / wavelength;
        Self { kx: k * direction.cos(), ky: k * direction.sin(), phase: TAU * uniform(rng) }
    }

    fn at(&self, x: f64, y: f64) -> f64 {
        (x * self.kx + y * self.ky + self.phase).cos()
    }
}

impl Texture {
    /// Picture number `i` of the set, in H, W, C order.
    pub(super) fn draw(self, seed: u64, i: u64) -> Vec<u8> {
        let rng = &mut stream(seed, Purpose::Synthetic, 0, i);
        let [channels, height, width] = self.shape;
        let side = height.min(width) as f64;
        let grating = self.grating(side, rng);
        let other = Grating::new(PI * uniform(rng), side.min(WAVES_SIDE) * (0.1 + 0.2 * uniform(rng)), rng);
        let contrast = CONTRAST[0] + CONTRAST[1] * uniform(rng);
        let (cx, cy) = self.center(rng);
        let radius = side * (0.14 + 0.06 * uniform(rng));
        let ground = self.ground(rng);
        let mut pixels = Vec::with_capacity(channels * height * width);
        for y in 0..height {
            for x in 0..width {
                let (x, y) = (x as f64, y as f64);
                let distance = (x - cx * width as f64).powi(2) + (y - cy * height as f64).powi(2);
                let window = (-distance / (2.0 * radius * radius)).exp();
                let light = contrast * window * grating.at(x, y) + DISTRACTION * other.at(x, y);
                for &ground in &ground[..channels] {
                    // As `as` does: below 0 is 0, above 255 is 255.
                    pixels.push((ground + light + NOISE * normal(rng)) as u8);
                }
            }
        }
        pixels
    }

    /// Every class has its direction; neighbors differ in wavelength too.
    fn grating(self, side: f64, rng: &mut ChaCha8Rng) -> Grating {
        let step = PI / self.classes as f64;
        let direction = step * (self.class as f64 + DIRECTION * normal(rng));
        let waves = if self.class.is_multiple_of(2) { 4.0 } else { 6.5 };
        // Never finer than a network's first pooling can see.
        let wavelength = (side.min(WAVES_SIDE) / waves * (0.9 + 0.2 * uniform(rng))).max(4.0);
        Grating::new(direction, wavelength, rng)
    }

    /// The middle of the window, in shares of width and height: around a point of the class's own.
    fn center(self, rng: &mut ChaCha8Rng) -> (f64, f64) {
        let angle = TAU * self.class as f64 / self.classes as f64;
        let place = |own: f64, rng: &mut ChaCha8Rng| 0.5 + 0.03 * own + 0.6 * (uniform(rng) - 0.5);
        (place(angle.cos(), rng), place(angle.sin(), rng))
    }

    /// The mean of each channel; of one channel alone it says nothing about the class.
    fn ground(self, rng: &mut ChaCha8Rng) -> [f64; 3] {
        let light = 118.0 + 15.0 * normal(rng);
        std::array::from_fn(|channel| {
            let angle = TAU * (self.class as f64 / self.classes as f64 + channel as f64 / 3.0);
            let own = if self.shape[0] == 1 { 0.0 } else { TINT[0] * angle.cos() };
            light + own + TINT[1] * normal(rng)
        })
    }
}

/// A number in [0, 1).
fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    f64::from(rng.next_u32()) / (f64::from(u32::MAX) + 1.0)
}

/// A number of mean 0 and deviation 1, near enough to normal: the sum of four uniform ones, from one draw.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let bits = rng.next_u64();
    let sum: u32 = (0..4).map(|part| (bits >> (16 * part)) as u32 & 0xffff).sum();
    (f64::from(sum) / 65535.0 - 2.0) * 3f64.sqrt()
}
