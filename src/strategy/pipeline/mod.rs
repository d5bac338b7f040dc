//! The network cut into stages, one a rank: a chain of devices that learn each for itself, or a pipeline with gradients
//! that flow back.
//!
//! | file | what it is |
//! |---|---|
//! | `layout` | which rank is which stage, and what of the network it holds |
//! | `stage` | a rank's part of network, weights and optimizer |
//! | `channel` | messages between stages: activations, credits, gradients |
//! | `local` | local learning |
//! | `backprop` | the interpreter of schedules |
//! | `measure` | validation and test samples through the chain |
//! | `whole` | the whole's weights and state out of the stages' |
//! | `lone` | what a sample's way through the chain would take, without ranks |
//! | `shuttle` | the traffic of a chain without its work, to be timed |
//! | `records` | what the ranks tell each other after an epoch |

mod backprop;
mod channel;
mod layout;
mod local;
mod lone;
mod measure;
mod records;
mod reduce;
mod replay;
mod shuttle;
mod stage;
mod tested;
mod watch;
mod whole;

pub use lone::{cuts_behind_heads, lone_sample};
pub use shuttle::Shuttle;

use super::exits::{Exits, Way};
use super::fit::initial_weights;
use super::learner::MOST_ROWS;
use super::modelled::{Phases, together};
use super::portion::{Gradient, Portion};
use super::sampling::Proposals;
use super::share::Share;
use super::{Cursor, Ending, Fit, Job, JobError, State, Task, TrainError, Turn};
use crate::comm::{Communicator, Group, Metered};
use crate::data::Samples;
use crate::data::order::{StepPlan, balanced, epoch_order};
use crate::device::Clock;
use crate::event::{EpochRecord, Event};
use crate::nn::{Network, Tally};
use crate::optim::Optimizer;
use crate::plan::pipeline::{Schedule, ScheduleKind};
use backprop::Backprop;
use channel::{Inlet, Outlet};
use layout::Place;
use local::{Local, StageSums};
use measure::{Measure, Seen};
use records::Books;
use reduce::Reduction;
use replay::Replay;
use stage::Stage;
use tested::Tested;
use watch::Watch;
use whole::Taker;

/// How a network is cut into stages, and how these work together.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// Trunk blocks before each cut, ascending; the stages are one more.
    pub cuts: Vec<usize>,
    /// How the stages learn.
    pub learn: Learn,
    /// Batches that may wait before a stage.
    pub window: usize,
    /// When samples leave early while a part of the data is measured; none: never.
    pub exits: Option<Exits>,
}

/// How the stages learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learn {
    /// Each on the loss of its own exit head.
    Local {
        /// Whether a newer batch ends the remaining proposals.
        preempt: bool,
        /// Batches kept to learn from again.
        replay: usize,
    },
    /// With gradients that flow back.
    Backprop {
        /// The order of the work.
        schedule: ScheduleKind,
        /// Micro-batches of a chain's part of a step.
        micro_batches: usize,
    },
}

impl Pipeline {
    /// The number of stages.
    pub fn stages(&self) -> usize {
        self.cuts.len() + 1
    }

    /// The stages as networks of their own.
    pub fn networks(&self, network: &Network) -> Vec<Network> {
        (0..self.stages()).map(|stage| Share::of(network, &self.cuts, stage).part.network).collect()
    }

    /// The first and the last layer of each stage.
    pub fn layers(&self, network: &Network) -> Vec<String> {
        (0..self.stages()).map(|stage| Share::of(network, &self.cuts, stage).named()).collect()
    }

    /// What the stage takes that takes most: see [`Pipeline::memory`].
    pub fn most_memory(&self, network: &Network, hyper: &super::Hyper, replicas: usize) -> u64 {
        (0..self.stages()).map(|stage| self.memory(network, hyper, replicas, stage)).max().unwrap_or(0)
    }

    /// Bytes that a stage's weights, gradients, optimizer and workspaces take, predicted, for a global batch on so many
    /// replicas of each stage.
    pub fn memory(&self, network: &Network, hyper: &super::Hyper, replicas: usize, stage: usize) -> u64 {
        let share = Share::of(network, &self.cuts, stage);
        let parameters = share.part.network.theta_len() as u64 * 4;
        let vectors = hyper.rule.vectors() as u64;
        let (rows, held, sums) = match self.learn {
            Learn::Local { .. } => (hyper.global_batch, 1, 1),
            Learn::Backprop { schedule, micro_batches } => {
                let rows = Backprop::rows(hyper.global_batch, replicas, micro_batches, hyper.micro_chunk);
                let pieces = hyper.global_batch.div_ceil(replicas).div_ceil(rows).max(1);
                (rows, Schedule::new(schedule, self.stages(), pieces as u32).stored(stage), 2)
            }
        };
        let kept = matches!(self.learn, Learn::Backprop { schedule: ScheduleKind::ZeroBubbleH1, .. });
        let program = share.program(matches!(self.learn, Learn::Backprop { .. }) && stage > 0, kept);
        parameters * (1 + vectors + sums) + program.workspace_bytes(rows, true) * held as u64
    }
}

/// A stage under either way of learning.
enum Trainer<'a> {
    Local(Box<Local<'a>>),
    Backprop(Box<Backprop<'a>>),
}

impl<'a> Trainer<'a> {
    fn stage(&self) -> &Stage<'a> {
        match self {
            Self::Local(local) => &local.stage,
            Self::Backprop(backprop) => &backprop.stage,
        }
    }
}

/// Trains a network whose stages are the ranks.
///
/// # Collective
/// Every rank must call it with an equal task.
///
/// # Panics
/// If the task has no [`Pipeline`], or one that does not fit network and ranks.
pub(super) fn train(task: &Task, comm: &Metered, clock: &dyn Clock, job: &mut dyn Job) -> Result<Fit, TrainError> {
    let pipeline = task.pipeline.expect("the configuration was checked");
    let place = Place::of(comm.rank(), comm.size(), pipeline.stages());
    let shares: Vec<Share> = (0..place.stages).map(|stage| Share::of(task.network, &pipeline.cuts, stage)).collect();
    let share = &shares[place.stage];
    let backward = matches!(pipeline.learn, Learn::Backprop { .. });
    let kept = matches!(pipeline.learn, Learn::Backprop { schedule: ScheduleKind::ZeroBubbleH1, .. });
    let program = share.program(backward && !place.is_first(), kept);
    // Every stage could draw its own weights: that one tells all is no part of what the machines do.
    clock.machine().inspect(|machine| machine.hold(true));
    let whole = initial_weights(task, comm);
    clock.machine().inspect(|machine| machine.hold(false));
    let whole = whole?;
    let stage = Stage { place, portion: Portion::new(task, clock, share, &program, &whole) };
    let trainer = trainer(stage, pipeline, comm)?;
    let mut run = Run { task, pipeline, shares: &shares, comm, clock, trainer, cursor: Cursor::default() };
    if let Some(snapshot) = task.resume {
        run.restore(snapshot).map_err(TrainError::Resume)?;
    }
    run.train(job).map_err(|error| match error {
        TrainError::Job(JobError(text)) => {
            TrainError::Job(JobError(format!("stage {} ({}): {text}", place.stage, share.named())))
        }
        other => other,
    })
}

/// Which rank holds which layers: whoever reads of a rank that is gone learns which stage it was.
fn who_is_who(shares: &[Share], replicas: usize) -> String {
    let place = |stage: usize| match replicas {
        1 => format!("rank {stage}"),
        _ => format!("ranks {} to {}", stage * replicas, (stage + 1) * replicas - 1),
    };
    let stages = shares.iter().enumerate().map(|(s, share)| format!("stage {s} ({}) on {}", share.named(), place(s)));
    stages.collect::<Vec<_>>().join(", ")
}

fn trainer<'a>(stage: Stage<'a>, pipeline: &Pipeline, comm: &'a Metered<'a>) -> Result<Trainer<'a>, TrainError> {
    let (task, place, hyper) = (stage.task, stage.place, &stage.task.hyper);
    let global = hyper.global_batch.min(task.train.len());
    Ok(match pipeline.learn {
        Learn::Local { preempt, replay } => {
            let dims = stage.share.part.network.shapes()[0].elements();
            let network = &stage.share.part.network;
            let sampler = hyper.sampler.as_ref().map(|settings| Proposals::new(settings, network, hyper.seed));
            Trainer::Local(Box::new(Local {
                inlet: place.before().map(|rank| Inlet::new(comm, rank, dims)),
                outlet: place.after().map(|rank| Outlet::new(comm, rank, stage.share.handed_on(), pipeline.window)),
                workspace: match &sampler {
                    // Proposals look at no gradient, and where they are incremental not at the program either.
                    Some(Ok(sampler)) if sampler.is_incremental() => {
                        stage.program.forward_workspace(global.clamp(1, MOST_ROWS))
                    }
                    Some(_) => stage.program.forward_workspace(global.max(1)),
                    None => stage.program.workspace(global.max(1)),
                },
                gradient: if sampler.is_some() { Gradient::default() } else { stage.gradient() },
                sampler: sampler.transpose()?,
                replay: Replay::new(replay),
                preempt,
                stage,
            }))
        }
        Learn::Backprop { schedule, micro_batches } => {
            let twins = (place.replicas > 1).then(|| Group::new(comm, place.twins()));
            let chunks = hyper.micro_chunk.map(|chunk| global.div_ceil(chunk));
            let reduction = Reduction::new(&stage.share.part.network, twins, chunks);
            Trainer::Backprop(Box::new(Backprop::new(stage, comm, schedule, micro_batches, reduction)))
        }
    })
}

/// What the epochs carry along.
struct Run<'a> {
    task: &'a Task<'a>,
    pipeline: &'a Pipeline,
    comm: &'a Metered<'a>,
    clock: &'a dyn Clock,
    trainer: Trainer<'a>,
    shares: &'a [Share],
    cursor: Cursor,
}

impl Run<'_> {
    fn train(mut self, job: &mut dyn Job) -> Result<Fit, TrainError> {
        let (task, comm, clock) = (self.task, self.comm, self.clock);
        let plan = StepPlan::new(task.train.len(), task.hyper.global_batch);
        job.emit(Event::Started {
            parameters: task.network.theta_len(),
            train_samples: task.train.len(),
            global_batch: task.hyper.global_batch.min(task.train.len()),
            steps_per_epoch: plan.steps() as u64,
            bytes_per_exchange: self.bytes_per_batch(),
        });
        job.emit(Event::Note { text: who_is_who(self.shares, self.trainer.stage().place.replicas) });
        let mut watch = Watch::new(clock, self.trainer.stage().place.stage);
        let mut order = Vec::with_capacity(task.train.len());
        let wanted = Phases::wanted(comm, clock, job)?;
        if let Some(machine) = clock.machine() {
            together(comm, clock, machine)?; // the first phase begins when all have the weights
        }
        let mut fit = Fit::begun();
        let mut talk_s = 0.0;
        while self.cursor.epoch < task.hyper.epochs {
            epoch_order(task.train.len(), task.hyper.seed, self.cursor.epoch, &mut order);
            watch.epoch(self.cursor.epoch);
            let mut books = Books::open(comm, clock, self.carried(), job, wanted);
            let sums = self.epoch(&order, plan, &mut watch, job)?;
            books.trained(job)?;
            if self.cursor.step_in_epoch < plan.steps() as u64 {
                fit.ending = Ending::Stopped;
                if matches!(self.trainer, Trainer::Local(_)) {
                    self.save(job, |job, state| job.save(state))?;
                }
                break;
            }
            self.cursor.epoch += 1;
            self.cursor.step_in_epoch = 0;
            let (mut record, exit_share) = self.close_epoch(&sums, books, job)?;
            watch.exit_share = exit_share;
            fit.loop_s += record.epoch_s;
            talk_s += record.comm_s + record.wait_s;
            let stopped = sums.turn == Turn::Stop && self.cursor.epoch < task.hyper.epochs;
            if stopped || self.cursor.epoch == task.hyper.epochs {
                fit.test = self.test(job)?;
                record.test_acc = fit.test.accuracy();
            }
            job.emit(Event::Epoch(record.clone()));
            fit.last = Some(record);
            if sums.turn != Turn::GoOn {
                self.save(job, |job, state| job.save(state))?;
            }
            if job.keeps_epochs() {
                self.save(job, |job, state| job.epoch_ended(state))?;
            }
            if stopped {
                fit.ending = Ending::Stopped;
                break;
            }
        }
        if fit.ending == Ending::Finished && fit.last.is_none() {
            // Resumed behind its last epoch.
            fit.test = self.test(job)?;
        }
        fit.cursor = self.cursor;
        fit.comm_share = if fit.loop_s > 0.0 { talk_s / fit.loop_s } else { 0.0 };
        fit.theta = whole::theta(self.trainer.stage(), self.shares, comm)?;
        fit.sigma = whole::sigma(self.trainer.stage(), self.shares, comm)?;
        Ok(fit)
    }

    fn epoch(
        &mut self,
        order: &[u32],
        plan: StepPlan,
        watch: &mut Watch,
        job: &mut dyn Job,
    ) -> Result<StageSums, TrainError> {
        let (comm, shares) = (self.comm, self.shares);
        let mut save = |stage: &Stage, scales: &[f32], cursor: Cursor, job: &mut dyn Job| {
            whole::save(stage, shares, scales, cursor, comm, job, |job, state| job.save(state))
        };
        match &mut self.trainer {
            Trainer::Local(local) => local.epoch(order, plan, &mut self.cursor, watch, job, &mut save),
            Trainer::Backprop(backprop) => backprop.epoch(order, plan, &mut self.cursor, watch, job, &mut save),
        }
    }

    /// Validates, tells everybody what the epoch came to, and puts the whole's weights together.
    fn close_epoch(
        &mut self,
        sums: &StageSums,
        mut books: Books,
        job: &mut dyn Job,
    ) -> Result<(EpochRecord, Option<f64>), TrainError> {
        let carried = self.carried();
        let seen = self.measure(self.task.validation, self.pipeline.exits.as_ref())?;
        books.measured(job)?;
        let stage = self.trainer.stage();
        let whole = whole::theta(stage, self.shares, self.comm)?;
        let sampler = match &self.trainer {
            Trainer::Local(local) => local.sampler.as_ref(),
            Trainer::Backprop(_) => None,
        };
        let record = books.close(stage, self.cursor, sums, &seen, sampler, carried, &whole, job)?;
        if let Trainer::Local(local) = &mut self.trainer
            && let Some(sampler) = &mut local.sampler
        {
            sampler.reset_counts();
        }
        let measured = self.task.validation.len() as f64;
        Ok((record, (measured > 0.0).then(|| seen.left.samples as f64 / measured)))
    }

    /// Bytes of activations and labels, of gradients and of credits since the beginning.
    fn carried(&self) -> [u64; 3] {
        match &self.trainer {
            Trainer::Local(local) => {
                let down = local.outlet.as_ref().map_or(0, |outlet| outlet.carried.data);
                [down, 0, local.inlet.as_ref().map_or(0, |inlet| inlet.carried.control)]
            }
            Trainer::Backprop(backprop) => {
                let (down, up) = backprop.carried();
                [down, up, 0]
            }
        }
    }

    /// Payload that the busiest rank sends in a step: what it hands on, what it sends back, and its share of the sum over
    /// replicas.
    fn bytes_per_batch(&self) -> u64 {
        let replicas = self.trainer.stage().place.replicas;
        let rows = (self.task.hyper.global_batch.min(self.task.train.len()).div_ceil(replicas)) as u64;
        let back = matches!(self.pipeline.learn, Learn::Backprop { .. });
        let of_stage = |(stage, share): (usize, &Share)| {
            let network = &share.part.network;
            let down = share.export.map_or(0, |_| rows * (share.handed_on() as u64 + 1));
            let up = if back && stage > 0 { rows * network.shapes()[0].elements() as u64 } else { 0 };
            let vector = (network.theta_len() + network.sigma_len()) as u64;
            4 * (down + up) + 4 * vector * 2 * (replicas as u64 - 1) / replicas as u64
        };
        self.shares.iter().enumerate().map(of_stage).max().unwrap_or(0)
    }

    fn save(&self, job: &mut dyn Job, take: Taker) -> Result<(), TrainError> {
        let scales = match &self.trainer {
            Trainer::Local(_) => &[][..],
            Trainer::Backprop(backprop) => backprop.scales(),
        };
        whole::save(self.trainer.stage(), self.shares, scales, self.cursor, self.comm, job, take)
    }

    fn restore(&mut self, snapshot: &super::Snapshot) -> Result<(), String> {
        match &mut self.trainer {
            Trainer::Local(local) => whole::restore(&mut local.stage, self.shares, &mut [], snapshot)?,
            Trainer::Backprop(backprop) => backprop.restore(self.shares, snapshot)?,
        }
        self.cursor = snapshot.cursor;
        Ok(())
    }

    /// Sends this chain's share of a part of the data through it.
    fn measure(&mut self, samples: &dyn Samples, exits: Option<&Exits>) -> Result<Seen, TrainError> {
        let (comm, window) = (self.comm, self.pipeline.window);
        let rows = self.task.hyper.global_batch.clamp(1, MOST_ROWS);
        let (stage, workspace) = match &mut self.trainer {
            Trainer::Local(local) => (&local.stage, &mut local.workspace),
            Trainer::Backprop(backprop) => backprop.measuring(rows),
        };
        let mine = balanced(samples.len(), stage.place.replicas, stage.place.replica);
        Measure { stage, comm, window, exits }.run(samples, mine, workspace)
    }

    /// Measures the test part: every head on every sample, then, where samples may leave early, with those exits.
    fn test(&mut self, job: &mut dyn Job) -> Result<Tally, TrainError> {
        let all = self.measure(self.task.test, None)?;
        let seen = match &self.pipeline.exits {
            Some(exits) => self.measure(self.task.test, Some(exits))?,
            None => all.clone(),
        };
        let ways = self.ways()?;
        let tested = Tested { part: "test", all: &all, seen: &seen, ways };
        tested.tell(self.trainer.stage(), self.pipeline, self.comm, job)
    }

    /// What it takes until each stage answers a sample that is alone in the chain: one is sent through.
    fn ways(&mut self) -> Result<Option<Vec<Way>>, TrainError> {
        let (clock, comm) = (self.clock, self.comm);
        let Some(machine) = clock.machine() else { return Ok(None) };
        // All machines begin at one time.
        together(comm, clock, machine)?;
        let (began, samples) = (machine.ledger(), self.task.train);
        let (window, stage, workspace) = match &mut self.trainer {
            Trainer::Local(local) => (self.pipeline.window, &local.stage, &mut local.workspace),
            Trainer::Backprop(backprop) => {
                let (stage, workspace) = backprop.measuring(1);
                (self.pipeline.window, stage, workspace)
            }
        };
        let seen = Measure { stage, comm, window, exits: None }.run(samples, 0..samples.len().min(1), workspace)?;
        let ledgers = [seen.answered - began, machine.ledger() - began];
        let active = |ledger| {
            let energy = machine.energy(&ledger);
            (energy.compute + energy.send + energy.receive).0
        };
        let mine = [ledgers[0].time.0, active(ledgers[0]), active(ledgers[1])];
        tested::ways(stage, comm, mine).map(Some)
    }
}

impl Stage<'_> {
    /// This stage's part of the state.
    fn state(&self, cursor: Cursor) -> State<'_> {
        let optimizer: &dyn Optimizer = self.optimizer.as_ref();
        State { cursor, theta: &self.theta, sigma: &self.sigma, scales: &[], applied: &[], optimizer }
    }
}

/// The right answers of a measured part: of all samples, each where it left.
fn total(stages: impl Iterator<Item = Tally>) -> Tally {
    let mut sum = Tally::default();
    stages.for_each(|tally| sum += tally);
    sum
}
