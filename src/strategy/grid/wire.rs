//! What server and worker write into their messages.
//!
//! A task is an [`Order`] in the note, and `[θ | σ | scales | rate]` where the worker does not hold these weights yet. A
//! report is a [`Reply`] in the note, and `[vector | figures]`: the vector of a result, and always the worker's figures.

use crate::comm::{Buffer, CommError, Kind, Note, Tag};

/// What a worker is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum What {
    /// Compute a chunk.
    Train = 1,
    /// Measure a piece of a part of the data; the version is the part.
    Measure = 2,
    /// Nothing; what it was doing is called off.
    Wait = 3,
    /// Keep the books of a phase together with all others.
    Books = 4,
    /// End; the payload holds the final weights and how it ended.
    End = 5,
    /// All others have the end, too, but for so many: the number stands for a chunk.
    Part = 6,
}

/// What a report says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Word {
    /// A chunk's result.
    Result = 1,
    /// A piece's sums.
    Measured = 2,
    /// The worker leaves.
    Leave = 3,
    /// The worker wishes that all stop.
    Stop = 4,
    /// The worker has the end, and reports nothing any more.
    Bye = 5,
}

/// What a worker is to do, and with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    pub what: What,
    pub chunk: usize,
    pub version: u64,
    pub attempt: u32,
    pub epoch: u64,
}

/// What a worker says, and about what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reply {
    pub word: Word,
    pub chunk: usize,
    pub version: u64,
    pub attempt: u32,
}

/// Bits of [`Note::edge`] that hold the word; the rest is the attempt.
const WORD_BITS: u32 = 8;

fn edge(word: u8, attempt: u32) -> u32 {
    u32::from(word) | attempt << WORD_BITS
}

impl Order {
    /// An order without a chunk.
    pub fn bare(what: What, epoch: u64) -> Self {
        Self { what, chunk: 0, version: 0, attempt: 0, epoch }
    }

    pub fn note(&self) -> Note {
        let (step, micro) = (self.version as u32, self.chunk as u32);
        Note { step, micro, edge: edge(self.what as u8, self.attempt), rows: self.epoch as u32, time: 0.0 }
    }

    pub fn read(note: Note, from: usize) -> Result<Self, CommError> {
        let words = [What::Train, What::Measure, What::Wait, What::Books, What::End, What::Part];
        let what = words.into_iter().find(|what| *what as u8 == note.edge as u8);
        Ok(Self {
            what: what.ok_or(CommError::Garbage { from, tag: Tag::Task, why: "an order that does not exist" })?,
            chunk: note.micro as usize,
            version: note.step.into(),
            attempt: note.edge >> WORD_BITS,
            epoch: note.rows.into(),
        })
    }

    /// The answer to this order.
    pub fn reply(&self, word: Word) -> Reply {
        Reply { word, chunk: self.chunk, version: self.version, attempt: self.attempt }
    }
}

impl Reply {
    pub fn note(&self) -> Note {
        let (step, micro) = (self.version as u32, self.chunk as u32);
        Note { step, micro, edge: edge(self.word as u8, self.attempt), rows: 0, time: 0.0 }
    }

    pub fn read(note: Note, from: usize) -> Result<Self, CommError> {
        let words = [Word::Result, Word::Measured, Word::Leave, Word::Stop, Word::Bye];
        let word = words.into_iter().find(|word| *word as u8 == note.edge as u8);
        Ok(Self {
            word: word.ok_or(CommError::Garbage { from, tag: Tag::Report, why: "a report that does not exist" })?,
            chunk: note.micro as usize,
            version: note.step.into(),
            attempt: note.edge >> WORD_BITS,
        })
    }
}

/// How many numbers stand behind a payload.
const NUMBERS: usize = 11;

/// A structure of so many numbers, and the array of them.
macro_rules! numbers {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq)]
        pub(super) struct $name {
            $($(#[$field_doc])* pub $field: f64,)+
        }

        impl Numbers for $name {
            fn to_array(self) -> [f64; NUMBERS] {
                [$(self.$field),+]
            }

            fn from_array([$($field),+]: [f64; NUMBERS]) -> Self {
                Self { $($field),+ }
            }
        }
    };
}

/// What can stand behind a payload.
pub(super) trait Numbers: Sized {
    fn to_array(self) -> [f64; NUMBERS];
    fn from_array(array: [f64; NUMBERS]) -> Self;
}

numbers! {
    /// What a worker tells about itself with every report: sums of the reported work, then totals since it began.
    Figures {
        loss,
        correct,
        samples,
        /// Samples of which it computed gradients.
        trained,
        /// Seconds of computing, of communication and of waiting.
        compute_s,
        comm_s,
        wait_s,
        sent,
        received,
        memory_mb,
        /// NaN where nothing measures it.
        joules,
    }
}

numbers! {
    /// How a training ended, behind the final weights: for the workers, who saw nothing of it.
    Outcome {
        epoch,
        step_in_epoch,
        step,
        samples,
        /// A [`Verdict`].
        verdict,
        rate,
        test_loss,
        test_correct,
        test_samples,
        unused,
        unused_too,
    }
}

/// The ways in which a training ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Verdict {
    Finished = 0,
    Stopped = 1,
    Diverged = 2,
}

impl Verdict {
    pub fn read(value: f64) -> Self {
        let all = [Self::Finished, Self::Stopped, Self::Diverged];
        all.into_iter().find(|verdict| f64::from(*verdict as u8) == value).unwrap_or(Self::Stopped)
    }
}

/// Elements of a payload of this kind that the numbers behind it take.
pub(super) fn elements(kind: Kind) -> usize {
    NUMBERS * size_of::<f64>() / kind.size()
}

/// Writes numbers behind everything else in a payload.
pub(super) fn write(buffer: &mut Buffer, numbers: impl Numbers) {
    let (payload, numbers) = (buffer.payload_mut(), numbers.to_array());
    let at = payload.len() - size_of_val(&numbers);
    payload[at..].copy_from_slice(bytemuck::cast_slice(&numbers));
}

/// Reads what [`write`] wrote.
pub(super) fn read<T: Numbers>(buffer: &Buffer, from: usize, tag: Tag) -> Result<T, CommError> {
    let payload = buffer.payload();
    let at = payload.len().checked_sub(NUMBERS * size_of::<f64>());
    let at = at.ok_or(CommError::Garbage { from, tag, why: "its figures are missing" })?;
    // A payload of four-byte elements need not be aligned for eight.
    Ok(T::from_array(bytemuck::pod_read_unaligned(&payload[at..])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_and_replies_travel() {
        let order = Order { what: What::Train, chunk: 70_000, version: 1 << 31, attempt: 3, epoch: 9 };
        assert_eq!(Order::read(order.note(), 0).unwrap(), order);
        let reply = order.reply(Word::Result);
        assert_eq!(Reply::read(reply.note(), 1).unwrap(), reply);
        assert!(Order::read(Note { edge: 0, ..order.note() }, 0).is_err());
        assert!(Reply::read(Note { edge: 99, ..order.note() }, 0).is_err());
    }

    #[test]
    fn figures_lie_behind_any_vector() {
        let figures = Figures { loss: 0.1, joules: f64::NAN, ..Figures::default() };
        for kind in [Kind::F32, Kind::I64] {
            let mut buffer = Buffer::new(kind, 5 + elements(kind));
            write(&mut buffer, figures);
            let read: Figures = read(&buffer, 1, Tag::Report).unwrap();
            assert_eq!((read.loss, read.joules.is_nan()), (0.1, true));
        }
        assert!(read::<Figures>(&Buffer::new(Kind::F32, 3), 1, Tag::Report).is_err());
    }
}
