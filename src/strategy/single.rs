//! One rank alone: the reference that every other strategy must equal.

use super::{Exchange, TrainError};
use crate::comm::{Reduce, Values};

/// No exchange at all.
pub(super) struct Alone;

impl Exchange<'_> for Alone {
    fn part(&self) -> Option<usize> {
        Some(0)
    }

    fn parts(&self) -> usize {
        1
    }

    fn combine(&mut self, _: Values, _: Reduce) -> Result<(), TrainError> {
        Ok(())
    }
}
