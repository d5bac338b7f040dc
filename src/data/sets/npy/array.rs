//! The numbers of a .npy file, of whatever type they are stored in.

use super::NpyFault;
use super::header::{Header, shown};

/// An array whose bytes are as many as its shape asks for.
#[derive(Debug)]
pub(super) struct Array {
    /// Its shape, without a zero.
    pub shape: Vec<usize>,
    /// As numpy calls it: `<f4`.
    pub dtype: String,
    /// What a value is.
    pub kind: Kind,
    big_endian: bool,
    /// The file, and where the values begin in it.
    bytes: Vec<u8>,
    start: usize,
}

/// A type of numbers, with its size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Unsigned(usize),
    Signed(usize),
    Float(usize),
}

impl Kind {
    fn parse(dtype: &str) -> Option<Self> {
        Some(match dtype {
            "b1" | "u1" => Self::Unsigned(1),
            "u2" => Self::Unsigned(2),
            "u4" => Self::Unsigned(4),
            "u8" => Self::Unsigned(8),
            "i1" => Self::Signed(1),
            "i2" => Self::Signed(2),
            "i4" => Self::Signed(4),
            "i8" => Self::Signed(8),
            "f4" => Self::Float(4),
            "f8" => Self::Float(8),
            _ => return None,
        })
    }

    fn size(self) -> usize {
        let (Self::Unsigned(size) | Self::Signed(size) | Self::Float(size)) = self;
        size
    }
}

impl Array {
    /// The array in a file's bytes.
    pub(super) fn parse(bytes: Vec<u8>) -> Result<Self, NpyFault> {
        let Header { dtype, fortran, shape, start } = Header::parse(&bytes)?;
        let name = dtype.trim_start_matches(['<', '>', '=', '|']);
        if name.starts_with('O') {
            return Err(NpyFault::Object { dtype });
        }
        let Some(kind) = Kind::parse(name) else { return Err(NpyFault::Dtype { dtype }) };
        // Rows and columns are told apart only where there are more than one of each.
        if fortran && shape.iter().filter(|&&dim| dim > 1).count() > 1 {
            return Err(NpyFault::Fortran);
        }
        if shape.contains(&0) || shape.is_empty() {
            return Err(NpyFault::Shape { shape: shown(&shape), why: "holds no sample; save an array with some" });
        }
        let count = shape.iter().try_fold(kind.size() as u128, |size, &dim| size.checked_mul(dim as u128));
        let (found, wanted) = (bytes.len() - start, count.unwrap_or(u128::MAX));
        if wanted > found as u128 {
            return Err(NpyFault::Truncated { found, wanted, shape: shown(&shape) });
        }
        let wanted = wanted as usize;
        if wanted < found {
            return Err(NpyFault::Trailing { extra: found - wanted, wanted, shape: shown(&shape) });
        }
        Ok(Self { big_endian: dtype.starts_with('>'), shape, dtype, kind, bytes, start })
    }

    /// The first dimension, N.
    pub(super) fn count(&self) -> usize {
        self.shape[0]
    }

    /// The shape, as Python writes it.
    pub(super) fn shown(&self) -> String {
        shown(&self.shape)
    }

    /// Whether the values are bytes that pixels are made of.
    pub(super) fn is_bytes(&self) -> bool {
        self.dtype.ends_with("u1")
    }

    /// The values themselves, where they are bytes.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.drain(..self.start);
        self.bytes
    }

    /// Value `at`, in the order of the file.
    pub(super) fn float(&self, at: usize) -> f64 {
        match self.kind {
            Kind::Float(4) => f32::from_bits(self.bits(at) as u32).into(),
            Kind::Float(_) => f64::from_bits(self.bits(at)),
            _ => self.integer(at) as f64,
        }
    }

    /// Value `at`, in the order of the file, of an array of integers.
    pub(super) fn integer(&self, at: usize) -> i128 {
        let bits = self.bits(at);
        match self.kind {
            Kind::Signed(size) => {
                let unused = 64 - 8 * size as u32;
                ((bits << unused) as i64 >> unused).into()
            }
            _ => bits.into(),
        }
    }

    fn bits(&self, at: usize) -> u64 {
        let size = self.kind.size();
        let bytes = &self.bytes[self.start + at * size..][..size];
        let shift = |bits: u64, &byte: &u8| bits << 8 | u64::from(byte);
        if self.big_endian { bytes.iter().fold(0, shift) } else { bytes.iter().rev().fold(0, shift) }
    }
}
