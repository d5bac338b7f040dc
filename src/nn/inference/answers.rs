//! The memory of a pass: inputs go in as rows, outputs and exports come out as rows.

use super::Plan;
use crate::nn::program::{Arena, Place, Slot, SlotId, relayout, share_memory};
use crate::nn::{Alone, ValueId};
use ndarray::ArrayView2;

/// The inputs, inner values and outputs of passes up to a fixed number of rows; one for each thread that asks.
#[derive(Debug)]
pub struct Answers {
    slots: Vec<Slot>,
    rows: Vec<Option<SlotId>>,
    inputs: Vec<SlotId>,
    pub(super) places: Vec<Place>,
    pub(super) values: Arena,
    pub(super) scratch: Arena,
    pub(super) packed: Arena,
    pub(super) aside: Arena,
    capacity: usize,
    pub(super) batch: usize,
}

impl Answers {
    pub(super) fn new(plan: &Plan, capacity: usize) -> Self {
        let (places, values) = plan.places(capacity);
        Self {
            slots: plan.slots.clone(),
            rows: plan.rows.clone(),
            inputs: plan.inputs.clone(),
            places,
            values: Arena::zeros(values),
            scratch: Arena::zeros(plan.scratch * capacity),
            packed: Arena::zeros(plan.packed),
            aside: Arena::zeros(plan.aside * capacity),
            capacity,
            batch: 0,
        }
    }

    /// The rows of the coming pass.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Copies the rows of input `i`, the tensor `i` of [`Part::inputs`](crate::nn::Part::inputs); all inputs of a pass
    /// have as many rows. What is not assigned again stays for the next pass.
    ///
    /// # Shapes
    /// `[B, D]`, pictures in C, H, W order.
    ///
    /// # Panics
    /// If there are more rows than the capacity, or they have another length.
    pub fn assign(&mut self, i: usize, rows: ArrayView2<f32>) {
        let (slot, place) = (self.slots[self.inputs[i]], self.places[self.inputs[i]]);
        let batch = rows.nrows();
        assert!(batch <= self.capacity, "a batch of {batch} where there is room for {}", self.capacity);
        assert_eq!(rows.ncols(), place.dims, "the elements of input {i}");
        self.batch = batch;
        let to = &mut self.values.as_mut_slice()[place.offset..][..batch * place.stride];
        for (row, to) in rows.rows().into_iter().zip(to.chunks_exact_mut(place.stride)) {
            match (row.to_slice(), slot.as_grid()) {
                (Some(row), Some(_)) => relayout(&Alone, [&slot.as_rows(), &slot], row, to, 1),
                (Some(row), None) => to[..place.dims].copy_from_slice(row),
                (None, _) => {
                    let (layout, to) = (slot.layout(), &mut to[slot.origin()..]);
                    row.iter().enumerate().for_each(|(at, value)| to[layout.at(at)] = *value);
                }
            }
        }
    }

    /// An output or an export of the last pass, `[B, D]`, pictures in C, H, W order.
    ///
    /// # Panics
    /// If nobody outside sees the value: an inner one.
    pub fn value(&self, id: ValueId) -> ArrayView2<'_, f32> {
        let slot = self.rows[id].expect("a value that is seen outside");
        self.places[slot].view(self.values.as_slice(), self.batch)
    }
}

impl Plan {
    /// Where each value lies, and the floats of all: those that do not live at the same time share memory.
    fn places(&self, capacity: usize) -> (Vec<Place>, usize) {
        let (placed, total) = share_memory(&self.lives, |slot| self.slots[slot].len(capacity));
        let mut places = vec![Place { offset: 0, stride: 0, dims: 0 }; self.slots.len()];
        placed.into_iter().for_each(|(slot, offset)| places[slot] = self.slots[slot].place(offset));
        (places, total)
    }

    /// Bytes of the memory of a pass.
    pub(super) fn bytes(&self, capacity: usize) -> u64 {
        4 * (self.places(capacity).1 + (self.scratch + self.aside) * capacity + self.packed) as u64
    }
}
