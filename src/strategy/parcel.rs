//! A batch between two parts of a network: `[activations, B × D | labels, B]`, 4 bytes each.

use crate::comm::{Buffer, CommError, Kind, Note, Tag};
use bytemuck::{cast_slice, cast_slice_mut};

/// A batch on its way: rows of activations with their labels.
pub(super) struct Parcel {
    pub buffer: Buffer,
    dims: usize,
}

impl Parcel {
    pub fn note(&self) -> Note {
        self.buffer.note
    }

    pub fn rows(&self) -> usize {
        self.buffer.note.rows as usize
    }

    /// `[B, D]`, one row behind the other.
    pub fn activations(&self) -> &[f32] {
        &self.buffer.f32s()[..self.rows() * self.dims]
    }

    pub fn labels(&self) -> &[u32] {
        cast_slice(&self.buffer.f32s()[self.rows() * self.dims..])
    }

    /// Takes a message for rows of `dims` elements.
    ///
    /// # Errors
    /// When its length does not fit its rows.
    pub fn checked(buffer: Buffer, dims: usize, from: usize) -> Result<Self, CommError> {
        let why = "its rows are not those of the receiver's input";
        match buffer.len() == buffer.note.rows as usize * (dims + 1) {
            true => Ok(Self { buffer, dims }),
            false => Err(CommError::Garbage { from, tag: Tag::Activations, why }),
        }
    }
}

/// Writes a batch into a buffer: labels, and the rows of `dims` elements that `write` gives.
pub(super) fn pack(buffer: &mut Buffer, dims: usize, labels: &[u32], write: impl FnOnce(&mut [f32])) {
    buffer.reshape(Kind::F32, labels.len() * (dims + 1));
    let (rows, tail) = buffer.f32s_mut().split_at_mut(labels.len() * dims);
    write(rows);
    cast_slice_mut::<f32, u32>(tail).copy_from_slice(labels);
}
