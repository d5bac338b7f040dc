//! Measuring a part of the data on all workers that are there, piece by piece.

use super::PATIENCE;
use super::server::Server;
use super::wire::{Figures, Order, Reply, What, Word};
use crate::comm::Tag;
use crate::data::Samples;
use crate::nn::Tally;
use crate::plan::quorum::{Action, Event, Quorum, Rule, Terms};
use crate::strategy::figures::read;
use crate::strategy::inbox::Post;
use crate::strategy::learner::Weights;
use crate::strategy::{Job, Task, TrainError};
use std::ops::Range;

/// Samples of a piece. Fixed, so that the sums do not depend on who is there.
const PIECE: usize = 512;

/// The part of the data with this number: validation, then test.
pub(super) fn part<'a>(task: &Task<'a>, number: u64) -> &'a dyn Samples {
    if number == 0 { task.validation } else { task.test }
}

/// The samples of a piece.
pub(super) fn piece(samples: &dyn Samples, piece: usize) -> Range<usize> {
    (piece * PIECE).min(samples.len())..((piece + 1) * PIECE).min(samples.len())
}

impl Server<'_> {
    /// Sums loss and right answers over a part of the data. What is one piece, and what nobody else is there to measure,
    /// the server measures.
    pub(super) fn measure(&mut self, what: What, number: u64, job: &mut dyn Job) -> Result<Tally, TrainError> {
        let samples = part(self.task, number);
        let pieces = samples.len().div_ceil(PIECE);
        let mut sums: Vec<Option<Tally>> = vec![None; pieces];
        if pieces > 1 {
            self.ask(what, number, &mut sums, job)?;
        }
        let mut total = Tally::default();
        for (index, sum) in sums.into_iter().enumerate() {
            let weights = Weights { theta: &self.theta, sigma: &self.sigma };
            total += sum.unwrap_or_else(|| self.evaluator.evaluate(weights, samples, piece(samples, index)));
        }
        Ok(total)
    }

    /// Lets the workers measure the pieces; leaves out what nobody measured.
    fn ask(
        &mut self,
        what: What,
        number: u64,
        sums: &mut [Option<Tally>],
        job: &mut dyn Job,
    ) -> Result<(), TrainError> {
        let (k, chunks, workers) = (sums.len(), sums.len(), self.roster.len());
        let terms =
            Terms { rule: Rule::KBatch, k, chunks, fixed: true, max_contributors: None, straggler_factor: None };
        // Versions tell the parts apart, and this epoch's measuring from the one before.
        let version = self.cursor.epoch * 2 + number;
        let mut quorum = Quorum::new(terms, workers)?.at_version(version);
        for worker in (0..workers).filter(|worker| !self.quorum.is_live(*worker)) {
            quorum.on(Event::Silent { worker }, self.now());
        }
        quorum.begin_pass(&[], self.now());
        loop {
            while let Some(action) = quorum.next_action() {
                match action {
                    Action::Assign { worker, chunk, version, attempt } => {
                        self.assign(worker, Order { what, chunk, version, attempt, epoch: number })?;
                    }
                    Action::Close { .. } => quorum.on(Event::Applied, self.now()),
                    // Who still measures a copy may stop.
                    Action::PassOver | Action::NobodyLeft => return Ok(self.call_off()?),
                    Action::Take { .. } | Action::Drop { .. } | Action::Park { .. } => {}
                }
            }
            match self.inbox.next(PATIENCE)? {
                Some(post) if Word::Measured.is_of(post.buffer.note) => {
                    let reply = Reply::read(post.buffer.note, post.worker + 1)?;
                    let figures: Figures = read(&post.buffer, post.worker + 1, Tag::Report)?;
                    self.after_answer(post.worker, reply)?;
                    let (chunk, worker) = (reply.chunk, post.worker);
                    let (version, attempt) = (reply.version, reply.attempt);
                    if version == quorum.version()
                        && let Some(sum) = sums.get_mut(chunk)
                    {
                        let (correct, samples) = (figures.correct as u64, figures.samples as u64);
                        *sum = Some(Tally { loss: figures.loss, correct, samples });
                    }
                    self.inbox.give_back(post.buffer);
                    quorum.on(Event::Arrived { worker, chunk, version, attempt }, self.now());
                }
                Some(post) => self.hear_late(post, job)?,
                None => self.look(job),
            }
            // Who lives is told to the quorum of the training.
            for worker in 0..workers {
                let live = self.quorum.is_live(worker);
                if live != quorum.is_live(worker) {
                    let event = if live { Event::Back { worker } } else { Event::Silent { worker } };
                    quorum.on(event, self.now());
                }
            }
        }
    }
    /// Takes in a report that has nothing to do with measuring: a late result, or a wish.
    fn hear_late(&mut self, post: Post, job: &mut dyn Job) -> Result<(), TrainError> {
        self.hear(post, job)?;
        while let Some(action) = self.quorum.next_action() {
            if let Action::Drop { worker, why, .. } = action {
                self.discard(worker, why)?;
            }
        }
        Ok(())
    }
}
