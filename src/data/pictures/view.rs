//! A part of a set of pictures, as training and measuring read it: scaled, and varied while training.

use super::{Pictures, PixelScale};
use crate::data::{Layout, Samples, Visit};
use crate::rng::{Purpose, stream};
use rand_chacha::rand_core::RngCore;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Bytes that are scaled at once: whole pixels of 1, 2, 3, 4, 6 or 8 channels, and whole vectors of any machine.
const BLOCK: usize = 48;

/// How training pictures are varied from epoch to epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Augment {
    /// Pixels of margin around the picture (filled with the channels' means) in which the crop moves; 0: no crop.
    pub crop: usize,
    /// Whether every second picture is mirrored left to right.
    pub flip: bool,
}

/// Some pictures of a set.
#[derive(Debug, Clone)]
pub struct PictureView {
    /// The set.
    pub pictures: Arc<Pictures>,
    /// Which pictures, in which order.
    pub rows: Vec<u32>,
    /// How pixels become numbers.
    pub scale: PixelScale,
    /// How training varies them; none: not at all.
    pub augment: Option<Augment>,
}

/// Which source pixel a target pixel shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    /// Source row of target row 0; rows outside the picture are margin.
    top: isize,
    /// Source column of target column 0, before mirroring.
    left: isize,
    /// Whether the window is mirrored.
    is_mirrored: bool,
}

/// The scale of a channel as one subtraction and one multiplication.
///
/// # Math
/// x ← (x − μ) · (1/σ) in 32 bits. No machine fuses the two, so the bits are the same everywhere.
struct Scaler<'a> {
    scale: &'a PixelScale,
    channels: usize,
    means: [f32; BLOCK],
    inverses: [f32; BLOCK],
}

impl Window {
    const WHOLE: Self = Self { top: 0, left: 0, is_mirrored: false };

    /// Draws the window of sample `i` of the training part in an epoch.
    fn draw(augment: Augment, visit: Visit, epoch: u64, i: usize) -> Self {
        let mut rng = stream(visit.seed, Purpose::Augment, epoch, i as u64);
        let places = 2 * augment.crop as u64 + 1;
        let mut place = || ((u64::from(rng.next_u32()) * places) >> 32) as isize - augment.crop as isize;
        let (top, left) = (place(), place());
        Self { top, left, is_mirrored: augment.flip && rng.next_u32() >> 31 == 1 }
    }
}

/// The targets below `size` whose source, `start` further, lies within the picture.
fn inside(start: isize, size: usize) -> std::ops::Range<usize> {
    let first = start.min(0).unsigned_abs().min(size);
    let last = size.saturating_sub(start.max(0).unsigned_abs());
    first..last.max(first)
}

impl<'a> Scaler<'a> {
    fn new(scale: &'a PixelScale) -> Self {
        let channels = scale.means.len();
        let pattern = |of: &dyn Fn(usize) -> f32| std::array::from_fn(|i| of(i % channels));
        Self { scale, channels, means: pattern(&|c| scale.means[c]), inverses: pattern(&|c| 1.0 / scale.deviations[c]) }
    }

    /// Scales neighboring pixels to where the layout says; `to` begins at the first one's.
    fn line(&self, pixels: &[u8], to: &mut [f32], layout: Layout) {
        match self.channels {
            channels if layout.channel == 1 && layout.column == channels && BLOCK.is_multiple_of(channels) => {
                self.interleaved(pixels, to);
            }
            3 if layout.column == 1 => self.planar(pixels, to, layout.channel),
            _ => self.scattered(pixels, to, layout),
        }
    }

    /// Channels innermost, without gaps.
    fn interleaved(&self, pixels: &[u8], to: &mut [f32]) {
        let (blocks, rest) = pixels.as_chunks::<BLOCK>();
        let (to_blocks, to_rest) = to[..pixels.len()].as_chunks_mut::<BLOCK>();
        for (from, to) in blocks.iter().zip(to_blocks) {
            for i in 0..BLOCK {
                to[i] = (f32::from(from[i]) - self.means[i]) * self.inverses[i];
            }
        }
        for (i, (&from, to)) in rest.iter().zip(to_rest).enumerate() {
            *to = (f32::from(from) - self.means[i]) * self.inverses[i];
        }
    }

    /// Any layout.
    fn scattered(&self, pixels: &[u8], to: &mut [f32], layout: Layout) {
        for c in 0..self.channels {
            let (mean, inverse) = (self.scale.means[c], 1.0 / self.scale.deviations[c]);
            let values = pixels.iter().skip(c).step_by(self.channels);
            let scaled = values.map(|&value| (f32::from(value) - mean) * inverse);
            to[c * layout.channel..].iter_mut().step_by(layout.column).zip(scaled).for_each(|(to, value)| *to = value);
        }
    }

    /// Three planes, each contiguous: the usual order of other programs.
    fn planar(&self, pixels: &[u8], to: &mut [f32], channel: usize) {
        // First apart, as bytes, then scaled: only neighboring bytes are scaled many at a time.
        const RUN: usize = 64;
        for (i, run) in pixels.chunks(3 * RUN).enumerate() {
            let mut planes = [[0u8; RUN]; 3];
            for (at, pixel) in run.as_chunks::<3>().0.iter().enumerate() {
                for (plane, value) in planes.iter_mut().zip(pixel) {
                    plane[at] = *value;
                }
            }
            for (c, plane) in planes.iter().enumerate() {
                let (mean, inverse) = (self.means[c], self.inverses[c]);
                let to = &mut to[c * channel + i * RUN..][..run.len() / 3];
                to.iter_mut().zip(plane).for_each(|(to, value)| *to = (f32::from(*value) - mean) * inverse);
            }
        }
    }
}

/// Gives the pixels in mirrored order, a block at a time, each with the number of its first target pixel: turned round
/// in a block that stays in the cache, they are scaled as fast as the others, and nothing is allocated.
fn mirrored(pixels: &[u8], channels: usize, mut emit: impl FnMut(usize, &[u8])) {
    let length = (BLOCK / channels).max(1);
    let mut turned = [0; BLOCK];
    for (i, from) in pixels.rchunks(length * channels).enumerate() {
        if length == 1 {
            emit(i, from);
            continue;
        }
        match channels {
            1 => turn::<1>(from, &mut turned),
            3 => turn::<3>(from, &mut turned),
            _ => {
                let pixels = turned.chunks_exact_mut(channels).zip(from.chunks_exact(channels).rev());
                pixels.for_each(|(to, from)| to.copy_from_slice(from));
            }
        }
        emit(i * length, &turned[..from.len()]);
    }
}

fn turn<const C: usize>(from: &[u8], to: &mut [u8; BLOCK]) {
    for (to, from) in to.as_chunks_mut::<C>().0.iter_mut().zip(from.as_chunks::<C>().0.iter().rev()) {
        *to = *from;
    }
}

impl PictureView {
    fn window(&self, i: usize, visit: Visit) -> Window {
        match (self.augment, visit.epoch) {
            (Some(augment), Some(epoch)) => Window::draw(augment, visit, epoch, i),
            _ => Window::WHOLE,
        }
    }
}

impl Samples for PictureView {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn load(&self, i: usize, visit: Visit, layout: Layout, row: &mut [f32]) {
        let [channels, height, width] = self.pictures.shape;
        // A dense network may read the picture as a vector: C, H, W order all the same.
        let layout = if layout.is_planar() { Layout::planar(height, width) } else { layout };
        let pixels = self.pictures.pixels(self.rows[i] as usize);
        let window = self.window(i, visit);
        let scaler = Scaler::new(&self.scale);
        let lines = inside(window.top, height);
        let shown = inside(window.left, width);
        let source = (shown.start as isize + window.left) as usize;
        // Where the shown pixels come to lie in the target's line.
        let target = if window.is_mirrored { width - shown.end..width - shown.start } else { shown.clone() };
        for y in 0..height {
            let line = &mut row[y * layout.row..];
            if !lines.contains(&y) || shown.is_empty() {
                blank(line, channels, 0..width, layout);
                continue;
            }
            blank(line, channels, 0..target.start, layout);
            blank(line, channels, target.end..width, layout);
            let from = (y as isize + window.top) as usize * width + source;
            let from = &pixels[from * channels..][..shown.len() * channels];
            let line = &mut line[target.start * layout.column..];
            match window.is_mirrored {
                true => mirrored(from, channels, |x, from| {
                    scaler.line(from, &mut line[x * layout.column..], layout);
                }),
                false => scaler.line(from, line, layout),
            }
        }
    }

    fn label(&self, i: usize) -> u32 {
        self.pictures.labels[self.rows[i] as usize]
    }
}

/// Sets the given pixels of a line to 0, the mean.
fn blank(line: &mut [f32], channels: usize, pixels: std::ops::Range<usize>, layout: Layout) {
    for x in pixels {
        for c in 0..channels {
            line[c * layout.channel + x * layout.column] = 0.0;
        }
    }
}

#[cfg(test)]
mod tests;
