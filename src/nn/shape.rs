//! The shape of one sample's tensor, and spans of flat vectors.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;

/// The dimensions of one sample's tensor: `[D]` or `[C, H, W]`; the batch dimension is not part of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shape(pub Vec<usize>);

impl Shape {
    /// A vector of `d` features.
    pub fn vector(d: usize) -> Self {
        Self(vec![d])
    }

    /// A picture.
    pub fn image(channels: usize, height: usize, width: usize) -> Self {
        Self(vec![channels, height, width])
    }

    /// Channels, height and width, if it is a picture.
    pub fn picture(&self) -> Option<[usize; 3]> {
        self.0.as_slice().try_into().ok()
    }

    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.0.iter().product()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, d) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("x")?;
            }
            write!(f, "{d}")?;
        }
        Ok(())
    }
}

/// A run of elements of a flat vector, as θ or the gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First element.
    pub start: usize,
    /// Number of elements.
    pub len: usize,
}

impl Span {
    /// The span as an index range.
    pub fn range(self) -> Range<usize> {
        self.start..self.start + self.len
    }

    /// One past the last element.
    pub fn end(self) -> usize {
        self.start + self.len
    }
}
