//! Learning with gradients that flow back: one interpreter for every schedule.
//!
//! A step's global batch is cut into the chains' parts and each part into micro-batches; a schedule says in which order
//! a stage works on them. Replicas of a stage add up their gradients, and every stage makes its own update: together the
//! step that one rank would make with the same global batch.

use super::channel::{Gradients, Inlet, Outlet};
use super::local::StageSums;
use super::reduce::{Added, Into, Reduction};
use super::stage::Stage;
use super::watch::Watch;
use super::whole::{self, Save};
use crate::comm::{Communicator, Note, Reduce, Values};
use crate::data::Visit;
use crate::data::order::{StepPlan, balanced};
use crate::device::Pass;
use crate::nn::{Tally, Workspace};
use crate::optim::Step;
use crate::plan::pipeline::{Instruction, Schedule, ScheduleKind};
use crate::strategy::modelled::aside;
use crate::strategy::parcel::Parcel;
use crate::strategy::portion::{At, copy_rows};
use crate::strategy::share::Share;
use crate::strategy::{Cursor, Job, Snapshot, TrainError, Turn};
use std::ops::Range;

/// A stage, its links, and what it holds of a step.
pub(super) struct Backprop<'a> {
    pub stage: Stage<'a>,
    comm: &'a dyn Communicator,
    kind: ScheduleKind,
    micro_batches: usize,
    inlet: Option<Inlet<'a>>,
    outlet: Option<Outlet<'a>>,
    up: Option<Gradients<'a>>,
    down: Option<Gradients<'a>>,
    /// Memory for micro-batches; as many as the schedule holds at once.
    free: Vec<Workspace>,
    schedule: Schedule,
    reduction: Reduction<'a>,
}

/// A micro-batch between its forward and its backward pass.
struct Held {
    workspace: Workspace,
    labels: Vec<u32>,
    /// Whether a pass still to come needs its memory.
    open: usize,
}

/// What a step's passes are made on.
#[derive(Clone, Copy)]
struct Pieces<'b> {
    epoch: u64,
    run: &'b [u32],
    ranges: &'b [Range<usize>],
}

/// What a rank tells all others at the end of a step; the largest counts.
mod code {
    pub const GO_ON: i64 = 0;
    pub const SAVE: i64 = 1;
    pub const STOP: i64 = 2;
    /// The order-free sum needs other scales.
    pub const AGAIN: i64 = 3;
    pub const DIVERGED: i64 = 4;
}

impl<'a> Backprop<'a> {
    /// A stage over `comm`, whose replicas add up with `reduction`.
    pub fn new(
        stage: Stage<'a>,
        comm: &'a dyn Communicator,
        kind: ScheduleKind,
        micro_batches: usize,
        reduction: Reduction<'a>,
    ) -> Self {
        let place = stage.place;
        let dims = stage.share.part.network.shapes()[0].elements();
        Self {
            inlet: place.before().map(|rank| Inlet::scheduled(comm, rank, dims)),
            outlet: place.after().map(|rank| Outlet::scheduled(comm, rank, stage.share.handed_on())),
            up: place.before().map(|rank| Gradients::new(comm, rank)),
            down: place.after().map(|rank| Gradients::new(comm, rank)),
            // Of the first step's micro-batches as soon as these are known.
            schedule: Schedule::new(kind, place.stages, 1),
            stage,
            comm,
            kind,
            micro_batches,
            free: Vec::new(),
            reduction,
        }
    }

    /// Bytes of activations and labels sent down, and of gradients sent up.
    pub fn carried(&self) -> (u64, u64) {
        let down = self.outlet.as_ref().map_or(0, |outlet| outlet.carried.data);
        (down, self.up.as_ref().map_or(0, |up| up.carried.data))
    }

    /// The stage, and a workspace to measure with.
    pub fn measuring(&mut self, rows: usize) -> (&Stage<'a>, &mut Workspace) {
        if self.free.is_empty() {
            self.free.push(self.stage.program.workspace(rows));
        }
        (&self.stage, &mut self.free[0])
    }

    /// The scales of the order-free sum; empty for a plain one.
    pub fn scales(&self) -> &[f32] {
        self.reduction.scales()
    }

    /// Takes this stage's part out of a snapshot of the whole.
    pub fn restore(&mut self, shares: &[Share], snapshot: &Snapshot) -> Result<(), String> {
        whole::restore(&mut self.stage, shares, self.reduction.scales_mut(), snapshot)
    }

    /// The most rows of a micro-batch when the chains' parts are cut out of a batch of so many samples.
    pub fn rows(batch: usize, replicas: usize, micro_batches: usize, micro_chunk: Option<usize>) -> usize {
        micro_chunk.unwrap_or(batch.div_ceil(replicas).div_ceil(micro_batches)).max(1)
    }

    /// The steps of an epoch from the cursor on, or fewer when a rank wishes to stop.
    pub fn epoch(
        &mut self,
        order: &[u32],
        plan: StepPlan,
        cursor: &mut Cursor,
        watch: &mut Watch,
        job: &mut dyn Job,
        save: &mut Save,
    ) -> Result<StageSums, TrainError> {
        let mut sums = StageSums::default();
        for s in cursor.step_in_epoch as usize..plan.steps() {
            let wish = job.turn(&self.stage.state(*cursor))?;
            let run = &order[plan.run(s)];
            sums.rate = self.stage.rate(cursor.epoch, s as u64, plan.steps() as u64);
            let step = Step { number: cursor.step + 1, rate: sums.rate, scale: 1.0 / run.len() as f64 };
            let turn = self.step(cursor.epoch, run, step, wish, &mut sums)?;
            *cursor = Cursor {
                step: cursor.step + 1,
                step_in_epoch: cursor.step_in_epoch + 1,
                samples: cursor.samples + run.len() as u64,
                ..*cursor
            };
            sums.turn = turn;
            watch.look(&sums, 0, None, job);
            // Behind an epoch's last step its record comes first.
            if turn != Turn::GoOn && s + 1 < plan.steps() {
                save(&self.stage, self.reduction.scales(), *cursor, job)?;
            }
            if turn == Turn::Stop {
                break;
            }
        }
        let outlets = [self.up.as_mut(), self.down.as_mut()];
        outlets.into_iter().flatten().try_for_each(Gradients::finish)?;
        self.outlet.as_mut().map_or(Ok(()), Outlet::finish)?;
        Ok(sums)
    }

    /// Gradient, sum and update of one step.
    fn step(
        &mut self,
        epoch: u64,
        run: &[u32],
        step: Step,
        wish: Turn,
        sums: &mut StageSums,
    ) -> Result<Turn, TrainError> {
        let ranges = self.pieces(run.len());
        let pieces = Pieces { epoch, run, ranges: &ranges };
        let wish = match wish.in_lock_step() {
            Turn::GoOn => code::GO_ON,
            Turn::Save => code::SAVE,
            Turn::Leave | Turn::Stop => code::STOP,
        };
        loop {
            let start = self.stage.clock.now();
            self.reduction.clear();
            let mut tally = Tally::default();
            if !ranges.is_empty() {
                if self.schedule.micro_batches as usize != ranges.len() {
                    self.schedule = Schedule::new(self.kind, self.stage.place.stages, ranges.len() as u32);
                    self.schedule.check().expect("a schedule that is complete and cannot get stuck");
                }
                self.interpret(pieces, &mut tally, sums)?;
            }
            let finite = tally.loss.is_finite();
            let added = self.reduction.add_up()?;
            sums.waited += (self.stage.clock.now() - start).0;
            let mine = match added {
                _ if !finite => code::DIVERGED,
                Added::Good => wish,
                Added::Again => code::AGAIN,
                Added::NotFinite => code::DIVERGED,
            };
            let all = self.agree(mine)?;
            if all == code::AGAIN {
                continue;
            }
            sums.tally += tally;
            sums.batches += 1;
            if all == code::DIVERGED {
                let (epoch, step, rate) = (epoch + 1, step.number, step.rate);
                return Err(TrainError::Diverged { epoch, step, rate });
            }
            let start = self.stage.clock.now();
            let (grad, moments) = self.reduction.finish()?;
            self.stage.update(step, grad, moments, run.len());
            sums.busy += (self.stage.clock.now() - start).0;
            return Ok(match all {
                code::STOP => Turn::Stop,
                code::SAVE => Turn::Save,
                _ => Turn::GoOn,
            });
        }
    }

    /// The largest of what the ranks tell; it costs the emulated machines nothing.
    fn agree(&self, mine: i64) -> Result<i64, TrainError> {
        let mut word = [mine];
        aside(self.stage.clock, || self.comm.all_reduce(Values::I64(&mut word), Reduce::Max))?;
        Ok(word[0])
    }

    /// The micro-batches of this chain out of a step's `len` samples.
    fn pieces(&self, len: usize) -> Vec<Range<usize>> {
        let place = self.stage.place;
        match self.stage.task.hyper.micro_chunk {
            Some(chunk) => balanced(len.div_ceil(chunk), place.replicas, place.replica)
                .map(|c| c * chunk..len.min((c + 1) * chunk))
                .collect(),
            None => {
                let mine = balanced(len, place.replicas, place.replica);
                let pieces = self.micro_batches.min(mine.len());
                let piece = |i| balanced(mine.len(), pieces, i);
                (0..pieces).map(piece).map(|r| mine.start + r.start..mine.start + r.end).collect()
            }
        }
    }

    /// Does what the schedule says.
    fn interpret(&mut self, pieces: Pieces, tally: &mut Tally, sums: &mut StageSums) -> Result<(), TrainError> {
        let instructions = std::mem::take(&mut self.schedule.stages[self.stage.place.stage]);
        let mut held: Vec<Option<Held>> = pieces.ranges.iter().map(|_| None).collect();
        let mut arrived: Option<Parcel> = None;
        let clock = self.stage.clock;
        for instruction in &instructions {
            let start = clock.now();
            let m = instruction.micro() as usize;
            let rows = pieces.ranges[m].len();
            let at = At { epoch: pieces.epoch, samples: &pieces.run[pieces.ranges[m].clone()] };
            match instruction {
                Instruction::ReceiveActivations(_) => {
                    arrived = Some(self.inlet.as_mut().expect("not the first stage").take(|| 0.0)?);
                }
                Instruction::Forward(_) => held[m] = Some(self.forward(at, arrived.take(), tally)?),
                Instruction::SendActivations(_) => {
                    let held = held[m].as_ref().expect("a forward pass comes first");
                    let outlet = self.outlet.as_mut().expect("not the last stage");
                    let note = Note { micro: m as u32, ..Note::default() };
                    outlet.send(note, &held.labels, |to| self.stage.hand_on(&held.workspace, to))?;
                }
                Instruction::ReceiveGradient(_) => {
                    let held = held[m].as_mut().expect("a forward pass comes first");
                    let export = self.stage.share.export.expect("a stage that another follows hands a value on");
                    let dims = self.stage.share.handed_on();
                    let down = self.down.as_mut().expect("not the last stage");
                    down.receive(rows * dims, |from| {
                        let (_, mut gradient) = held.workspace.output(export);
                        for (mut row, from) in gradient.outer_iter_mut().zip(from.chunks_exact(dims)) {
                            row.as_slice_mut().expect("a row is contiguous").copy_from_slice(from);
                        }
                    })?;
                }
                Instruction::SendGradient(_) => {
                    let piece = held[m].as_mut().expect("a forward pass comes first");
                    let gradient = piece.workspace.gradient(0);
                    let up = self.up.as_mut().expect("not the first stage");
                    let note = Note { micro: m as u32, rows: rows as u32, ..Note::default() };
                    up.send(note, gradient.len(), |to| copy_rows(gradient, to))?;
                    self.close(&mut held[m]);
                }
                Instruction::Backward(_) | Instruction::BackwardInput(_) | Instruction::BackwardParams(_) => {
                    self.backward(*instruction, at, held[m].as_mut().expect("a forward pass comes first"));
                    self.close(&mut held[m]);
                }
            }
            if instruction.computes() {
                let spent = (clock.now() - start).0;
                sums.busy += spent;
                sums.waited -= spent;
            }
        }
        self.schedule.stages[self.stage.place.stage] = instructions;
        Ok(())
    }

    fn forward(&mut self, at: At, arrived: Option<Parcel>, tally: &mut Tally) -> Result<Held, TrainError> {
        let rows = at.samples.len();
        let task = self.stage.task;
        let capacity = Self::rows(
            task.hyper.global_batch.min(task.train.len()),
            self.stage.place.replicas,
            self.micro_batches,
            task.hyper.micro_chunk,
        );
        let mut workspace = self.free.pop().unwrap_or_else(|| self.stage.program.workspace(capacity.max(rows)));
        let labels = match arrived {
            Some(parcel) => {
                self.stage.receive(&mut workspace, &parcel);
                let labels = parcel.labels().to_vec();
                self.inlet.as_mut().expect("it arrived there").reuse(parcel);
                labels
            }
            None => {
                let visit = Visit { seed: task.hyper.seed, epoch: Some(at.epoch) };
                self.stage.load(&mut workspace, task.train, visit, at.samples);
                at.samples.iter().map(|sample| task.train.label(*sample as usize)).collect()
            }
        };
        self.stage.forward(&self.stage.training(at), &mut workspace, rows);
        *tally += self.stage.losses(&mut workspace, &labels);
        // The backward pass or its two halves, and the sending of the gradient.
        let halves = if self.kind == ScheduleKind::ZeroBubbleH1 { 2 } else { 1 };
        Ok(Held { workspace, labels, open: halves + usize::from(!self.stage.place.is_first()) })
    }

    fn backward(&mut self, instruction: Instruction, at: At, held: &mut Held) {
        let stage = &self.stage;
        let rows = at.samples.len();
        let (context, ws) = (stage.training(at), &mut held.workspace);
        match instruction {
            Instruction::BackwardInput(_) => {
                let work = stage.work(rows, Pass::BackwardInput);
                stage.clock.work([work], || stage.program.backward_input(&context, &stage.theta, ws));
            }
            Instruction::BackwardParams(_) => {
                let work = stage.work(rows, Pass::BackwardParams);
                let (program, theta) = (stage.program, &stage.theta);
                self.reduction.add(rows, ws, |ws, into| {
                    stage.clock.work([work], || match into {
                        Into::Write(to) => program.backward_params(&context, theta, ws, to),
                        Into::Add(to, spare) => program.backward_params_adding(&context, theta, ws, to, spare),
                    });
                });
            }
            _ => {
                let work = stage.work(rows, Pass::Backward);
                let (program, theta) = (stage.program, &stage.theta);
                self.reduction.add(rows, ws, |ws, into| {
                    stage.clock.work([work], || match into {
                        Into::Write(to) => program.backward(&context, theta, ws, to, &mut |_, _| {}),
                        Into::Add(to, spare) => program.backward_adding(&context, theta, ws, to, spare),
                    });
                });
            }
        }
    }

    /// Takes the memory back when nothing needs it any more.
    fn close(&mut self, piece: &mut Option<Held>) {
        if let Some(held) = piece {
            held.open -= 1;
            if held.open == 0 {
                self.free.extend(piece.take().map(|held| held.workspace));
            }
        }
    }
}
