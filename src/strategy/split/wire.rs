//! What server and devices write into their messages.
//!
//! | | from | holds |
//! |---|---|---|
//! | task | server | an [`Order`] in the note; with a round `[θ \| σ \| optimizer's vectors]` of the blocks that the device lacks, and a [`Round`] |
//! | activations | device | a batch `[activations \| labels]`; a report `[θ \| σ]` of its part with [`Figures`]; its optimizer's vectors; what it can do |
//! | gradient | server | the gradient of a batch's activations; nothing where these are samples |

use crate::comm::{CommError, Note, Tag};
use crate::strategy::figures::numbers;

/// What a device is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum What {
    /// Answer at once.
    Echo = 1,
    /// Train a round.
    Round = 2,
    /// Show the optimizer's vectors: see [`Order::give`].
    Give = 3,
    /// End; the payload holds the final weights and how it ended.
    End = 4,
    /// All others have the end, too, but for so many: the number stands for a cut.
    Part = 5,
}

/// What a message of a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Word {
    /// What the device can do.
    Hello = 1,
    /// An answer to [`What::Echo`].
    Echoed = 2,
    /// Activations and labels.
    Batch = 3,
    /// A round is over: the device's part.
    Report = 4,
    /// The optimizer's vectors.
    Given = 5,
    /// The device leaves after this round.
    Leave = 6,
    /// The device wishes that all stop.
    Stop = 7,
    /// The device has the end, and says nothing any more.
    Bye = 8,
}

impl Word {
    /// Whether a message with this note is one.
    pub fn is_of(self, note: Note) -> bool {
        note.edge as u8 == self as u8
    }

    /// Whether a message is heard before its turn: nobody waits for it.
    pub fn is_urgent(note: Note) -> bool {
        [Self::Leave, Self::Stop, Self::Bye].iter().any(|word| word.is_of(note))
    }

    pub fn note(self, step: u64) -> Note {
        Note { step: step as u32, edge: u32::from(self as u8), ..Note::default() }
    }

    pub fn read(note: Note, from: usize) -> Result<Self, CommError> {
        use Word::*;
        let words = [Hello, Echoed, Batch, Report, Given, Leave, Stop, Bye];
        let word = words.into_iter().find(|word| word.is_of(note));
        word.ok_or(CommError::Garbage { from, tag: Tag::Activations, why: "a message of a device that does not exist" })
    }
}

/// Bits that a number of blocks takes in a note.
const BLOCK_BITS: u32 = 12;
/// The most trunk blocks that fit a note.
pub(super) const MOST_BLOCKS: usize = (1 << BLOCK_BITS) - 1;

/// What a device is to do, and with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    pub what: What,
    /// Trunk blocks on the device from now on.
    pub cut: usize,
    /// The first block whose weights come with the order: those before the device has.
    pub theta_from: usize,
    /// The first block whose optimizer's vectors come with the order, or are to be shown.
    pub state_from: usize,
    /// The round, from 0.
    pub round: u64,
}

impl Order {
    /// An order that brings nothing.
    pub fn bare(what: What, cut: usize) -> Self {
        Self { what, cut, theta_from: 0, state_from: 0, round: 0 }
    }

    /// Asks for the optimizer's vectors from a block on: those of the round's beginning, or those of now; `quietly` costs
    /// emulated machines nothing.
    pub fn give(from: usize, beginning: bool, quietly: bool) -> Self {
        Self { state_from: from, theta_from: usize::from(quietly), ..Self::bare(What::Give, usize::from(beginning)) }
    }

    pub fn asks_for_beginning(&self) -> bool {
        self.cut > 0
    }

    pub fn asks_quietly(&self) -> bool {
        self.theta_from > 0
    }

    pub fn note(&self) -> Note {
        let (theta, state) = ((self.theta_from as u32) << 8, (self.state_from as u32) << (8 + BLOCK_BITS));
        let edge = u32::from(self.what as u8) | theta | state;
        Note { step: self.round as u32, micro: self.cut as u32, edge, ..Note::default() }
    }

    pub fn read(note: Note, blocks: usize) -> Result<Self, CommError> {
        let all = [What::Echo, What::Round, What::Give, What::End, What::Part];
        let what = all.into_iter().find(|what| *what as u8 == note.edge as u8);
        let garbage = |why| CommError::Garbage { from: 0, tag: Tag::Task, why };
        let what = what.ok_or(garbage("an order that does not exist"))?;
        let from = |shift: u32| (note.edge >> shift) as usize & MOST_BLOCKS;
        let (cut, theta_from, state_from) = (note.micro as usize, from(8), from(8 + BLOCK_BITS));
        if what != What::Part && [cut, theta_from, state_from].iter().any(|block| *block > blocks) {
            return Err(garbage("a cut beyond the network"));
        }
        Ok(Self { what, cut, theta_from, state_from, round: note.step.into() })
    }
}

numbers! {
    /// A round, behind the order of it.
    Round {
        epoch,
        /// The first step of the epoch in it, and how many.
        first,
        steps,
        /// Steps since the beginning of training before it.
        before,
        /// Which of how many devices that are there this one is.
        part,
        parts,
        /// When the first round of all began, in the server's own time: from then on energy counts.
        began,
    }
}

numbers! {
    /// What a device tells with its part: sums of the round, then totals since it began.
    Figures {
        /// Of what it finished itself.
        loss,
        correct,
        /// Samples and steps of the round.
        samples,
        steps,
        /// Seconds of computing and of waiting for gradients, in its own time: virtual where it is emulated.
        computed,
        waited,
        /// Measured seconds of waiting for gradients; of the batch that waited least, in its own time.
        blocked,
        least_wait,
        /// Bytes of batches, and of gradients and weights; the seconds that they took, where the device is emulated.
        up,
        up_s,
        down,
        down_s,
        /// When it reported, in its own time; what the report itself took to send, which the server adds.
        now,
        report_s,
        /// Since the beginning: samples; measured seconds of computing, of communication and of waiting; bytes.
        trained,
        compute_s,
        comm_s,
        wait_s,
        sent,
        received,
        memory_mb,
        /// Measured; NaN where nothing measures it.
        joules,
        /// Modelled since the beginning; 0 where no machine is emulated.
        computing,
        sending,
        receiving,
        compute_j,
        idle_j,
        send_j,
        receive_j,
        /// What it draws in its power mode now.
        compute_w,
        idle_w,
        send_w,
        receive_w,
    }
}

numbers! {
    /// What a device is, before its seconds for each cut, forward and backward.
    Hello {
        /// 1 where it is emulated.
        emulated,
        compute_w,
        idle_w,
        send_w,
        receive_w,
        memory,
    }
}

impl Round {
    /// Updates of a device's part before a step of the round: where one network is handed around, those of all.
    pub fn updates(&self, hands_around: bool, step: u64) -> u64 {
        let before = match hands_around {
            true => self.before * self.parts + self.part * self.steps,
            false => self.before,
        };
        before as u64 + step - self.first as u64
    }

    /// Whether such a round can be.
    pub fn is_valid(&self) -> bool {
        self.part >= 0.0
            && self.part < self.parts
            && [self.epoch, self.first, self.steps, self.before].iter().all(|n| *n >= 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_travel_and_wrong_ones_are_refused() {
        let order = Order { what: What::Round, cut: 7, theta_from: 2, state_from: 5, round: 70_000 };
        assert_eq!(Order::read(order.note(), 7).unwrap(), order);
        assert!(Order::read(order.note(), 6).is_err());
        assert!(Order::read(Note { edge: 0, ..order.note() }, 7).is_err());
        let most = Order { theta_from: MOST_BLOCKS, state_from: MOST_BLOCKS, cut: MOST_BLOCKS, ..order };
        assert_eq!(Order::read(most.note(), MOST_BLOCKS).unwrap(), most);
        assert_eq!(Word::read(Word::Given.note(3), 1).unwrap(), Word::Given);
        assert!(Word::read(Note { edge: 99, ..Note::default() }, 1).is_err());
        assert!(Word::is_urgent(Word::Stop.note(0)) && !Word::is_urgent(Word::Batch.note(0)));
    }
}
