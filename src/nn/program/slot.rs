//! Where the values of a program live, and in which form.

use super::workspace::Place;
use crate::layout::Layout;
use crate::nn::Shape;
use crate::nn::kernels::grid::Grid;

/// Floats in the widest vector register that row kernels load: rows are padded to this.
pub(in crate::nn) const LANE: usize = 8;
/// Floats in a cache line.
pub(in crate::nn) const LINE: usize = 16;

/// An index into a program's slots.
pub(in crate::nn) type SlotId = usize;

/// How a sample's tensor lies in memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::nn) enum Form {
    /// One padded row a sample, in C, H, W order: what layers read, and what crosses to other ranks.
    Rows,
    /// One grid a sample: what the picture kernels read.
    Grid(Grid),
}

/// A place for one value of a whole batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::nn) struct Slot {
    pub form: Form,
    /// Elements of a sample, without padding.
    pub dims: usize,
    /// Height and width of a picture; 1 and `dims` of anything else.
    pub size: [usize; 2],
}

/// C, H, W of a shape, where it is a picture's.
pub(in crate::nn) fn picture(shape: &Shape) -> Option<[usize; 3]> {
    <[usize; 3]>::try_from(shape.0.as_slice()).ok()
}

impl Slot {
    pub fn rows(shape: &Shape) -> Self {
        let size = picture(shape).map_or([1, shape.elements()], |[_, h, w]| [h, w]);
        Self { form: Form::Rows, dims: shape.elements(), size }
    }

    pub fn grid(grid: Grid) -> Self {
        let size = [grid.height, grid.width];
        Self { form: Form::Grid(grid), dims: grid.channels * grid.height * grid.width, size }
    }

    /// The same value as rows.
    pub fn as_rows(&self) -> Self {
        Self { form: Form::Rows, ..*self }
    }

    /// The grid of a picture that kernels read.
    pub fn as_grid(&self) -> Option<Grid> {
        match self.form {
            Form::Grid(grid) => Some(grid),
            Form::Rows => None,
        }
    }

    /// Floats from a sample to the next.
    pub fn stride(&self) -> usize {
        match self.form {
            Form::Rows => self.dims.next_multiple_of(LANE),
            Form::Grid(grid) => grid.len(),
        }
    }

    /// Floats of a batch.
    pub fn len(&self, batch: usize) -> usize {
        (batch * self.stride()).next_multiple_of(LINE)
    }

    /// Where element (0, 0, 0) of a sample lies, from the sample's beginning.
    pub fn origin(&self) -> usize {
        match self.form {
            Form::Rows => 0,
            Form::Grid(grid) => grid.at(0, 0),
        }
    }

    /// Where the elements lie from there.
    pub fn layout(&self) -> Layout {
        let [height, width] = self.size;
        match self.form {
            Form::Rows => Layout::planar(height, width),
            Form::Grid(grid) => Layout { height, width, channel: 1, row: grid.row(), column: grid.depth },
        }
    }

    pub fn place(&self, offset: usize) -> Place {
        Place { offset, stride: self.stride(), dims: self.dims }
    }
}

/// From when to when a gradient is needed, in steps of the backward pass, both ends included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::nn) struct Life {
    pub slot: SlotId,
    pub birth: usize,
    pub death: usize,
}

/// Gives each gradient a place such that those that live at the same time do not overlap: first fit, in the order of birth.
pub(in crate::nn) fn share_memory(lives: &[Life], len: impl Fn(SlotId) -> usize) -> (Vec<(SlotId, usize)>, usize) {
    let mut lives = lives.to_vec();
    lives.sort_by_key(|life| (life.birth, life.slot));
    let mut placed: Vec<(Life, usize)> = Vec::with_capacity(lives.len());
    let mut total = 0;
    for life in lives {
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|(other, _)| other.death >= life.birth)
            .map(|(other, at)| (*at, at + len(other.slot)))
            .collect();
        taken.sort_unstable();
        let mut at = 0;
        for (from, to) in taken {
            if at + len(life.slot) <= from {
                break;
            }
            at = at.max(to);
        }
        total = total.max(at + len(life.slot));
        placed.push((life, at));
    }
    (placed.into_iter().map(|(life, at)| (life.slot, at)).collect(), total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn gradients_that_live_together_do_not_overlap(
            lives in prop::collection::vec((0usize..12, 0usize..12, 1usize..50), 1..14)
        ) {
            let len = |slot: usize| lives[slot].2;
            let all: Vec<Life> = (lives.iter().enumerate())
                .map(|(slot, (a, b, _))| Life { slot, birth: *a.min(b), death: *a.max(b) })
                .collect();
            let (places, total) = share_memory(&all, len);
            prop_assert_eq!(places.len(), all.len());
            for (i, (a, at)) in places.iter().enumerate() {
                prop_assert!(at + len(*a) <= total);
                for (b, bt) in &places[i + 1..] {
                    let together = all[*a].birth <= all[*b].death && all[*b].birth <= all[*a].death;
                    let apart = at + len(*a) <= *bt || bt + len(*b) <= *at;
                    prop_assert!(!together || apart);
                }
            }
            prop_assert!(total <= lives.iter().map(|life| life.2).sum());
        }
    }
}
