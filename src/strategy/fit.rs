//! The loop that the data-parallel strategies share: epochs of synchronous steps.
//!
//! A strategy differs only in how a step's sum comes together (its [`Exchange`]). The sum is the same
//! bits on every rank, every rank applies the same update, and so all replicas stay equal; that is
//! checked after every epoch.

use super::evaluate::Evaluator;
use super::learner::{Learner, Weights};
use super::local_sgd::LocalSgd;
use super::modelled::{Phases, together};
use super::recovery::Kept;
use super::sampled::Sampled;
use super::single::Alone;
use super::stepper::{StepSum, Stepper, bytes_per_exchange};
use super::team::team;
use super::{Cursor, Exchange, Job, Snapshot, State, Task, TrainError, Turn};
use crate::comm::{Communicator, Metered, Traffic, Values};
use crate::data::order::{StepPlan, epoch_order};
use crate::device::Clock;
use crate::event::{EpochRecord, Event};
use crate::nn::{Flavor, Program, Tally};
use crate::optim::{Optimizer, Step};
use crate::units::Seconds;

/// Share of a step's moments in the running statistics, as in PyTorch's batch norm.
pub(super) const MOMENTS_SHARE: f32 = 0.1;

/// How a training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// After its last epoch.
    Finished,
    /// Because a rank wished to.
    Stopped,
}

/// A trained network, equal on all ranks.
#[derive(Debug, Clone)]
pub struct Fit {
    /// The parameters.
    pub theta: Vec<f32>,
    /// The running statistics.
    pub sigma: Vec<f32>,
    /// Where training ended.
    pub cursor: Cursor,
    /// Why it ended there.
    pub ending: Ending,
    /// The last epoch's record, absent when none was finished.
    pub last: Option<EpochRecord>,
    /// Loss and right answers on the test part, measured with the final weights; empty when stopped within an epoch.
    pub test: Tally,
    /// Seconds in the training loops, without start-up and evaluation: the slowest rank's, measured.
    pub loop_s: f64,
    /// Share of those seconds spent in communication and waiting, mean over the ranks, measured.
    pub comm_share: f64,
    /// Ranks that ended or fell silent on the way: nothing can be done together with all ranks any more. At a worker
    /// of a grid, only their number is right.
    pub lost: Vec<usize>,
}

impl Fit {
    /// A training that has just begun.
    pub(super) fn begun() -> Self {
        Self {
            theta: Vec::new(),
            sigma: Vec::new(),
            cursor: Cursor::default(),
            ending: Ending::Finished,
            last: None,
            test: Tally::default(),
            loop_s: 0.0,
            comm_share: 0.0,
            lost: Vec::new(),
        }
    }
}

/// What an epoch's steps add up to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct EpochSums {
    pub(super) tally: Tally,
    /// Samples of which this rank computed the gradients.
    pub(super) own: u64,
    pub(super) turn: Turn,
}

/// An epoch under way: what it is measured from.
pub(super) struct Opened<'a> {
    pub(super) start: Seconds,
    pub(super) before: Traffic,
    pub(super) phases: Phases<'a>,
    /// Seconds and traffic of its steps, when these are done.
    pub(super) spent: Option<(f64, Traffic)>,
}

/// What the epochs carry along.
pub(super) struct Training<'a> {
    pub(super) task: &'a Task<'a>,
    pub(super) comm: &'a Metered<'a>,
    pub(super) clock: &'a dyn Clock,
    pub(super) evaluator: Evaluator<'a>,
    pub(super) theta: Vec<f32>,
    pub(super) sigma: Vec<f32>,
    pub(super) optimizer: Box<dyn Optimizer>,
    /// Proposals instead of gradients, where the task asks for them.
    sampled: Option<Sampled<'a>>,
    /// Steps of this rank's own and their averaging, where the task asks for them.
    local: Option<LocalSgd>,
    pub(super) cursor: Cursor,
    order: Vec<u32>,
    pub(super) rate: f64,
    /// Whether phases are told of.
    wanted: bool,
    pub(super) opened: Option<Opened<'a>>,
    pub(super) sums: EpochSums,
    /// The steps of an epoch are done, its record is not.
    pub(super) due: bool,
    /// The last epoch that was told of: a record that is made again is not told again.
    pub(super) told: u64,
    /// What to go back to, where ranks may die.
    pub(super) kept: Option<Kept>,
    /// What it comes to.
    pub(super) fit: Fit,
    pub(super) talk_s: f64,
}

pub(super) fn train<'a>(
    task: &'a Task,
    comm: &'a Metered,
    clock: &'a dyn Clock,
    exchange: &mut dyn Exchange<'a>,
    job: &mut dyn Job,
) -> Result<Fit, TrainError> {
    let program = Program::compile(task.network, Flavor::Fused);
    let plan = StepPlan::new(task.train.len(), task.hyper.global_batch);
    let global = task.hyper.global_batch.min(task.train.len());
    let local = LocalSgd::of(task.network, &task.hyper)?;
    let summed: &dyn Exchange<'a> = if local.is_some() { &Alone } else { exchange };
    let mut stepper = Stepper::new(task.network, task.hyper.micro_chunk, global, summed)?;
    let mut learner = Learner::new(task, &program, clock, stepper.local_batch(global, exchange.parts()));
    let mut training = Training {
        task,
        comm,
        clock,
        evaluator: Evaluator::new(&program),
        theta: initial_weights(task, comm)?,
        sigma: task.network.initial_sigma(),
        optimizer: task.hyper.rule.build(task.network.theta_len(), task.hyper.weight_decay),
        sampled: Sampled::of(task, &program, clock, global.div_ceil(exchange.parts()))?,
        // Between two averagings there is no step that all ranks have in common.
        kept: (exchange.recovers() && local.is_none()).then(Kept::default),
        local,
        cursor: Cursor::default(),
        order: Vec::with_capacity(task.train.len()),
        rate: 0.0,
        wanted: false,
        opened: None,
        sums: EpochSums::default(),
        due: false,
        told: 0,
        fit: Fit::begun(),
        talk_s: 0.0,
    };
    if let Some(snapshot) = task.resume {
        training.restore(snapshot, &mut stepper).map_err(TrainError::Resume)?;
    }
    job.emit(Event::Started {
        parameters: task.network.theta_len(),
        train_samples: task.train.len(),
        global_batch: global,
        steps_per_epoch: plan.steps() as u64,
        bytes_per_exchange: bytes_per_exchange(task.network, &task.hyper),
    });
    training.wanted = Phases::wanted(comm, clock, job)?;
    if let Some(machine) = clock.machine() {
        together(comm, clock, machine)?; // the first phase begins when all have the weights
    }
    while training.fit.ending == Ending::Finished && (training.cursor.epoch < task.hyper.epochs || training.due) {
        match training.round(plan, &mut stepper, &mut learner, exchange, job) {
            Ok(ending) => training.fit.ending = ending,
            Err(TrainError::Comm(error)) if error.is_death() && training.kept.is_some() => {
                training.recover(&mut stepper, error, job)?;
                // This rank's part of a batch is larger now.
                learner = Learner::new(task, &program, clock, stepper.local_batch(global, exchange.parts()));
                training.sampled = Sampled::of(task, &program, clock, global.div_ceil(exchange.parts()))?;
            }
            Err(error) => return Err(error),
        }
    }
    if training.fit.last.is_none() && training.fit.ending == Ending::Finished {
        // Resumed behind its last epoch.
        training.fit.test = training.measure_everywhere(task.test)?;
    }
    let (fit, talk_s) = (training.fit, training.talk_s);
    Ok(Fit {
        cursor: training.cursor,
        comm_share: if fit.loop_s > 0.0 { talk_s / fit.loop_s } else { 0.0 },
        theta: training.theta,
        sigma: training.sigma,
        ..fit
    })
}

/// Rank 0 draws, everybody gets the same bits.
pub(super) fn initial_weights(task: &Task, comm: &dyn Communicator) -> Result<Vec<f32>, TrainError> {
    let mut theta = match comm.rank() {
        0 => task.hyper.init.draw(task.network, task.hyper.seed),
        _ => vec![0.0; task.network.theta_len()],
    };
    comm.broadcast(0, Values::F32(&mut theta))?;
    Ok(theta)
}

impl<'a> Training<'a> {
    pub(super) fn state<'s>(&'s self, stepper: &'s Stepper) -> State<'s> {
        let (theta, optimizer) = (&self.theta, self.optimizer.as_ref());
        State { cursor: self.cursor, theta, sigma: &self.sigma, scales: stepper.scales(), applied: &[], optimizer }
    }

    fn restore(&mut self, snapshot: &Snapshot, stepper: &mut Stepper) -> Result<(), String> {
        snapshot.restore("theta", &mut self.theta)?;
        snapshot.restore("sigma", &mut self.sigma)?;
        snapshot.restore("scales", stepper.scales_mut())?;
        for (name, vector) in self.optimizer.state_mut() {
            snapshot.restore(name, vector)?;
        }
        self.cursor = snapshot.cursor;
        Ok(())
    }

    /// Runs epochs until the ranks hold the same weights, and records what they came to. Tells how training ended, if it did.
    fn round(
        &mut self,
        plan: StepPlan,
        stepper: &mut Stepper,
        learner: &mut Learner,
        exchange: &mut dyn Exchange,
        job: &mut dyn Job,
    ) -> Result<Ending, TrainError> {
        if self.opened.is_none() {
            let phases = Phases::open(self.comm, self.clock, job, self.wanted);
            self.opened = Some(Opened { start: self.clock.now(), before: self.comm.traffic(), phases, spent: None });
            self.sums = EpochSums::default();
        }
        if !self.due {
            self.until_met(plan, stepper, learner, exchange, job)?;
            if self.cursor.step_in_epoch > 0 {
                self.part(stepper)?;
                return Ok(Ending::Stopped);
            }
            self.due = true;
        }
        self.enter(stepper);
        let turn = self.close_epoch(stepper, job)?;
        let over = self.cursor.epoch == self.task.hyper.epochs;
        if over || turn == Turn::Stop {
            self.part(stepper)?;
        }
        Ok(if turn == Turn::Stop && !over { Ending::Stopped } else { Ending::Finished })
    }

    /// Runs whole epochs until the ranks hold the same weights: one, unless they take epochs by themselves. When a rank
    /// wishes to stop within an epoch, the cursor says so.
    fn until_met(
        &mut self,
        plan: StepPlan,
        stepper: &mut Stepper,
        learner: &mut Learner,
        exchange: &mut dyn Exchange,
        job: &mut dyn Job,
    ) -> Result<(), TrainError> {
        let hyper = &self.task.hyper;
        loop {
            self.epoch(plan, stepper, learner, exchange, job)?;
            if self.cursor.step_in_epoch < plan.steps() as u64 {
                return Ok(());
            }
            self.cursor.epoch += 1;
            self.cursor.step_in_epoch = 0;
            if hyper.local.is_none_or(|local| local.meets_after(self.cursor.epoch, hyper.epochs)) {
                return Ok(());
            }
        }
    }

    /// Runs the steps of one epoch, or fewer when a rank wishes to stop.
    fn epoch(
        &mut self,
        plan: StepPlan,
        stepper: &mut Stepper,
        learner: &mut Learner,
        exchange: &mut dyn Exchange,
        job: &mut dyn Job,
    ) -> Result<(), TrainError> {
        let hyper = &self.task.hyper;
        let mut order = std::mem::take(&mut self.order);
        epoch_order(self.task.train.len(), hyper.seed, self.cursor.epoch, &mut order);
        for s in self.cursor.step_in_epoch as usize..plan.steps() {
            self.enter(stepper);
            let wish = job.turn(&self.state(stepper))?;
            let run = &order[plan.run(s)];
            let span = 1.0 / plan.steps() as f64;
            self.rate = hyper.schedule.at(self.cursor.epoch as f64 + s as f64 * span, span);
            self.cursor.step += 1;
            self.cursor.step_in_epoch += 1;
            self.cursor.samples += run.len() as u64;
            let Some(sum) = self.step(plan, stepper, learner, exchange, run, wish)? else { continue };
            if !sum.loss.is_finite() {
                return Err(self.diverged(self.cursor.epoch + 1));
            }
            let sums = &mut self.sums;
            sums.tally += Tally { loss: sum.loss.into(), correct: sum.correct as u64, samples: sum.samples };
            sums.own += sum.own as u64;
            sums.turn = sum.turn;
            // Behind an epoch's last step its record comes first: see `keep`.
            let turn = sums.turn;
            if turn != Turn::GoOn && self.cursor.step_in_epoch < plan.steps() as u64 {
                job.save(&self.state(stepper))?;
            }
            if turn == Turn::Stop {
                break;
            }
        }
        self.order = order;
        Ok(())
    }

    /// Takes the step that the cursor stands behind. Gives the sums that all ranks agree on; nothing after a step of this
    /// rank's own.
    fn step(
        &mut self,
        plan: StepPlan,
        stepper: &mut Stepper,
        learner: &mut Learner,
        exchange: &mut dyn Exchange,
        run: &[u32],
        wish: Turn,
    ) -> Result<Option<StepSum>, TrainError> {
        let Cursor { epoch, step: number, .. } = self.cursor;
        if let Some(sampled) = &mut self.sampled {
            return sampled.step(exchange, &mut self.theta, &self.sigma, epoch, number, run, wish).map(Some);
        }
        let weights = Weights { theta: &self.theta, sigma: &self.sigma };
        if self.local.is_none() {
            let sum = stepper.sum(learner, exchange, weights, epoch, run, wish)?;
            self.update(stepper, run.len());
            return Ok(Some(sum));
        }
        let own = LocalSgd::slice(exchange, run);
        let sum = stepper.sum(learner, &mut Alone, weights, epoch, own, wish)?;
        if !own.is_empty() {
            self.update(stepper, own.len());
        }
        let local = self.local.as_mut().expect("it was there");
        local.note(sum, run.len());
        if !local.meets(self.cursor, plan.steps(), self.task.hyper.epochs) {
            return Ok(None);
        }
        local.average(exchange, &mut self.theta, &mut self.sigma, self.optimizer.as_mut()).map(Some)
    }

    /// Follows the gradient that was summed over so many samples.
    fn update(&mut self, stepper: &mut Stepper, samples: usize) {
        let step = Step { number: self.cursor.step, rate: self.rate, scale: 1.0 / samples as f64 };
        self.optimizer.step(step, stepper.grad(), &mut self.theta, team());
        for (running, sum) in self.sigma.iter_mut().zip(stepper.moments()) {
            *running += MOMENTS_SHARE * (sum / samples as f32 - *running);
        }
    }

    pub(super) fn diverged(&self, epoch: u64) -> TrainError {
        TrainError::Diverged { epoch, step: self.cursor.step, rate: self.rate }
    }
}
