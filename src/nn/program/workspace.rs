//! The memory of a compiled network: every activation and every gradient has its place from the start.

use super::slot::{LINE, Slot, SlotId, share_memory};
use super::{Memory, Program};
use crate::layout::Layout;
use crate::nn::kernels::share::share1;
use crate::nn::team::worthwhile;
use crate::nn::{Team, ValueId};
use ndarray::{ArrayView2, ArrayViewMut2, ShapeBuilder};

/// Where the rows of a value lie in an arena.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::nn) struct Place {
    pub offset: usize,
    pub stride: usize,
    pub dims: usize,
}

impl Place {
    /// `[B, D]`.
    pub fn view(self, arena: &[f32], batch: usize) -> ArrayView2<'_, f32> {
        ArrayView2::from_shape((batch, self.dims).strides((self.stride, 1)), self.rows(arena, batch))
            .expect("the arena was laid out for this value")
    }

    /// `[B, D]`, to write.
    pub fn view_mut(self, arena: &mut [f32], batch: usize) -> ArrayViewMut2<'_, f32> {
        let rows = &mut arena[self.offset..self.offset + batch * self.stride];
        ArrayViewMut2::from_shape((batch, self.dims).strides((self.stride, 1)), rows)
            .expect("the arena was laid out for this value")
    }

    /// The padded rows of a batch.
    pub fn rows(self, arena: &[f32], batch: usize) -> &[f32] {
        &arena[self.offset..self.offset + batch * self.stride]
    }

    /// The same place in a slice that begins there.
    pub fn at_start(self) -> Self {
        Self { offset: 0, ..self }
    }
}

/// A float buffer that begins on a cache line.
#[derive(Debug)]
pub(in crate::nn) struct Arena {
    memory: Vec<f32>,
    start: usize,
    len: usize,
}

impl Arena {
    pub fn zeros(len: usize) -> Self {
        let memory = vec![0.0; len + LINE];
        let start = memory.as_ptr().align_offset(64).min(LINE);
        Self { memory, start, len }
    }

    pub fn as_slice(&self) -> &[f32] {
        &self.memory[self.start..self.start + self.len]
    }

    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

/// The memory that a rank needs to run a program on batches up to a fixed size.
///
/// A pass allocates nothing: everything it writes has its place here.
#[derive(Debug)]
pub struct Workspace {
    pub(super) slots: Vec<Slot>,
    /// The slot that holds a value as rows, where one does.
    rows: Vec<Option<SlotId>>,
    inputs: Vec<SlotId>,
    pub(super) places: Vec<Place>,
    /// Where gradients lie; none in a workspace for forward passes, and none of values that nobody asks for.
    pub(super) grad_places: Vec<Option<Place>>,
    pub(super) values: Arena,
    pub(super) grads: Arena,
    pub(super) packed: Arena,
    pub(super) scratch: Arena,
    /// A second gradient of a value that several steps read.
    pub(super) shared: Arena,
    /// Which element of each pooling window was the largest.
    pub(super) marks: Vec<u8>,
    pub(super) written: Vec<bool>,
    pub(super) moments: Vec<f32>,
    pub(super) capacity: usize,
    pub(super) batch: usize,
}

impl Workspace {
    pub(super) fn new(program: &Program, capacity: usize, backward: bool) -> Self {
        let memory = &program.memory;
        let (places, values) = memory.values(capacity);
        let (grad_places, grads) = match backward {
            true => memory.grads(capacity),
            false => (vec![None; places.len()], 0),
        };
        Self {
            slots: memory.slots.clone(),
            rows: memory.rows.clone(),
            inputs: memory.inputs.clone(),
            written: vec![false; places.len()],
            places,
            grad_places,
            moments: vec![0.0; program.network().sigma_len()],
            values: Arena::zeros(values),
            grads: Arena::zeros(grads),
            packed: Arena::zeros(memory.packed),
            scratch: Arena::zeros(if backward { memory.scratch(capacity) } else { 0 }),
            shared: Arena::zeros(if backward { memory.shared * capacity } else { 0 }),
            marks: vec![0; memory.marks * capacity],
            capacity,
            batch: 0,
        }
    }

    /// The most rows a batch may have.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Sets the number of rows of the coming passes.
    ///
    /// # Panics
    /// If `batch` exceeds the capacity.
    pub fn begin(&mut self, batch: usize) {
        assert!(batch <= self.capacity, "a batch of {batch} in a workspace for {}", self.capacity);
        self.batch = batch;
    }

    /// Fills input `i`: `write` gets each row's number, how its elements lie, and the memory from the first on.
    pub fn fill(&mut self, i: usize, team: &dyn Team, write: &(dyn Fn(usize, Layout, &mut [f32]) + Sync)) {
        let (slot, place) = (self.slots[self.inputs[i]], self.places[self.inputs[i]]);
        let (layout, origin) = (slot.layout(), slot.origin());
        let rows = &mut self.values.as_mut_slice()[place.offset..place.offset + self.batch * place.stride];
        let team = worthwhile(team, rows.len());
        share1(team, self.batch, (rows, place.stride), &|b, row| write(b, layout, &mut row[origin..]));
    }

    /// Sets the number of rows and copies them into input `i`.
    ///
    /// # Shapes
    /// `[B, D]`, pictures in C, H, W order.
    pub fn assign(&mut self, i: usize, rows: ArrayView2<f32>) {
        self.begin(rows.nrows());
        self.fill(i, &crate::nn::Alone, &|b, layout, to| {
            rows.row(b).iter().enumerate().for_each(|(at, value)| to[layout.at(at)] = *value);
        });
    }

    /// An output of the last forward pass, `[B, D]`.
    ///
    /// # Panics
    /// If the program keeps the value in the kernels' own layout: an inner value.
    pub fn value(&self, id: ValueId) -> ArrayView2<'_, f32> {
        self.places[self.rows_of(id)].view(self.values.as_slice(), self.batch)
    }

    /// The gradient of the loss with respect to an input, after the backward pass.
    ///
    /// # Panics
    /// If the program does not compute it.
    pub fn gradient(&self, id: ValueId) -> ArrayView2<'_, f32> {
        let place = self.grad_places[self.rows_of(id)].expect("a program with gradients of its inputs");
        place.view(self.grads.as_slice(), self.batch)
    }

    /// The moments of the last batch that trained, `[S]`.
    pub fn moments(&self) -> &[f32] {
        &self.moments
    }

    /// A value to read and its gradient to write: what a loss needs at an output.
    pub fn output(&mut self, id: ValueId) -> (ArrayView2<'_, f32>, ArrayViewMut2<'_, f32>) {
        let slot = self.rows_of(id);
        self.written[slot] = true;
        let to = self.grad_places[slot].expect("a workspace for training");
        (self.places[slot].view(self.values.as_slice(), self.batch), to.view_mut(self.grads.as_mut_slice(), self.batch))
    }

    fn rows_of(&self, id: ValueId) -> SlotId {
        self.rows[id].expect("a value that is kept as rows")
    }
}

impl Memory {
    /// Places in topological order, so that a step's inputs lie before its output; and the floats of all.
    fn values(&self, capacity: usize) -> (Vec<Place>, usize) {
        let mut offset = 0;
        let place = |slot: &Slot| {
            let place = slot.place(offset);
            offset += slot.len(capacity);
            place
        };
        (self.slots.iter().map(place).collect(), offset)
    }

    fn grads(&self, capacity: usize) -> (Vec<Option<Place>>, usize) {
        let (placed, total) = share_memory(&self.lives, |slot| self.slots[slot].len(capacity));
        let mut places = vec![None; self.slots.len()];
        for (slot, offset) in placed {
            places[slot] = Some(self.slots[slot].place(offset));
        }
        (places, total)
    }

    fn scratch(&self, capacity: usize) -> usize {
        self.groups.iter().map(|(len, most)| len * capacity.min(*most)).max().unwrap_or(0)
    }

    /// Bytes of a workspace.
    pub(super) fn bytes(&self, capacity: usize, backward: bool) -> u64 {
        let gradients =
            if backward { self.grads(capacity).1 + self.scratch(capacity) + self.shared * capacity } else { 0 };
        (4 * (self.values(capacity).1 + gradients + self.packed) + self.marks * capacity) as u64
    }
}

/// Places for rows of these shapes one behind the other, and the floats of all.
#[cfg(test)]
pub(in crate::nn) fn lay_out(shapes: &[crate::nn::Shape], batch: usize) -> (Vec<Place>, usize) {
    let memory = Memory { slots: shapes.iter().map(Slot::rows).collect(), ..Memory::default() };
    memory.values(batch)
}
