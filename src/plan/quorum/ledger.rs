//! The ledger: where each chunk of a pass is, so that none is applied twice and none forgotten.
//!
//! A chunk goes from free to out to taken to applied; back to free when nobody has it any more, or when its step is
//! computed again. Nothing leads back from applied within a pass.

use crate::units::Seconds;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    /// Some worker computes it.
    Out,
    /// Its result is part of the step.
    Taken,
    Applied,
}

#[derive(Debug, Clone)]
struct Chunk {
    state: State,
    /// Workers that compute it.
    holders: u32,
    /// How often it was given out in this pass.
    given: u32,
    /// When its first and its newest present holder got it.
    first: Seconds,
    last: Seconds,
    /// The version it was applied to.
    applied_in: Option<u64>,
}

const FRESH: Chunk =
    Chunk { state: State::Free, holders: 0, given: 0, first: Seconds(0.0), last: Seconds(0.0), applied_in: None };

#[derive(Debug, Clone)]
pub(super) struct Ledger {
    chunks: Vec<Chunk>,
    applied: Vec<bool>,
    /// Chunks not applied.
    left: usize,
    /// No chunk below is free.
    free_from: usize,
    /// All chunks below are applied.
    left_from: usize,
}

impl Ledger {
    pub(super) fn new(chunks: usize) -> Self {
        let (chunks, applied) = (vec![FRESH; chunks], vec![false; chunks]);
        Self { left: chunks.len(), chunks, applied, free_from: 0, left_from: 0 }
    }

    /// Begins a pass of which some chunks are applied already.
    pub(super) fn begin(&mut self, applied: &[bool]) {
        assert!(applied.is_empty() || applied.len() == self.chunks.len(), "as many marks as chunks");
        self.chunks.fill(FRESH);
        self.applied.fill(false);
        self.applied[..applied.len()].copy_from_slice(applied);
        for (chunk, _) in self.chunks.iter_mut().zip(&self.applied).filter(|(_, applied)| **applied) {
            chunk.state = State::Applied;
        }
        self.left = self.applied.iter().filter(|applied| !**applied).count();
        (self.free_from, self.left_from) = (0, 0);
    }

    pub(super) fn len(&self) -> usize {
        self.chunks.len()
    }

    pub(super) fn left(&self) -> usize {
        self.left
    }

    pub(super) fn applied(&self) -> &[bool] {
        &self.applied
    }

    pub(super) fn applied_in(&self, chunk: usize) -> Option<u64> {
        self.chunks[chunk].applied_in
    }

    pub(super) fn is_free(&self, chunk: usize) -> bool {
        self.chunks[chunk].state == State::Free
    }

    pub(super) fn is_taken(&self, chunk: usize) -> bool {
        self.chunks[chunk].state == State::Taken
    }

    /// Whether a result of the chunk is still of use.
    pub(super) fn is_wanted(&self, chunk: usize) -> bool {
        matches!(self.chunks[chunk].state, State::Free | State::Out)
    }

    pub(super) fn holders(&self, chunk: usize) -> u32 {
        self.chunks[chunk].holders
    }

    pub(super) fn given(&self, chunk: usize) -> u32 {
        self.chunks[chunk].given
    }

    /// When the chunk went out, first and last.
    pub(super) fn out_since(&self, chunk: usize) -> (Seconds, Seconds) {
        (self.chunks[chunk].first, self.chunks[chunk].last)
    }

    pub(super) fn smallest_free(&mut self) -> Option<usize> {
        let from = self.free_from;
        let ahead = self.chunks[from..].iter().position(|chunk| chunk.state == State::Free);
        self.free_from = ahead.map_or(self.chunks.len(), |ahead| from + ahead);
        ahead.map(|ahead| from + ahead)
    }

    /// The next chunks not applied, in order.
    pub(super) fn next_left(&mut self, count: usize, into: &mut Vec<usize>) {
        while self.left_from < self.applied.len() && self.applied[self.left_from] {
            self.left_from += 1;
        }
        into.clear();
        into.extend((self.left_from..self.applied.len()).filter(|&chunk| !self.applied[chunk]).take(count));
    }

    /// One worker more has it.
    pub(super) fn give(&mut self, chunk: usize, now: Seconds) {
        debug_assert!(self.is_wanted(chunk), "chunk {chunk} is given out though its result is here");
        let entry = &mut self.chunks[chunk];
        if entry.holders == 0 {
            entry.first = now;
        }
        entry.state = State::Out;
        entry.last = now;
        entry.holders += 1;
        entry.given += 1;
    }

    /// One worker less has it.
    pub(super) fn give_back(&mut self, chunk: usize) {
        let entry = &mut self.chunks[chunk];
        debug_assert!(entry.holders > 0, "chunk {chunk} comes back though nobody has it");
        entry.holders -= 1;
        if entry.holders == 0 && entry.state == State::Out {
            self.free(chunk);
        }
    }

    /// Makes its result part of the step; false where one is already.
    #[must_use]
    pub(super) fn take(&mut self, chunk: usize) -> bool {
        let wanted = self.is_wanted(chunk);
        if wanted {
            self.chunks[chunk].state = State::Taken;
        }
        wanted
    }

    /// Makes its result no part of the step.
    pub(super) fn untake(&mut self, chunk: usize) {
        debug_assert!(self.is_taken(chunk) && self.chunks[chunk].holders == 0);
        self.free(chunk);
    }

    /// Applies it to this version.
    ///
    /// # Panics
    ///
    /// If it is not taken: applying it would count its samples twice. That is checked in every build, for then the
    /// model would be wrong and nothing would show it.
    pub(super) fn apply(&mut self, chunk: usize, version: u64) {
        let entry = &mut self.chunks[chunk];
        assert!(entry.state == State::Taken && !self.applied[chunk], "chunk {chunk} is applied though it is not taken");
        entry.state = State::Applied;
        entry.applied_in = Some(version);
        self.applied[chunk] = true;
        self.left -= 1;
    }

    fn free(&mut self, chunk: usize) {
        self.chunks[chunk].state = State::Free;
        self.free_from = self.free_from.min(chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Seconds = Seconds(0.0);

    #[test]
    fn a_chunk_that_comes_back_goes_first_once_nobody_has_it() {
        let mut ledger = Ledger::new(3);
        for expected in 0..3 {
            let chunk = ledger.smallest_free().unwrap();
            assert_eq!(chunk, expected);
            ledger.give(chunk, NOW);
        }
        ledger.give(1, NOW);
        ledger.give_back(1);
        assert_eq!(ledger.smallest_free(), None);
        ledger.give_back(1);
        ledger.give_back(0);
        assert_eq!(ledger.smallest_free(), Some(0));
    }

    #[test]
    fn a_result_is_taken_once_and_what_is_applied_stays() {
        let mut ledger = Ledger::new(2);
        ledger.begin(&[true, false]);
        assert_eq!((ledger.left(), ledger.smallest_free()), (1, Some(1)));
        assert!(!ledger.take(0) && ledger.take(1) && !ledger.take(1));
        ledger.apply(1, 7);
        assert_eq!((ledger.left(), ledger.applied_in(1), ledger.applied_in(0)), (0, Some(7), None));
        assert!(!ledger.take(1));
    }

    #[test]
    #[should_panic(expected = "applied though it is not taken")]
    fn nothing_is_applied_twice() {
        let mut ledger = Ledger::new(1);
        assert!(ledger.take(0));
        ledger.apply(0, 0);
        ledger.apply(0, 1);
    }
}
