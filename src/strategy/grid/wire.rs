//! What server and worker write into their messages.
//!
//! A task is an [`Order`] in the note, and `[θ | σ | scales | rate]` where the worker does not hold these weights yet. A
//! report is a [`Reply`] in the note, and `[vector | figures]`: the vector of a result, and always the worker's figures.

use crate::comm::{CommError, Note, Tag};
use crate::strategy::figures::numbers;

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

impl Word {
    /// Whether a report with this note says so.
    pub fn is_of(self, note: Note) -> bool {
        note.edge as u8 == self as u8
    }
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

    /// Whether a report is heard before its turn: nobody waits for it.
    pub fn is_urgent(note: Note) -> bool {
        [Word::Leave, Word::Stop, Word::Bye].iter().any(|word| word.is_of(note))
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
}
