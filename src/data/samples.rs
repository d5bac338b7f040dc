//! Samples as a strategy reads them: one row at a time, by index.

use super::Dataset;

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

    /// Writes sample `i` into `row`, `[D]`.
    fn load(&self, i: usize, row: &mut [f32]);

    /// The class of sample `i`.
    fn label(&self, i: usize) -> u32;
}

impl Samples for Dataset {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn load(&self, i: usize, row: &mut [f32]) {
        for (to, from) in row.iter_mut().zip(self.features.row(i)) {
            *to = *from;
        }
    }

    fn label(&self, i: usize) -> u32 {
        self.labels[i]
    }
}
