//! Pictures: eight bits a pixel and channel, in memory or mapped from a file, scaled when they are read.

pub mod decode;
mod view;

pub use view::{Augment, PictureView, PixelScale};

use std::sync::Arc;

/// A labelled set of pictures of one size.
///
/// # Shapes
/// `shape` is `[C, H, W]`; the pixels of a picture lie in H, W, C order, `C·H·W` bytes a picture.
#[derive(Debug, Clone)]
pub struct Pictures {
    /// What the set is called.
    pub name: String,
    /// Channels, height and width of every picture.
    pub shape: [usize; 3],
    /// The class of each picture, an index into `classes`.
    pub labels: Vec<u32>,
    /// The names of the classes.
    pub classes: Vec<String>,
    /// How many pictures at the end are the set's own test set; 0: it has none.
    pub own_test: usize,
    /// The pixels of all pictures, one after the other.
    pub pixels: Pixels,
}

/// Where pixels are.
#[derive(Debug, Clone)]
pub enum Pixels {
    /// In memory.
    Owned(Arc<Vec<u8>>),
}

impl Pictures {
    /// Number of pictures, N.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Numbers per sample, D = C·H·W.
    pub fn dims(&self) -> usize {
        self.shape.iter().product()
    }

    /// Number of classes, K.
    pub fn num_classes(&self) -> usize {
        self.classes.len()
    }

    /// The bytes of picture `i`, `[H, W, C]`.
    ///
    /// # Panics
    /// If `i` is not below `len()`.
    pub fn pixels(&self, i: usize) -> &[u8] {
        let Pixels::Owned(bytes) = &self.pixels;
        &bytes[i * self.dims()..][..self.dims()]
    }
}
