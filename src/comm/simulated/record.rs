//! What happened in a simulated world: always as a hash, on request as text.

use super::draws::mix;
use crate::comm::{Note, Tag};
use std::fmt::Write;

/// One thing that happened.
#[derive(Debug, Clone, Copy)]
pub(super) enum Happened {
    Sent { from: usize, to: usize, tag: Tag, bytes: usize, note: Note },
    Arrived { from: usize, to: usize, tag: Tag },
    Received { from: usize, to: usize, tag: Tag },
    Waits { rank: usize, from: Option<usize>, tag: Tag, patience: Option<u64> },
    Frozen { rank: usize, until: u64 },
    Ended { rank: usize, how: &'static str },
    KnownAsLost { rank: usize, by: usize },
}

/// The record of a world.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub hash: u64,
    pub trace: Option<Vec<String>>,
}

impl Record {
    pub fn note(&mut self, now: u64, happened: Happened) {
        self.mix(now);
        let any = |rank: Option<usize>| rank.map_or(u64::MAX, |rank| rank as u64);
        let words = match happened {
            Happened::Sent { from, to, tag, bytes, note } => {
                self.mix(u64::from(note.step) << 32 | u64::from(note.micro));
                [1, from as u64, to as u64, tag as u64, bytes as u64]
            }
            Happened::Arrived { from, to, tag } => [2, from as u64, to as u64, tag as u64, 0],
            Happened::Received { from, to, tag } => [3, from as u64, to as u64, tag as u64, 0],
            Happened::Waits { rank, from, tag, patience } => {
                [4, rank as u64, any(from), tag as u64, patience.unwrap_or(u64::MAX)]
            }
            Happened::Frozen { rank, until } => [5, rank as u64, until, 0, 0],
            Happened::Ended { rank, how } => [6, rank as u64, how.len() as u64, 0, 0],
            Happened::KnownAsLost { rank, by } => [7, rank as u64, by as u64, 0, 0],
        };
        words.into_iter().for_each(|word| self.mix(word));
        if self.trace.is_some() {
            self.line(now, &happened.words());
        }
    }

    /// What a body says about itself.
    pub fn remark(&mut self, now: u64, rank: usize, text: &str) {
        text.bytes().for_each(|byte| self.mix(u64::from(byte)));
        if self.trace.is_some() {
            self.line(now, &format!("rank {rank}: {text}"));
        }
    }

    fn line(&mut self, now: u64, words: &str) {
        let trace = self.trace.get_or_insert_default();
        trace.push(format!("{:>6}.{:06} ms  {words}", now / 1_000_000, now % 1_000_000));
    }

    fn mix(&mut self, word: u64) {
        self.hash = mix(self.hash.rotate_left(5) ^ word);
    }
}

impl Happened {
    fn words(self) -> String {
        match self {
            Happened::Sent { from, to, tag, bytes, note } => {
                let Note { step, micro, edge, rows, .. } = note;
                format!("rank {from} sends {tag:?} to rank {to}: {bytes} bytes, {step}/{micro}/{edge}/{rows}")
            }
            Happened::Arrived { from, to, tag } => format!("{tag:?} of rank {from} is at rank {to}"),
            Happened::Received { from, to, tag } => format!("rank {to} receives {tag:?} of rank {from}"),
            Happened::Waits { rank, from, tag, patience } => {
                let mut words = format!("rank {rank} waits for {tag:?} of ");
                from.map_or(write!(words, "any rank"), |from| write!(words, "rank {from}")).expect("to a string");
                if let Some(patience) = patience {
                    write!(words, " for {} ns", patience).expect("to a string");
                }
                words
            }
            Happened::Frozen { rank, until: u64::MAX } => format!("rank {rank} is frozen for ever"),
            Happened::Frozen { rank, until } => format!("rank {rank} is frozen until {} ns", until),
            Happened::Ended { rank, how } => format!("rank {rank} {how}"),
            Happened::KnownAsLost { rank, by } => format!("rank {by} knows that rank {rank} has ended"),
        }
    }
}
