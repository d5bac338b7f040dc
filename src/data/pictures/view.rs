//! A part of a set of pictures, as training and measuring read it.

use super::Pictures;
use crate::data::{Layout, Samples, Visit};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What is subtracted from the pixels of each channel, and what they are divided by, in units of 0 to 255.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PixelScale {
    /// μ, one a channel.
    pub means: Vec<f32>,
    /// σ, one a channel, never 0.
    pub deviations: Vec<f32>,
}

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

impl Samples for PictureView {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn load(&self, i: usize, _visit: Visit, layout: Layout, row: &mut [f32]) {
        let [channels, height, width] = self.pictures.shape;
        let pixels = self.pictures.pixels(self.rows[i] as usize);
        for y in 0..height {
            for x in 0..width {
                for c in 0..channels {
                    let value = f32::from(pixels[(y * width + x) * channels + c]);
                    row[c * layout.channel + y * layout.row + x * layout.column] =
                        (value - self.scale.means[c]) / self.scale.deviations[c];
                }
            }
        }
    }

    fn label(&self, i: usize) -> u32 {
        self.pictures.labels[self.rows[i] as usize]
    }
}
