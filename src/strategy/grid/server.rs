//! The server: it carries out what the quorum decides.

use super::books::Books;
use super::chunks::Chunks;
use super::collect::{Collected, Contribution, Summed};
use super::roster::Roster;
use super::wire::{Figures, Order, Reply, What};
use super::{Grid, halves};
use crate::comm::{CommError, Communicator, Metered, Tag};
use crate::device::{Clock, Machine};
use crate::event::{Applied, Event};
use crate::nn::{Program, Tally};
use crate::optim::{Optimizer, Step};
use crate::plan::quorum::{self, Action, Quorum, Why};
use crate::strategy::evaluate::Evaluator;
use crate::strategy::fit::MOMENTS_SHARE;
use crate::strategy::inbox::{Inbox, Post};
use crate::strategy::modelled::{Phases, together};
use crate::strategy::outcome::Verdict;
use crate::strategy::team::team;
use crate::strategy::{Cursor, Ending, Fit, Job, Snapshot, State, Task, TrainError, Turn};
use crate::units::Seconds;

/// How a pass ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    Over,
    Stopped,
}

/// Rank 0 of a grid.
pub(super) struct Server<'a> {
    pub(super) task: &'a Task<'a>,
    pub(super) grid: &'a Grid,
    pub(super) comm: &'a Metered<'a>,
    pub(super) clock: &'a dyn Clock,
    pub(super) evaluator: Evaluator<'a>,
    pub(super) chunks: Chunks,
    pub(super) quorum: Quorum,
    pub(super) roster: Roster<'a>,
    pub(super) inbox: Inbox<'a>,
    pub(super) theta: Vec<f32>,
    pub(super) sigma: Vec<f32>,
    pub(super) cursor: Cursor,
    pub(super) rate: f64,
    pub(super) collected: Collected,
    pub(super) optimizer: Box<dyn Optimizer>,
    /// The report that the quorum decides on.
    pub(super) arrived: Option<(Post, Figures)>,
    /// 1 for each chunk of this pass that is applied.
    applied: Vec<f32>,
    /// Sums over what this pass applied.
    pub(super) tally: Tally,
    pub(super) wish: Turn,
    pub(super) looked: Seconds,
}

impl<'a> Server<'a> {
    pub fn new(
        task: &'a Task<'a>,
        grid: &'a Grid,
        program: &'a Program,
        comm: &'a Metered<'a>,
        clock: &'a dyn Clock,
    ) -> Result<Self, TrainError> {
        let (network, hyper, workers) = (task.network, &task.hyper, comm.size() - 1);
        let chunks = grid.chunks(task.train.len(), hyper);
        let quorum = Quorum::new(grid.terms(task.train.len(), hyper), workers)?;
        let collected = Collected::new(network, hyper, task.train.len(), grid.sends_deltas(task.train.len()));
        let mut server = Self {
            task,
            grid,
            comm,
            clock,
            evaluator: Evaluator::new(program),
            applied: vec![0.0; chunks.count()],
            chunks,
            quorum,
            roster: Roster::new(comm, clock.machine().is_some_and(|machine| !machine.is_paced())),
            inbox: Inbox::new(comm, clock, Tag::Report, collected.kind(), Reply::is_urgent),
            theta: hyper.init.draw(network, hyper.seed),
            sigma: network.initial_sigma(),
            cursor: Cursor::default(),
            rate: 0.0,
            collected,
            optimizer: hyper.rule.build(network.theta_len(), hyper.weight_decay),
            arrived: None,
            tally: Tally::default(),
            wish: Turn::GoOn,
            looked: Seconds(0.0),
        };
        if let Some(snapshot) = task.resume {
            server.restore(snapshot).map_err(TrainError::Resume)?;
        }
        server.quorum = server.quorum.at_version(server.cursor.step);
        Ok(server)
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<(), String> {
        snapshot.restore("theta", &mut self.theta)?;
        snapshot.restore("sigma", &mut self.sigma)?;
        snapshot.restore("scales", self.collected.scales_mut())?;
        snapshot.restore("applied", &mut self.applied)?;
        for (name, vector) in self.optimizer.state_mut() {
            snapshot.restore(name, vector)?;
        }
        self.cursor = snapshot.cursor;
        Ok(())
    }

    pub(super) fn state(&self) -> State<'_> {
        let (theta, sigma, optimizer) = (&self.theta, &self.sigma, self.optimizer.as_ref());
        State { cursor: self.cursor, theta, sigma, scales: self.collected.scales(), applied: &self.applied, optimizer }
    }

    /// The time that deadlines are measured in: the emulated machine's, where there is one.
    pub(super) fn now(&self) -> Seconds {
        self.clock.machine().map_or_else(|| self.clock.now(), Machine::now)
    }

    /// Trains to the end, whatever becomes of the workers.
    pub fn run(mut self, wanted: bool, job: &mut dyn Job) -> Result<Fit, TrainError> {
        job.emit(Event::Started {
            parameters: self.task.network.theta_len(),
            train_samples: self.task.train.len(),
            global_batch: self.task.hyper.global_batch.min(self.task.train.len()),
            steps_per_epoch: self.chunks.steps() as u64,
            bytes_per_exchange: (self.collected.vector_len() * self.collected.kind().size()) as u64,
        });
        if let Some(machine) = self.clock.machine() {
            together(self.comm, self.clock, machine)?;
        }
        let result = self.epochs(wanted, job);
        let verdict = match &result {
            Ok(fit) if fit.ending == Ending::Finished => Verdict::Finished,
            Err(TrainError::Diverged { .. }) => Verdict::Diverged,
            // This rank ends the job, and the workers with it.
            Err(_) => return result,
            Ok(_) => Verdict::Stopped,
        };
        self.end(verdict, result.as_ref().map_or(Tally::default(), |fit| fit.test))?;
        result.map(|fit| Fit { theta: self.theta, sigma: self.sigma, lost: self.roster.gone(), ..fit })
    }

    fn epochs(&mut self, wanted: bool, job: &mut dyn Job) -> Result<Fit, TrainError> {
        // Of a run that was saved at its very end nothing is left to do.
        let mut fit = Fit { cursor: self.cursor, ..Fit::begun() };
        let mut talked = 0.0;
        while self.cursor.epoch < self.task.hyper.epochs {
            let books = Books::open(self, job);
            let mut phases = Phases::open(self.comm, self.clock, job, wanted);
            let pass = self.pass(job)?;
            fit.cursor = self.cursor;
            if pass == Pass::Stopped {
                fit.ending = Ending::Stopped;
                break;
            }
            let seconds = books.seconds(self);
            self.cursor.epoch += 1;
            self.cursor.step_in_epoch = 0;
            self.applied.fill(0.0);
            self.close_phase(wanted, &mut phases, job)?;
            self.clock.machine().inspect(|machine| machine.hold(true));
            let validation = self.measure(What::Measure, 0, job)?;
            let mut record = books.record(self, seconds, validation, job)?;
            record.modelled_epoch_s = phases.longest("train");
            record.modelled_energy_j = phases.joules("train");
            record.energy_j = phases.measured_joules("train").or(record.energy_j);
            phases.tell(record.epoch, job);
            fit.loop_s += record.epoch_s;
            talked += record.comm_s + record.wait_s;
            if self.cursor.epoch == self.task.hyper.epochs {
                fit.test = self.measure(What::Measure, 1, job)?;
                record.test_acc = fit.test.accuracy();
            }
            self.clock.machine().inspect(|machine| machine.hold(false));
            job.emit(Event::Epoch(record.clone()));
            fit.last = Some(record);
            fit.cursor = self.cursor;
            let turn = std::mem::take(&mut self.wish).in_lock_step();
            if turn != Turn::GoOn {
                job.save(&self.state())?;
            }
            if job.keeps_epochs() {
                job.epoch_ended(&self.state())?;
            }
            if turn == Turn::Stop && self.cursor.epoch < self.task.hyper.epochs {
                fit.ending = Ending::Stopped;
                break;
            }
        }
        fit.comm_share = if fit.loop_s > 0.0 { talked / fit.loop_s } else { 0.0 };
        Ok(fit)
    }

    /// One pass over the training part.
    fn pass(&mut self, job: &mut dyn Job) -> Result<Pass, TrainError> {
        let marks: Vec<bool> = self.applied.iter().map(|mark| *mark > 0.0).collect();
        self.tally = Tally::default();
        self.quorum.begin_pass(&marks, self.now());
        self.wish = self.wish.max(job.turn(&self.state())?);
        loop {
            while let Some(action) = self.quorum.next_action() {
                match action {
                    Action::Assign { worker, chunk, version, attempt } => {
                        self.assign(
                            worker,
                            Order { what: What::Train, chunk, version, attempt, epoch: self.cursor.epoch },
                        )?;
                    }
                    Action::Take { chunk, staleness, .. } => self.take(chunk, staleness),
                    Action::Drop { worker, why, .. } => self.discard(worker, why)?,
                    Action::Close { .. } => {
                        if self.close(job)? == Turn::Stop {
                            return self.stop(job);
                        }
                    }
                    Action::PassOver => {
                        self.call_off()?;
                        return Ok(Pass::Over);
                    }
                    Action::Park { worker } => self.park(worker)?,
                    Action::NobodyLeft => self.nobody(job)?,
                }
            }
            if self.listen(job)? == Turn::Stop {
                job.save(&self.state())?;
                return self.stop(job);
            }
        }
    }

    /// Gives a worker an order, with the weights if it lacks them.
    pub(super) fn assign(&mut self, worker: usize, order: Order) -> Result<(), CommError> {
        self.inbox.expect(worker);
        if !self.roster.may_send(worker, order) {
            return Ok(());
        }
        // Measuring takes the newest weights too, and knows no attempt.
        let (version, attempt) = match order.what {
            What::Train => (order.version, order.attempt),
            _ => (self.cursor.step, u32::MAX),
        };
        let (theta, sigma, scales) = (&self.theta, &self.sigma, self.collected.scales());
        if !self.roster.lacks(worker, version, attempt) {
            return self.roster.send(worker, order, 0, |_| {});
        }
        let rate = halves(self.rate_now());
        let len = theta.len() + sigma.len() + scales.len() + rate.len();
        self.roster.send(worker, order, len, |buffer| {
            let (to, rest) = buffer.f32s_mut().split_at_mut(theta.len());
            to.copy_from_slice(theta);
            let (to, rest) = rest.split_at_mut(sigma.len());
            to.copy_from_slice(sigma);
            let (to, rest) = rest.split_at_mut(scales.len());
            to.copy_from_slice(scales);
            rest.copy_from_slice(&rate);
        })
    }

    /// Tells a worker that there is nothing to do.
    fn park(&mut self, worker: usize) -> Result<(), CommError> {
        self.inbox.forget(worker);
        let order = Order::bare(What::Wait, self.cursor.epoch);
        if self.roster.may_send(worker, order) { self.roster.send(worker, order, 0, |_| {}) } else { Ok(()) }
    }

    /// Calls off what is still being worked on.
    pub(super) fn call_off(&mut self) -> Result<(), CommError> {
        (0..self.roster.len()).try_for_each(|worker| if self.inbox.owes(worker) { self.park(worker) } else { Ok(()) })
    }

    /// Keeps the report that arrived.
    fn take(&mut self, chunk: usize, staleness: u32) {
        if let Some((post, figures)) = self.arrived.take() {
            let (worker, buffer) = (post.worker, post.buffer);
            self.collected.keep(Contribution { chunk, worker, staleness, figures, buffer });
        }
    }

    /// Throws the report away that arrived. One that nobody asked for is an error: whoever sent it does not do what it
    /// was told, and is waited for in vain.
    pub(super) fn discard(&mut self, worker: usize, why: Why) -> Result<(), CommError> {
        if let Some((post, _)) = self.arrived.take() {
            self.inbox.give_back(post.buffer);
        }
        match why {
            Why::Unknown => {
                Err(CommError::Garbage { from: worker + 1, tag: Tag::Report, why: "a result that nobody asked for" })
            }
            Why::Stale | Why::Duplicate | Why::Cancelled => Ok(()),
        }
    }

    /// The learning rate of the coming step: by the share of the pass that is applied, so that a step of K chunks has the
    /// rate that it has in lock-step.
    fn rate_now(&self) -> f64 {
        let done = self.applied.iter().filter(|mark| **mark > 0.0).count() / self.grid.k;
        let (steps, span) = (self.chunks.steps(), 1.0 / self.chunks.steps() as f64);
        self.task.hyper.schedule.at(self.cursor.epoch as f64 + done.min(steps - 1) as f64 * span, span)
    }

    /// Applies the step that closed. Tells what was wished for after it.
    fn close(&mut self, job: &mut dyn Job) -> Result<Turn, TrainError> {
        let summed = self.collected.sum();
        self.rate = self.rate_now();
        match summed {
            Summed::NotFinite => {
                self.cursor.step += 1;
                return Err(self.diverged(self.cursor.epoch + 1));
            }
            Summed::Again => {
                self.forget_results();
                self.quorum.on(quorum::Event::Again, self.now());
                return Ok(Turn::GoOn);
            }
            Summed::Done => self.apply(job),
        }
        self.quorum.on(quorum::Event::Applied, self.now());
        if self.quorum.pass_over() {
            // What was wished for comes behind the epoch's record.
            return Ok(Turn::GoOn);
        }
        let turn = std::mem::take(&mut self.wish).in_lock_step();
        if turn != Turn::GoOn {
            job.save(&self.state())?;
        }
        if turn != Turn::Stop {
            self.wish = job.turn(&self.state())?;
        }
        Ok(turn)
    }

    fn apply(&mut self, job: &mut dyn Job) {
        let results = self.collected.results();
        let samples: f64 = results.iter().map(|result| result.figures.samples).sum();
        for result in results {
            let Figures { loss, correct, samples, .. } = result.figures;
            self.tally += Tally { loss, correct: correct as u64, samples: samples as u64 };
            self.applied[result.chunk] = 1.0;
        }
        self.cursor.step += 1;
        self.cursor.step_in_epoch += 1;
        self.cursor.samples += samples as u64;
        let (epoch, step) = (self.cursor.epoch + 1, self.cursor.step);
        job.emit(Event::Applied(Applied {
            epoch,
            step,
            contributions: results.iter().map(|result| (result.chunk, result.worker + 1, result.staleness)).collect(),
        }));
        let deltas = self.grid.sends_deltas(self.task.train.len());
        let (change, moments) = self.collected.parts();
        if deltas {
            self.theta.iter_mut().zip(change).for_each(|(weight, delta)| *weight += *delta);
            self.sigma.iter_mut().zip(moments).for_each(|(running, delta)| *running += *delta);
        } else {
            let step = Step { number: step, rate: self.rate, scale: 1.0 / samples };
            self.optimizer.step(step, change, &mut self.theta, team());
            for (running, sum) in self.sigma.iter_mut().zip(moments) {
                *running += MOMENTS_SHARE * (*sum / samples as f32 - *running);
            }
        }
        self.forget_results();
    }

    fn forget_results(&mut self) {
        for result in self.collected.drain() {
            self.inbox.give_back(result.buffer);
        }
    }

    /// A stop in a pass: what is under way is dropped.
    fn stop(&mut self, job: &mut dyn Job) -> Result<Pass, TrainError> {
        let under_way = self.quorum.in_flight() + self.collected.results().len();
        if under_way > 0 {
            let text = format!(
                "{under_way} results were under way and are dropped; their chunks are computed again when the run goes on"
            );
            job.emit(Event::Note { text });
        }
        self.forget_results();
        self.call_off()?;
        Ok(Pass::Stopped)
    }

    /// Lets emulated machines end their phase together, if everybody is there to.
    fn close_phase(&mut self, wanted: bool, phases: &mut Phases, job: &mut dyn Job) -> Result<(), TrainError> {
        if !wanted || !self.roster.is_whole() {
            return Ok(());
        }
        let epoch = self.cursor.epoch;
        for worker in 0..self.roster.len() {
            let order = Order::bare(What::Books, epoch);
            self.roster.may_send(worker, order);
            self.roster.send(worker, order, 0, |_| {})?;
        }
        phases.end("train", job)
    }

    pub(super) fn diverged(&self, epoch: u64) -> TrainError {
        TrainError::Diverged { epoch, step: self.cursor.step, rate: self.rate }
    }
}
