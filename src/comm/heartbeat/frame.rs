//! What travels on the heartbeat's sockets: frames of one fixed size, which a reader needs no memory for.

/// Bytes of a frame.
pub const LEN: usize = 32;

const MAGIC: [u8; 4] = *b"goHB";
const VERSION: u8 = 1;

/// One frame: who says what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// The sender's rank.
    pub rank: u32,
    /// What it says.
    pub word: Word,
}

/// What a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// A rank asks to be watched.
    Hello,
    /// Rank 0 knows it: this is the right place.
    Welcome,
    /// The sender lives.
    Beat {
        /// The step it is at.
        step: u64,
        /// Whether it waits for another rank.
        waiting: bool,
    },
    /// The sender ends in order: the closed socket that follows is no death.
    Farewell,
    /// The sender ends, and with it the job, with this exit code.
    End(u8),
}

impl Frame {
    /// The frame as bytes: magic, version, word, waiting, 0; token; rank, 0; step or code. All little-endian.
    pub fn write(self, token: u64) -> [u8; LEN] {
        let (word, step, waiting) = match self.word {
            Word::Hello => (1, 0, false),
            Word::Welcome => (2, 0, false),
            Word::Beat { step, waiting } => (3, step, waiting),
            Word::Farewell => (4, 0, false),
            Word::End(code) => (5, code.into(), false),
        };
        let mut bytes = [0; LEN];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&[VERSION, word, waiting.into(), 0]);
        bytes[8..16].copy_from_slice(&token.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.rank.to_le_bytes());
        bytes[24..].copy_from_slice(&step.to_le_bytes());
        bytes
    }

    /// Reads a frame of this job; nothing when the bytes are anything else.
    pub fn read(bytes: &[u8; LEN], token: u64) -> Option<Self> {
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let (rank, step, waiting) = (u32::try_from(number(16)).ok()?, number(24), bytes[6] == 1);
        let word = match bytes[5] {
            1 => Word::Hello,
            2 => Word::Welcome,
            3 => Word::Beat { step, waiting },
            4 => Word::Farewell,
            5 => Word::End(u8::try_from(step).ok()?),
            _ => return None,
        };
        let frame = Self { rank, word };
        // Written again it must be the same: no byte is there that says nothing.
        (frame.write(token) == *bytes).then_some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TOKEN: u64 = 0x0123_4567_89ab_cdef;

    fn words() -> impl Strategy<Value = Word> {
        let beat = (any::<u64>(), any::<bool>()).prop_map(|(step, waiting)| Word::Beat { step, waiting });
        let end = any::<u8>().prop_map(Word::End);
        prop_oneof![Just(Word::Hello), Just(Word::Welcome), Just(Word::Farewell), beat, end]
    }

    proptest! {
        #[test]
        fn frames_come_back(rank: u32, word in words(), token: u64) {
            let frame = Frame { rank, word };
            prop_assert_eq!(Frame::read(&frame.write(token), token), Some(frame));
        }

        /// No other token, and no byte changed outside of rank, step, word and flag, is taken for ours.
        #[test]
        fn strangers_are_no_frames(bytes: [u8; LEN], word in words(), at in 0..LEN, flip in 1u8..) {
            prop_assert_eq!(Frame::read(&bytes, TOKEN), None);
            let mut ours = Frame { rank: 3, word }.write(TOKEN);
            prop_assert_eq!(Frame::read(&ours, TOKEN ^ u64::from(flip)), None);
            ours[at] ^= flip;
            let read = Frame::read(&ours, TOKEN);
            prop_assert!(read.is_none() || matches!(at, 5 | 6 | 16..20 | 24..), "{at}");
        }
    }
}
