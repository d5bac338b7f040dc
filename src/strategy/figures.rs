//! Numbers behind a payload: what ranks tell about themselves with messages that hold something else.

use crate::comm::{Buffer, CommError, Kind, Tag};

/// A structure of 64-bit floats that travels as the array of them.
macro_rules! numbers {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq)]
        pub(super) struct $name {
            $($(#[$field_doc])* pub $field: f64,)+
        }

        impl crate::strategy::figures::Numbers for $name {
            type Array = [f64; [$(stringify!($field)),+].len()];

            fn to_array(self) -> Self::Array {
                [$(self.$field),+]
            }

            fn from_array([$($field),+]: Self::Array) -> Self {
                Self { $($field),+ }
            }
        }
    };
}
pub(super) use numbers;

/// What can stand behind a payload.
pub(super) trait Numbers: Sized {
    type Array: bytemuck::Pod;
    fn to_array(self) -> Self::Array;
    fn from_array(array: Self::Array) -> Self;
}

/// Elements of a payload of this kind that the numbers behind it take.
pub(super) fn elements<T: Numbers>(kind: Kind) -> usize {
    size_of::<T::Array>() / kind.size()
}

/// Writes numbers behind everything else in a payload.
pub(super) fn write(buffer: &mut Buffer, numbers: impl Numbers) {
    let (payload, numbers) = (buffer.payload_mut(), numbers.to_array());
    let at = payload.len() - size_of_val(&numbers);
    payload[at..].copy_from_slice(bytemuck::bytes_of(&numbers));
}

/// Reads what [`write`] wrote.
///
/// # Errors
/// When the payload is shorter.
pub(super) fn read<T: Numbers>(buffer: &Buffer, from: usize, tag: Tag) -> Result<T, CommError> {
    let payload = buffer.payload();
    let at = payload.len().checked_sub(size_of::<T::Array>());
    let at = at.ok_or(CommError::Garbage { from, tag, why: "its figures are missing" })?;
    // A payload of four-byte elements need not be aligned for eight.
    Ok(T::from_array(bytemuck::pod_read_unaligned(&payload[at..])))
}

#[cfg(test)]
mod tests {
    use super::*;

    numbers! {
        /// Three of them.
        Figures { loss, joules, samples, }
    }

    #[test]
    fn figures_lie_behind_any_vector() {
        let figures = Figures { loss: 0.1, joules: f64::NAN, ..Figures::default() };
        for kind in [Kind::F32, Kind::I64] {
            let mut buffer = Buffer::new(kind, 5 + elements::<Figures>(kind));
            write(&mut buffer, figures);
            let read: Figures = read(&buffer, 1, Tag::Report).unwrap();
            assert_eq!((read.loss, read.joules.is_nan()), (0.1, true));
        }
        assert!(read::<Figures>(&Buffer::new(Kind::F32, 3), 1, Tag::Report).is_err());
    }
}
