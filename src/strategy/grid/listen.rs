//! What the server hears: reports, and who lives.

use super::PATIENCE;
use super::roster::News;
use super::server::Server;
use super::wire::{Figures, Reply, Word};
use crate::comm::{CommError, Tag};
use crate::event::Event;
use crate::plan::quorum;
use crate::strategy::figures::{elements, read};
use crate::strategy::inbox::Post;
use crate::strategy::{Job, TrainError, Turn};

impl Server<'_> {
    /// Waits for what happens next. Tells whether to stop at once.
    pub(super) fn listen(&mut self, job: &mut dyn Job) -> Result<Turn, TrainError> {
        let post = self.inbox.next(PATIENCE)?;
        let quiet = post.is_none();
        if let Some(post) = post {
            self.hear(post, job)?;
        }
        let now = self.clock.now();
        if quiet || (now - self.looked).0 > PATIENCE.as_secs_f64() {
            self.looked = now;
            self.look(job);
        }
        if quiet {
            // Who was silent when it ended or left was not counted on, so the quorum has nothing to say about it.
            self.nobody(job)?;
            // Where no step comes, none is waited for.
            self.wish = self.wish.max(job.turn(&self.state())?);
            return Ok(if self.wish == Turn::Stop { std::mem::take(&mut self.wish) } else { Turn::GoOn });
        }
        Ok(Turn::GoOn)
    }

    /// Takes in a report.
    pub(super) fn hear(&mut self, post: Post, job: &mut dyn Job) -> Result<(), TrainError> {
        let (worker, from, now) = (post.worker, post.worker + 1, self.now());
        let reply = Reply::read(post.buffer.note, from)?;
        let figures: Figures = read(&post.buffer, from, Tag::Report)?;
        if self.roster.note(worker, figures) {
            job.emit(Event::Note { text: format!("rank {from} is back") });
        }
        self.after_answer(worker, reply)?;
        match reply.word {
            Word::Leave => {
                self.roster.left(worker);
                self.quorum.on(quorum::Event::Left { worker }, now);
                job.emit(Event::Note { text: format!("rank {from} leaves; the others go on") });
            }
            Word::Stop => self.wish = Turn::Stop,
            Word::Measured => {}
            Word::Bye => {
                return Err(CommError::Garbage { from, tag: Tag::Report, why: "a goodbye before the end" }.into());
            }
            Word::Result => {
                let expected = self.collected.vector_len() + elements::<Figures>(self.collected.kind());
                if post.buffer.len() != expected {
                    let (kind, len) = (self.collected.kind(), expected);
                    let (got_kind, got_len) = (post.buffer.kind(), post.buffer.len());
                    return Err(CommError::Mismatch { from, tag: Tag::Report, kind, len, got_kind, got_len }.into());
                }
                let (chunk, version, attempt) = (reply.chunk, reply.version, reply.attempt);
                self.arrived = Some((post, figures));
                self.quorum.on(quorum::Event::Arrived { worker, chunk, version, attempt }, now);
                return Ok(());
            }
        }
        self.inbox.give_back(post.buffer);
        Ok(())
    }

    /// Gives a worker that has answered what was kept back for it.
    pub(super) fn after_answer(&mut self, worker: usize, reply: Reply) -> Result<(), CommError> {
        let order = self.roster.answered(worker, reply);
        order.map_or(Ok(()), |order| self.assign(worker, order))
    }

    /// Looks who lives, and whether somebody is late.
    pub(super) fn look(&mut self, job: &mut dyn Job) {
        let now = self.now();
        while let Some(news) = self.roster.news() {
            let (event, text) = match news {
                News::Lost(worker) => {
                    self.inbox.forget(worker);
                    (
                        quorum::Event::Lost { worker },
                        format!("rank {} is lost: its process ended; the others go on", worker + 1),
                    )
                }
                News::Silent(worker) => (
                    quorum::Event::Silent { worker },
                    format!("rank {} is silent; its work is given to others until it is back", worker + 1),
                ),
                News::Back(worker) => (quorum::Event::Back { worker }, format!("rank {} is back", worker + 1)),
            };
            self.quorum.on(event, now);
            job.emit(Event::Note { text });
        }
        self.quorum.on(quorum::Event::Tick, now);
    }

    /// Nobody works. Who is only silent may come back; without anybody else there is nothing to wait for.
    pub(super) fn nobody(&mut self, job: &mut dyn Job) -> Result<(), TrainError> {
        if (0..self.roster.len()).any(|worker| self.roster.works(worker)) {
            return Ok(());
        }
        job.save(&self.state())?;
        Err(TrainError::Deserted { epoch: self.cursor.epoch + 1, step: self.cursor.step })
    }
}
