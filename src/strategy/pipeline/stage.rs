//! One rank's stage: a part of the network, and its place in the chain.

use super::layout::Place;
use crate::strategy::portion::Portion;
use std::ops::{Deref, DerefMut};

/// A stage that computes.
pub(super) struct Stage<'a> {
    pub place: Place,
    pub portion: Portion<'a>,
}

impl Stage<'_> {
    /// Whether gradients flow back to it: then all stages' losses are parts of one.
    pub fn learns_backward(&self) -> bool {
        let pipeline = self.portion.task.pipeline.expect("a stage is one of a pipeline");
        matches!(pipeline.learn, super::Learn::Backprop { .. })
    }
}

impl<'a> Deref for Stage<'a> {
    type Target = Portion<'a>;

    fn deref(&self) -> &Portion<'a> {
        &self.portion
    }
}

impl DerefMut for Stage<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.portion
    }
}
