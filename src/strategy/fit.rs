//! The loop that the data-parallel strategies share: epochs of synchronous steps.
//!
//! A strategy differs only in how a step's sum comes together (its [`Exchange`]). The sum is the same
//! bits on every rank, every rank applies the same update, and so all replicas stay equal; that is
//! checked after every epoch.

use super::evaluate::Evaluator;
use super::learner::{Learner, Weights};
use super::local_sgd::LocalSgd;
use super::modelled::{Phases, together};
use super::sampled::Sampled;
use super::single::Alone;
use super::stepper::{StepSum, Stepper, bytes_per_exchange};
use super::team::team;
use super::{Cursor, Exchange, Job, Snapshot, State, Task, TrainError, Turn};
use crate::comm::{Communicator, Metered, Reduce, Traffic, Values};
use crate::data::order::{StepPlan, balanced, epoch_order};
use crate::device::Clock;
use crate::event::{EpochRecord, Event, RankRecord};
use crate::nn::{Flavor, Program, Tally};
use crate::optim::{Optimizer, Step};
use xxhash_rust::xxh3::xxh3_64;

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
struct EpochSums {
    tally: Tally,
    /// Samples of which this rank computed the gradients.
    own: u64,
    turn: Turn,
}

/// What the epochs carry along.
struct Training<'a> {
    task: &'a Task<'a>,
    comm: &'a Metered<'a>,
    evaluator: Evaluator<'a>,
    theta: Vec<f32>,
    sigma: Vec<f32>,
    optimizer: Box<dyn Optimizer>,
    /// Proposals instead of gradients, where the task asks for them.
    sampled: Option<Sampled<'a>>,
    /// Steps of this rank's own and their averaging, where the task asks for them.
    local: Option<LocalSgd>,
    cursor: Cursor,
    order: Vec<u32>,
    rate: f64,
}

pub(super) fn train<'a>(
    task: &Task,
    comm: &'a Metered,
    clock: &dyn Clock,
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
        evaluator: Evaluator::new(&program),
        theta: initial_weights(task, comm)?,
        sigma: task.network.initial_sigma(),
        optimizer: task.hyper.rule.build(task.network.theta_len(), task.hyper.weight_decay),
        sampled: Sampled::of(task, &program, clock, global.div_ceil(exchange.parts()))?,
        local,
        cursor: Cursor::default(),
        order: Vec::with_capacity(task.train.len()),
        rate: 0.0,
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
    let (mut ending, mut last, mut test) = (Ending::Finished, None, Tally::default());
    let (mut loop_s, mut talk_s) = (0.0, 0.0);
    let wanted = Phases::wanted(comm, clock, job)?;
    if let Some(machine) = clock.machine() {
        together(comm, clock, machine)?; // the first phase begins when all have the weights
    }
    while training.cursor.epoch < task.hyper.epochs {
        let (start, before) = (clock.now(), comm.traffic());
        let mut phases = Phases::open(comm, clock, job, wanted);
        let sums = training.until_met(plan, &mut stepper, &mut learner, exchange, job)?;
        let seconds = (clock.now() - start).0;
        let traffic = comm.traffic() - before;
        if training.cursor.step_in_epoch > 0 {
            ending = Ending::Stopped;
            break;
        }
        phases.end("train", job)?;
        // Measuring and keeping books is no part of what the emulated machines are timed for.
        clock.machine().inspect(|machine| machine.hold(true));
        let mut record = training.record(sums, seconds, traffic, job.memory_mb())?;
        record.energy_j = phases.measured_joules("train");
        record.modelled_epoch_s = phases.longest("train");
        record.modelled_energy_j = phases.joules("train");
        phases.tell(record.epoch, job);
        loop_s += record.epoch_s;
        talk_s += record.comm_s + record.wait_s;
        let stopped = sums.turn == Turn::Stop && training.cursor.epoch < task.hyper.epochs;
        if stopped || training.cursor.epoch == task.hyper.epochs {
            test = training.measure_everywhere(task.test)?;
            record.test_acc = test.accuracy();
        }
        clock.machine().inspect(|machine| machine.hold(false));
        job.emit(Event::Epoch(record.clone()));
        last = Some(record);
        training.keep(&stepper, sums.turn, job)?;
        if stopped {
            ending = Ending::Stopped;
            break;
        }
    }
    if last.is_none() && ending == Ending::Finished {
        // Resumed behind its last epoch.
        test = training.measure_everywhere(task.test)?;
    }
    Ok(Fit {
        cursor: training.cursor,
        ending,
        last,
        test,
        loop_s,
        comm_share: if loop_s > 0.0 { talk_s / loop_s } else { 0.0 },
        theta: training.theta,
        sigma: training.sigma,
        lost: Vec::new(),
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

impl Training<'_> {
    fn state<'a>(&'a self, stepper: &'a Stepper) -> State<'a> {
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

    /// Runs whole epochs until the ranks hold the same weights: one, unless they take epochs by themselves. When a rank
    /// wishes to stop within an epoch, the cursor says so.
    fn until_met(
        &mut self,
        plan: StepPlan,
        stepper: &mut Stepper,
        learner: &mut Learner,
        exchange: &mut dyn Exchange,
        job: &mut dyn Job,
    ) -> Result<EpochSums, TrainError> {
        let (mut sums, hyper) = (EpochSums::default(), &self.task.hyper);
        loop {
            self.epoch(plan, stepper, learner, exchange, job, &mut sums)?;
            if self.cursor.step_in_epoch < plan.steps() as u64 {
                return Ok(sums);
            }
            self.cursor.epoch += 1;
            self.cursor.step_in_epoch = 0;
            if hyper.local.is_none_or(|local| local.meets_after(self.cursor.epoch, hyper.epochs)) {
                return Ok(sums);
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
        sums: &mut EpochSums,
    ) -> Result<(), TrainError> {
        let hyper = &self.task.hyper;
        let mut order = std::mem::take(&mut self.order);
        epoch_order(self.task.train.len(), hyper.seed, self.cursor.epoch, &mut order);
        for s in self.cursor.step_in_epoch as usize..plan.steps() {
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
            sums.tally += Tally { loss: sum.loss.into(), correct: sum.correct as u64, samples: sum.samples };
            sums.own += sum.own as u64;
            sums.turn = sum.turn;
            // Behind an epoch's last step its record comes first: see `keep`.
            if sums.turn != Turn::GoOn && self.cursor.step_in_epoch < plan.steps() as u64 {
                job.save(&self.state(stepper))?;
            }
            if sums.turn == Turn::Stop {
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

    /// Shows the state behind an epoch to the outside, as far as it wants it.
    fn keep(&self, stepper: &Stepper, turn: Turn, job: &mut dyn Job) -> Result<(), TrainError> {
        if turn != Turn::GoOn {
            job.save(&self.state(stepper))?;
        }
        if job.keeps_epochs() {
            job.epoch_ended(&self.state(stepper))?;
        }
        Ok(())
    }

    /// This rank's share of a part of the data.
    fn measure(&mut self, samples: &dyn crate::data::Samples) -> Tally {
        let mine = balanced(samples.len(), self.comm.size(), self.comm.rank());
        let weights = Weights { theta: &self.theta, sigma: &self.sigma };
        self.evaluator.evaluate(weights, samples, mine)
    }

    /// All of a part, shared out over the ranks.
    fn measure_everywhere(&mut self, samples: &dyn crate::data::Samples) -> Result<Tally, TrainError> {
        let mine = self.measure(samples);
        let mut sums = [mine.loss, mine.correct as f64, mine.samples as f64];
        self.comm.all_reduce(Values::F64(&mut sums), Reduce::Sum)?;
        Ok(Tally { loss: sums[0], correct: sums[1] as u64, samples: sums[2] as u64 })
    }

    /// Measures the validation part, gathers what every rank spent and compares the replicas.
    fn record(
        &mut self,
        sums: EpochSums,
        seconds: f64,
        traffic: Traffic,
        memory_mb: f64,
    ) -> Result<EpochRecord, TrainError> {
        let (tally, validation) = (sums.tally, self.measure(self.task.validation));
        let hash = xxh3_64(bytemuck::cast_slice(&self.theta));
        let mine = [
            (hash >> 32) as f64,
            (hash & 0xffff_ffff) as f64,
            validation.loss,
            validation.correct as f64,
            validation.samples as f64,
            sums.own as f64,
            seconds,
            traffic.talked.0,
            traffic.waited.0,
            traffic.sent.0 as f64,
            traffic.received.0 as f64,
            memory_mb,
        ];
        let mut all = vec![0.0; mine.len() * self.comm.size()];
        self.comm.all_gather(bytemuck::cast_slice(&mine), bytemuck::cast_slice_mut(&mut all))?;
        let rows: Vec<&[f64]> = all.chunks_exact(mine.len()).collect();
        self.check_replicas(&rows)?;
        // The losses were those before the epoch's last update. Replicas are equal: all ranks find this or none.
        if !self.theta.iter().all(|weight| weight.is_finite()) {
            return Err(self.diverged(self.cursor.epoch));
        }
        let sum = |column: usize| rows.iter().map(|row| row[column]).sum::<f64>();
        let mean = |column: usize| sum(column) / rows.len() as f64;
        let epoch_s = rows.iter().map(|row| row[6]).fold(0.0, f64::max);
        let validation = Tally { loss: sum(2), correct: sum(3) as u64, samples: sum(4) as u64 };
        let ranks: Vec<RankRecord> = rows.iter().enumerate().map(|(rank, row)| rank_record(rank, row)).collect();
        let trainers = ranks.iter().filter(|r| r.samples > 0).count().max(1);
        Ok(EpochRecord {
            epoch: self.cursor.epoch,
            step: self.cursor.step,
            samples: self.cursor.samples,
            train_loss: tally.mean_loss().unwrap_or(0.0),
            train_acc: tally.accuracy().unwrap_or(0.0),
            val_loss: validation.mean_loss(),
            val_acc: validation.accuracy(),
            test_acc: None,
            lr: self.rate,
            epoch_s,
            samples_per_s: tally.samples as f64 / epoch_s.max(1e-9),
            compute_s: ranks.iter().filter(|r| r.samples > 0).map(|r| r.compute_s).sum::<f64>() / trainers as f64,
            comm_s: mean(7),
            wait_s: mean(8),
            bytes_sent: sum(9) as u64,
            energy_j: None,
            modelled_epoch_s: None,
            modelled_energy_j: None,
            weights_hash: hash,
            ranks,
        })
    }

    fn diverged(&self, epoch: u64) -> TrainError {
        TrainError::Diverged { epoch, step: self.cursor.step, rate: self.rate }
    }

    fn check_replicas(&self, rows: &[&[f64]]) -> Result<(), TrainError> {
        let hash = |row: &[f64]| ((row[0] as u64) << 32) | row[1] as u64;
        match rows.iter().position(|row| hash(row) != hash(rows[0])) {
            None => Ok(()),
            Some(rank) => Err(TrainError::Replicas {
                epoch: self.cursor.epoch,
                rank,
                other: hash(rows[rank]),
                expected: hash(rows[0]),
            }),
        }
    }
}

fn rank_record(rank: usize, row: &[f64]) -> RankRecord {
    RankRecord {
        rank,
        samples: row[5] as u64,
        compute_s: (row[6] - row[7] - row[8]).max(0.0),
        comm_s: row[7],
        wait_s: row[8],
        bytes_sent: row[9] as u64,
        bytes_recv: row[10] as u64,
        rss_mb: row[11],
        grid: None,
    }
}
