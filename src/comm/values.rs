//! Typed slices for the collectives.

use super::Kind;
use bytemuck::{cast_slice, cast_slice_mut};
use std::ops::Range;

/// A slice that a collective reads and overwrites.
#[derive(Debug)]
pub enum Values<'a> {
    /// 32-bit floats.
    F32(&'a mut [f32]),
    /// 64-bit floats.
    F64(&'a mut [f64]),
    /// 64-bit integers.
    I64(&'a mut [i64]),
    /// Bytes; broadcast only.
    U8(&'a mut [u8]),
}

/// How values of different ranks are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduce {
    /// Their sum; integers wrap.
    Sum,
    /// The largest.
    Max,
}

impl Values<'_> {
    /// The element type.
    pub fn kind(&self) -> Kind {
        match self {
            Values::F32(_) => Kind::F32,
            Values::F64(_) => Kind::F64,
            Values::I64(_) => Kind::I64,
            Values::U8(_) => Kind::U8,
        }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        match self {
            Values::F32(v) => v.len(),
            Values::F64(v) => v.len(),
            Values::I64(v) => v.len(),
            Values::U8(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same slice for a shorter time.
    pub fn reborrow(&mut self) -> Values<'_> {
        match self {
            Values::F32(v) => Values::F32(v),
            Values::F64(v) => Values::F64(v),
            Values::I64(v) => Values::I64(v),
            Values::U8(v) => Values::U8(v),
        }
    }

    /// A run of them, for a shorter time.
    ///
    /// # Panics
    /// If it ends behind them.
    pub fn part(&mut self, run: Range<usize>) -> Values<'_> {
        match self {
            Values::F32(v) => Values::F32(&mut v[run]),
            Values::F64(v) => Values::F64(&mut v[run]),
            Values::I64(v) => Values::I64(&mut v[run]),
            Values::U8(v) => Values::U8(&mut v[run]),
        }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Values::F32(v) => cast_slice(v),
            Values::F64(v) => cast_slice(v),
            Values::I64(v) => cast_slice(v),
            Values::U8(v) => v,
        }
    }

    /// The bytes, to write.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Values::F32(v) => cast_slice_mut(v),
            Values::F64(v) => cast_slice_mut(v),
            Values::I64(v) => cast_slice_mut(v),
            Values::U8(v) => v,
        }
    }

    /// Combines a message of the same kind and length into these values.
    ///
    /// # Panics
    /// If the bytes are not as many, or the values are bytes.
    pub fn combine(&mut self, other: &[u8], op: Reduce) {
        assert_eq!(self.bytes().len(), other.len());
        match self {
            Values::F32(v) => fold(v, cast_slice(other), op, |a, b| a + b, f32::max),
            Values::F64(v) => fold(v, cast_slice(other), op, |a, b| a + b, f64::max),
            Values::I64(v) => fold(v, cast_slice(other), op, i64::wrapping_add, i64::max),
            Values::U8(_) => panic!("bytes are not reduced"),
        }
    }
}

fn fold<T: Copy>(mine: &mut [T], other: &[T], op: Reduce, sum: impl Fn(T, T) -> T, max: impl Fn(T, T) -> T) {
    let pairs = mine.iter_mut().zip(other);
    match op {
        Reduce::Sum => pairs.for_each(|(a, b)| *a = sum(*a, *b)),
        Reduce::Max => pairs.for_each(|(a, b)| *a = max(*a, *b)),
    }
}
