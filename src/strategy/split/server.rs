//! The server: it trains the last blocks for every device, averages what the devices became, and holds the whole.

use super::ability::Ability;
use super::books::Books;
use super::choose::Chooser;
use super::dealer::Dealer;
use super::fleet::Fleet;
use super::merge::Bring;
use super::sides::Sides;
use super::state::Begun;
use super::wire::Word;
use super::{PATIENCE, Split, SplitCuts};
use crate::comm::{Communicator, Kind, Life, Metered, Tag};
use crate::device::{Clock, Machine};
use crate::event::Event;
use crate::nn::{Program, Tally, Workspace};
use crate::optim::{Optimizer, Rule};
use crate::strategy::evaluate::Evaluator;
use crate::strategy::inbox::{Inbox, Post};
use crate::strategy::learner::Weights;
use crate::strategy::outcome::Verdict;
use crate::strategy::portion::{Gradient, Portion};
use crate::strategy::{Cursor, Ending, Fit, Job, JobError, Task, TrainError, Turn};
use crate::units::Seconds;
use std::collections::BTreeMap;

/// Named vectors of an optimizer, each over some span of θ.
pub(super) type Vectors = Vec<Vec<f32>>;

/// Rank 0.
pub(super) struct Server<'a> {
    pub(super) task: &'a Task<'a>,
    pub(super) split: &'a Split,
    pub(super) comm: &'a Metered<'a>,
    pub(super) clock: &'a dyn Clock,
    pub(super) sides: &'a Sides<'a>,
    pub(super) dealer: Dealer<'a>,
    pub(super) fleet: Fleet<'a>,
    pub(super) inbox: Inbox<'a>,
    evaluator: Evaluator<'a>,
    /// The whole network, as it was averaged last.
    pub(super) theta: Vec<f32>,
    pub(super) sigma: Vec<f32>,
    /// The server's parts: one a device, or one for all; none where a device holds everything.
    pub(super) parts: Vec<Option<Portion<'a>>>,
    /// By device: trunk blocks on it in its last round.
    pub(super) held: Vec<usize>,
    /// By device: how many of the whole's first blocks it holds, bit for bit; none where it lacks all.
    pub(super) holds: Vec<Option<usize>>,
    /// Where the round began.
    pub(super) begun: Begun,
    /// What devices get with the next round.
    pub(super) bring: Vec<Bring>,
    /// By cut, for so many samples.
    pub(super) rows: usize,
    pub(super) workspaces: BTreeMap<usize, Workspace>,
    /// By device, where a step's gradients are averaged; else the first is that of whoever is served.
    pub(super) gradients: Vec<Gradient>,
    /// Seconds that the emulated receiver was busy with the last message.
    pub(super) received: f64,
    pub(super) idle: Box<dyn Optimizer>,
    /// By device: trunk blocks on it.
    pub(super) cuts: Vec<usize>,
    pub(super) chooser: Chooser,
    /// By device: seconds of the server's for it in this round, measured and in the server's own time.
    pub(super) served: Vec<[f64; 2]>,
    pub(super) cursor: Cursor,
    /// When the first round began, in the server's own time.
    pub(super) first_began: f64,
    pub(super) round: u64,
    pub(super) rate: f64,
    /// Of the epoch.
    pub(super) tally: Tally,
    pub(super) wish: Turn,
    pub(super) looked: Seconds,
}

impl<'a> Server<'a> {
    pub fn new(
        task: &'a Task<'a>,
        split: &'a Split,
        program: &'a Program,
        comm: &'a Metered<'a>,
        clock: &'a dyn Clock,
        sides: &'a Sides<'a>,
    ) -> Result<Self, TrainError> {
        let devices = comm.size() - 1;
        let cuts = match &split.cuts {
            SplitCuts::Fixed(cuts) => cuts.clone(),
            SplitCuts::Auto(_) => vec![sides.blocks(); devices],
        };
        let dealer = Dealer::new(task, split, devices);
        let mut server = Self {
            task,
            split,
            comm,
            clock,
            sides,
            chooser: Chooser::new(task, split, clock, sides, dealer.batch(), devices),
            dealer,
            fleet: Fleet::new(comm),
            inbox: Inbox::new(comm, clock, Tag::Activations, Kind::F32, Word::is_urgent).patient(),
            evaluator: Evaluator::new(program),
            theta: task.hyper.init.draw(task.network, task.hyper.seed),
            sigma: task.network.initial_sigma(),
            parts: Vec::new(),
            held: vec![0; devices],
            holds: vec![None; devices],
            begun: Begun::default(),
            bring: Vec::new(),
            rows: 0,
            workspaces: BTreeMap::new(),
            gradients: vec![Gradient::default(); devices],
            received: 0.0,
            idle: Rule::Sgd.build(0, 0.0),
            cuts,
            served: vec![[0.0; 2]; devices],
            cursor: Cursor::default(),
            first_began: 0.0,
            round: 0,
            rate: 0.0,
            tally: Tally::default(),
            wish: Turn::GoOn,
            looked: Seconds(0.0),
        };
        let state = match task.resume {
            Some(snapshot) => server.restore(snapshot).map_err(own_error)?,
            None => vec![server.no_state(); devices],
        };
        server.dealer.open(server.cursor.epoch);
        let (steps, period) = (server.dealer.steps() as u64, split.round_steps.map_or(u64::MAX, |steps| steps.get()));
        let (done, within) =
            (server.cursor.epoch * steps.div_ceil(period), server.cursor.step_in_epoch.div_ceil(period));
        server.round = done + within;
        server.hear_abilities()?;
        server.set_up(state);
        Ok(server)
    }

    /// The server's own time: virtual where a machine is emulated.
    pub(super) fn now(&self) -> f64 {
        self.clock.machine().map_or_else(|| self.clock.now(), Machine::now).0
    }

    /// Every device that lives tells what it can do, before the first round.
    fn hear_abilities(&mut self) -> Result<(), TrainError> {
        let blocks = self.sides.blocks();
        for device in 0..self.fleet.len() {
            if let Some(message) = self.first_words(device)? {
                self.chooser.meet(device, Ability::unpacked(&message, device + 1, blocks)?);
            }
        }
        if self.chooser.measures_links() {
            for device in 0..self.fleet.len() {
                if self.chooser.has_met(device) {
                    self.probe(device)?;
                }
            }
        }
        Ok(self.first_cuts()?)
    }

    /// Trains to the end.
    pub fn run(mut self, job: &mut dyn Job) -> Result<Fit, TrainError> {
        job.emit(Event::Started {
            parameters: self.task.network.theta_len(),
            train_samples: self.task.train.len(),
            global_batch: self.task.hyper.global_batch.min(self.task.train.len()),
            steps_per_epoch: self.dealer.steps() as u64,
            bytes_per_exchange: self.bytes_per_step(),
        });
        self.first_began = self.now();
        let result = self.epochs(job);
        let verdict = match &result {
            Ok(fit) if fit.ending == Ending::Finished => Verdict::Finished,
            Err(TrainError::Diverged { .. }) => Verdict::Diverged,
            // This rank ends the job, and the devices with it.
            Err(_) => return result,
            Ok(_) => Verdict::Stopped,
        };
        self.end(verdict, result.as_ref().map_or(Tally::default(), |fit| fit.test))?;
        result.map(|fit| Fit { theta: self.theta, sigma: self.sigma, lost: self.fleet.gone(), ..fit })
    }

    /// Bytes of the largest batch of a step, at the first cuts.
    fn bytes_per_step(&self) -> u64 {
        let split = self.cuts.iter().filter(|cut| **cut < self.sides.blocks());
        split.map(|cut| 4 * self.dealer.batch() * (self.sides.crossing(*cut) + 1)).max().unwrap_or(0) as u64
    }

    fn epochs(&mut self, job: &mut dyn Job) -> Result<Fit, TrainError> {
        // Of a run that was saved at its very end nothing is left to do.
        let mut fit = Fit { cursor: self.cursor, ..Fit::begun() };
        let mut talked = 0.0;
        while self.cursor.epoch < self.task.hyper.epochs {
            self.dealer.open(self.cursor.epoch);
            self.tally = Tally::default();
            let books = Books::open(self, job);
            if !self.rounds(job)? {
                fit.ending = Ending::Stopped;
                break;
            }
            let seconds = books.seconds(self);
            self.cursor.epoch += 1;
            self.cursor.step_in_epoch = 0;
            self.clock.machine().inspect(|machine| machine.hold(true));
            let validation = self.measure(self.task.validation);
            let mut record = books.record(self, seconds, validation, job)?;
            fit.loop_s += record.epoch_s;
            talked += record.comm_s + record.wait_s;
            let over = self.cursor.epoch == self.task.hyper.epochs;
            let turn = std::mem::take(&mut self.wish).in_lock_step();
            if over || turn == Turn::Stop {
                fit.test = self.measure(self.task.test);
                record.test_acc = fit.test.accuracy();
            }
            self.clock.machine().inspect(|machine| machine.hold(false));
            job.emit(Event::Epoch(record.clone()));
            fit.last = Some(record);
            fit.cursor = self.cursor;
            self.keep(turn, job)?;
            if turn == Turn::Stop && !over {
                fit.ending = Ending::Stopped;
                break;
            }
        }
        if fit.ending == Ending::Finished && fit.last.is_none() {
            // Resumed behind its last epoch.
            fit.test = self.measure(self.task.test);
        }
        fit.cursor = self.cursor;
        fit.comm_share = if fit.loop_s > 0.0 { talked / fit.loop_s } else { 0.0 };
        Ok(fit)
    }

    /// The rounds of an epoch from the cursor on. Tells whether the epoch is over; if not, a rank wished to stop.
    fn rounds(&mut self, job: &mut dyn Job) -> Result<bool, TrainError> {
        let all = self.dealer.steps() as u64;
        while self.cursor.step_in_epoch < all {
            if self.wish_before(job)? == Turn::Stop {
                return Ok(false);
            }
            if self.fleet.staying().is_empty() {
                self.save(job)?;
                return Err(self.deserted());
            }
            let steps = self.split.round_steps.map_or(all, |steps| steps.get()).min(all - self.cursor.step_in_epoch);
            match self.train(steps, job) {
                Ok(true) => {}
                Ok(false) => {
                    self.save_begun(job)?;
                    return Ok(false);
                }
                Err(error @ (TrainError::Deserted { .. } | TrainError::DeviceLost { .. })) => {
                    self.save_begun(job)?;
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// What is wished for between two rounds, with the state saved for it.
    fn wish_before(&mut self, job: &mut dyn Job) -> Result<Turn, TrainError> {
        let wish = self.turn(job)?.max(std::mem::take(&mut self.wish)).in_lock_step();
        if wish != Turn::GoOn {
            self.save(job)?;
        }
        Ok(wish)
    }

    /// Loss and right answers of the whole on a part of the data.
    fn measure(&mut self, samples: &dyn crate::data::Samples) -> Tally {
        let weights = Weights { theta: &self.theta, sigma: &self.sigma };
        self.evaluator.evaluate(weights, samples, 0..samples.len())
    }

    /// The next message, if one comes in time.
    ///
    /// # Errors
    /// When no device is left to wait for, among others.
    pub(super) fn post(&mut self, job: &mut dyn Job) -> Result<Option<Post>, TrainError> {
        let post = self.receive(job)?;
        if self.fleet.working().is_empty() { Err(self.deserted()) } else { Ok(post) }
    }

    /// The next message, if one comes in time. Between two looks at who lives, and at what is wished for here, little time
    /// passes.
    pub(super) fn receive(&mut self, job: &mut dyn Job) -> Result<Option<Post>, TrainError> {
        let received = || self.clock.machine().map_or(0.0, |machine| machine.ledger().receiving.0);
        let before = received();
        let post = self.inbox.next(PATIENCE)?;
        self.received = received() - before;
        let now = self.clock.now();
        if post.is_none() || (now - self.looked).0 > PATIENCE.as_secs_f64() {
            self.looked = now;
            self.fleet.push_on()?;
            self.look(job)?;
            self.wish = self.wish.max(self.turn(job)?);
        }
        // Who is known to be dead says nothing any more, though some of it may still arrive.
        let lives = |device: usize| self.fleet.lives(device) && self.comm.life(device + 1) != Life::Lost;
        Ok(post.filter(|post| lives(post.worker)))
    }

    /// Looks who lives. Who has died is told; where its part cannot be done without, that is the end.
    fn look(&mut self, job: &mut dyn Job) -> Result<(), TrainError> {
        while let Some(device) = self.fleet.lost() {
            self.inbox.forget(device);
            self.chooser.remove(device);
            if !self.split.protocol.outlives_devices() && self.fleet.takes_part(device) {
                let (rank, epoch) = (device + 1, self.cursor.epoch + 1);
                return Err(TrainError::DeviceLost { rank, epoch, protocol: self.split.protocol.name() });
            }
            let text = format!("rank {} is lost: its process ended; the round goes on without it", device + 1);
            job.emit(Event::Note { text });
        }
        self.tell_who_leaves(job);
        Ok(())
    }

    /// Tells of devices that leave.
    pub(super) fn tell_who_leaves(&mut self, job: &mut dyn Job) {
        while let Some(device) = self.fleet.untold() {
            job.emit(Event::Note { text: format!("rank {} leaves after this round; the others go on", device + 1) });
        }
    }

    pub(super) fn deserted(&self) -> TrainError {
        TrainError::Deserted { epoch: self.cursor.epoch + 1, step: self.cursor.step }
    }

    pub(super) fn diverged(&self) -> TrainError {
        TrainError::Diverged { epoch: self.cursor.epoch + 1, step: self.cursor.step, rate: self.rate }
    }

    /// The server's part for a device, by its number: one for all where they share it.
    pub(super) fn slot(&self, device: usize) -> usize {
        if self.split.protocol.shares_server() { 0 } else { device }
    }
}

/// A snapshot that does not fit: the server's own error, for no device has seen the snapshot.
fn own_error(why: String) -> TrainError {
    TrainError::Job(JobError(TrainError::Resume(why).to_string()))
}
