//! Samples as a strategy reads them: one row at a time, by index.

use super::Dataset;
use crate::layout::Layout;

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
