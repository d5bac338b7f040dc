//! The memory of a compiled network: every activation and every gradient has its place from the start.

use super::Shape;
use ndarray::{ArrayView2, ArrayViewMut2, ShapeBuilder};

/// Floats in the widest vector register that kernels load: rows are padded to this.
pub(super) const LANE: usize = 8;
/// Floats in a cache line.
const LINE: usize = 16;

/// Where a value lives in the arenas: `[B, D]` rows, each padded to whole vector registers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    pub offset: usize,
    pub stride: usize,
    pub dims: usize,
}

impl Place {
    pub fn view(self, arena: &[f32], batch: usize) -> ArrayView2<'_, f32> {
        ArrayView2::from_shape((batch, self.dims).strides((self.stride, 1)), self.rows(arena, batch))
            .expect("the arena was laid out for this value")
    }

    pub fn view_mut(self, arena: &mut [f32], batch: usize) -> ArrayViewMut2<'_, f32> {
        let rows = &mut arena[self.offset..self.offset + batch * self.stride];
        ArrayViewMut2::from_shape((batch, self.dims).strides((self.stride, 1)), rows)
            .expect("the arena was laid out for this value")
    }

    /// The padded rows of a batch.
    pub fn rows(self, arena: &[f32], batch: usize) -> &[f32] {
        &arena[self.offset..self.offset + batch * self.stride]
    }
}

/// Lays out one arena: values in topological order, so that a node's inputs lie before its output.
pub(super) fn lay_out(shapes: &[Shape], batch: usize) -> (Vec<Place>, usize) {
    let mut offset = 0;
    let places = shapes
        .iter()
        .map(|shape| {
            let dims = shape.elements();
            let stride = dims.next_multiple_of(LANE);
            let place = Place { offset, stride, dims };
            offset += (batch * stride).next_multiple_of(LINE);
            place
        })
        .collect();
    (places, offset)
}

/// A float buffer that begins on a cache line.
#[derive(Debug)]
pub(super) struct Arena {
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

/// The memory that one thread needs to run a program on batches up to a fixed size.
///
/// A pass allocates nothing: everything it writes has its place here.
#[derive(Debug)]
pub struct Workspace {
    pub(super) places: Vec<Place>,
    pub(super) values: Arena,
    pub(super) grads: Arena,
    pub(super) packed: Arena,
    pub(super) scratch: Arena,
    pub(super) written: Vec<bool>,
    pub(super) moments: Vec<f32>,
    pub(super) capacity: usize,
    pub(super) batch: usize,
}

impl Workspace {
    pub(super) fn new(shapes: &[Shape], moments: usize, packed: usize, scratch: usize, capacity: usize) -> Self {
        let (places, len) = lay_out(shapes, capacity);
        Self {
            written: vec![false; places.len()],
            places,
            moments: vec![0.0; moments],
            values: Arena::zeros(len),
            grads: Arena::zeros(len),
            packed: Arena::zeros(packed),
            scratch: Arena::zeros(scratch * capacity),
            capacity,
            batch: 0,
        }
    }

    /// The most rows a batch may have.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Sets the number of rows of the coming passes and gives input `i` to fill, `[B, D]`.
    ///
    /// # Panics
    /// If `batch` exceeds the capacity.
    pub fn input(&mut self, i: usize, batch: usize) -> ArrayViewMut2<'_, f32> {
        assert!(batch <= self.capacity, "a batch of {batch} in a workspace for {}", self.capacity);
        self.batch = batch;
        self.places[i].view_mut(self.values.as_mut_slice(), batch)
    }

    /// A value of the last forward pass, `[B, D]`.
    pub fn value(&self, id: usize) -> ArrayView2<'_, f32> {
        self.places[id].view(self.values.as_slice(), self.batch)
    }

    /// The gradient of the loss with respect to a value, after the backward pass.
    pub fn gradient(&self, id: usize) -> ArrayView2<'_, f32> {
        self.places[id].view(self.grads.as_slice(), self.batch)
    }

    /// The moments of the last batch that trained, `[S]`.
    pub fn moments(&self) -> &[f32] {
        &self.moments
    }

    /// A value to read and its gradient to write: what a loss needs at an output.
    pub fn output(&mut self, id: usize) -> (ArrayView2<'_, f32>, ArrayViewMut2<'_, f32>) {
        self.written[id] = true;
        let place = self.places[id];
        (place.view(self.values.as_slice(), self.batch), place.view_mut(self.grads.as_mut_slice(), self.batch))
    }
}
