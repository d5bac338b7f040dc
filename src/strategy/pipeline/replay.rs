//! Batches that a stage keeps to learn from them again.
//!
//! # References
//! Belilovsky, Eickenberg and Oyallon, *Decoupled greedy learning of CNNs*, ICML 2020, algorithm 2: what is read is what
//! was read least, what is overwritten is what was read most, and of these the oldest.

use crate::strategy::parcel::Parcel;

struct Kept {
    parcel: Parcel,
    samples: Vec<u32>,
    reads: u64,
    written: u64,
}

/// A buffer of batches; with room for none it does nothing.
#[derive(Default)]
pub(super) struct Replay {
    room: usize,
    kept: Vec<Kept>,
    written: u64,
    /// How often the batch that is out was read, and when it was written.
    reads: u64,
    taken: u64,
}

impl Replay {
    /// Room for so many batches.
    pub fn new(room: usize) -> Self {
        Self { room, ..Self::default() }
    }

    /// Keeps a batch; gives back what has to make room for it, or the batch itself where there is none.
    pub fn keep(&mut self, parcel: Parcel, samples: &[u32]) -> Option<Parcel> {
        if self.room == 0 {
            return Some(parcel);
        }
        let old = (self.kept.len() == self.room).then(|| {
            let most = (0..self.kept.len()).max_by_key(|i| (self.kept[*i].reads, u64::MAX - self.kept[*i].written));
            self.kept.swap_remove(most.expect("the buffer is full")).parcel
        });
        self.written += 1;
        self.kept.push(Kept { parcel, samples: samples.to_vec(), reads: 0, written: self.written });
        old
    }

    /// The batch to learn from again, taken out until it is given back; none while there is only the newest.
    pub fn again(&mut self) -> Option<(Parcel, Vec<u32>)> {
        let newest = self.written;
        let older = (0..self.kept.len()).filter(|i| self.kept[*i].written != newest);
        let least = older.min_by_key(|i| (self.kept[*i].reads, self.kept[*i].written))?;
        let Kept { parcel, samples, reads, written } = self.kept.swap_remove(least);
        (self.reads, self.taken) = (reads + 1, written);
        Some((parcel, samples))
    }

    /// Puts back what [`Replay::again`] gave.
    pub fn give_back(&mut self, parcel: Parcel, samples: Vec<u32>) {
        self.kept.push(Kept { parcel, samples, reads: self.reads, written: self.taken });
    }
}
