//! Samples as a strategy reads them: one row at a time, by index.

use super::Dataset;

/// On which occasion a sample is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    /// The run's seed.
    pub seed: u64,
    /// The epoch whose training reads it; none: it is measured, and must be as it was recorded.
    pub epoch: Option<u64>,
}

impl Visit {
    /// A visit that measures.
    pub const MEASURE: Self = Self { seed: 0, epoch: None };
}

/// Where the elements of a sample lie in the row it is written to: (c, y, x) at `c·channel + y·row + x·column`.
///
/// Why: the fast kernels keep pictures with the channels innermost and a margin around; a picture is written
/// there at once, not copied there afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Pixel rows of the sample; 1 when it is no picture.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// Floats from a channel to the next.
    pub channel: usize,
    /// Floats from a pixel row to the next.
    pub row: usize,
    /// Floats from a pixel to its right neighbor.
    pub column: usize,
}

impl Layout {
    /// C, H, W order without gaps.
    pub fn planar(height: usize, width: usize) -> Self {
        Self { height, width, channel: height * width, row: width, column: 1 }
    }

    /// A vector of `dims` features.
    pub fn vector(dims: usize) -> Self {
        Self::planar(1, dims)
    }

    /// Whether the elements lie in C, H, W order without gaps.
    pub fn is_planar(self) -> bool {
        self == Self::planar(self.height, self.width)
    }

    /// Where element `i` in C, H, W order lies.
    pub fn at(self, i: usize) -> usize {
        let (c, pixel) = (i / (self.height * self.width), i % (self.height * self.width));
        c * self.channel + pixel / self.width * self.row + pixel % self.width * self.column
    }
}

/// A part of a data set that can be read row by row.
///
/// A strategy asks for the rows of its slice of a batch and nothing else, so a source may decode,
/// map or augment a row when it is asked for it.
pub trait Samples: Sync {
    /// The number of samples.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes sample `i` into `row`, each element where the layout says.
    ///
    /// # Shapes
    /// `row` begins at element (0, 0, 0) and reaches at least to the last; what lies between is left as it is.
    fn load(&self, i: usize, visit: Visit, layout: Layout, row: &mut [f32]);

    /// The class of sample `i`.
    fn label(&self, i: usize) -> u32;
}

impl Samples for Dataset {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn load(&self, i: usize, _: Visit, layout: Layout, row: &mut [f32]) {
        let values = self.features.row(i);
        match layout.is_planar() {
            true => row.iter_mut().zip(values).for_each(|(to, from)| *to = *from),
            false => values.iter().enumerate().for_each(|(i, from)| row[layout.at(i)] = *from),
        }
    }

    fn label(&self, i: usize) -> u32 {
        self.labels[i]
    }
}
