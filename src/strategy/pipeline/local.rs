//! Local learning: every stage trains on the loss of its own exit head, and nothing but activations and labels is sent.
//!
//! A stage hands a batch on under the weights with which it read it: behind the forward pass where it follows gradients,
//! so that the next stage need not wait for backward; behind the proposals where it samples.
//!
//! # References
//! Belilovsky, Eickenberg and Oyallon, *Decoupled greedy learning of CNNs*, ICML 2020; for the sampler
//! [`crate::optim::metropolis`].

use super::channel::{Inlet, LAST, Outlet, SHOW};
use super::replay::Replay;
use super::stage::Stage;
use super::watch::Watch;
use super::whole::Save;
use crate::comm::Note;
use crate::data::Visit;
use crate::data::order::StepPlan;
use crate::device::{Clock, Pass};
use crate::nn::{Tally, Workspace};
use crate::optim::Step;
use crate::strategy::parcel::Parcel;
use crate::strategy::portion::{At, Gradient};
use crate::strategy::sampling::{self, Proposals, Scene};
use crate::strategy::{Cursor, Job, TrainError, Turn, team};

/// A stage and its links.
pub(super) struct Local<'a> {
    pub stage: Stage<'a>,
    pub inlet: Option<Inlet<'a>>,
    pub outlet: Option<Outlet<'a>>,
    pub workspace: Workspace,
    pub gradient: Gradient,
    pub sampler: Option<Proposals>,
    pub replay: Replay,
    pub preempt: bool,
}

/// What a stage did in an epoch.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StageSums {
    pub tally: Tally,
    pub batches: u64,
    /// Seconds in forward, backward, proposals and update, measured.
    pub busy: f64,
    /// Seconds for a batch or for a credit, measured.
    pub waited: f64,
    pub rate: f64,
    pub turn: Turn,
}

impl Local<'_> {
    /// The batches of an epoch from the cursor on, or fewer when a rank wishes to stop.
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
        let first = cursor.step_in_epoch as usize;
        for s in first..plan.steps() {
            let samples = &order[plan.run(s)];
            let at = At { epoch: cursor.epoch, samples };
            let wish = job.turn(&self.stage.state(*cursor))?;
            sums.rate = self.stage.rate(cursor.epoch, s as u64, plan.steps() as u64);
            let step = Step { number: cursor.step + 1, rate: sums.rate, scale: 1.0 / samples.len() as f64 };
            let next = (s + 1 < plan.steps()).then(|| plan.run(s + 1).len());
            let (flags, tally) = match self.inlet.is_some() {
                true => self.next_batch(at, step, wish, next, &mut sums)?,
                false => self.load_batch(at, step, wish, &mut sums)?,
            };
            cursor.step += 1;
            cursor.step_in_epoch += 1;
            cursor.samples += samples.len() as u64;
            sums.tally += tally;
            sums.batches += 1;
            let emulated = self.stage.clock.machine().is_some();
            let waiting = self.outlet.as_mut().map_or(Ok(0), |outlet| outlet.waiting(emulated))?;
            watch.look(&sums, waiting, self.sampler.as_ref(), job);
            sums.turn = match flags {
                flags if flags & LAST != 0 => Turn::Stop,
                flags if flags & SHOW != 0 => Turn::Save,
                _ => Turn::GoOn,
            };
            if sums.turn == Turn::Save && s + 1 < plan.steps() {
                // All stages have learned from the same batches when nothing is under way any more.
                self.drain(&mut sums)?;
                save(&self.stage, &[], *cursor, job)?;
            }
            if sums.turn == Turn::Stop {
                break;
            }
        }
        self.drain(&mut sums)?;
        Ok(sums)
    }

    /// Waits until nothing is under way on this stage's links.
    fn drain(&mut self, sums: &mut StageSums) -> Result<(), TrainError> {
        if let Some(outlet) = &mut self.outlet {
            let start = self.stage.clock.now();
            outlet.finish()?;
            sums.waited += (self.stage.clock.now() - start).0;
        }
        if let Some(inlet) = &mut self.inlet {
            inlet.finish()?;
        }
        Ok(())
    }

    /// The first stage: a batch of the training part.
    fn load_batch(&mut self, at: At, step: Step, wish: Turn, sums: &mut StageSums) -> Result<(u32, Tally), TrainError> {
        let from_below = self.outlet.as_ref().map_or(0, |outlet| outlet.wish);
        let flags = match wish.in_lock_step() {
            Turn::Leave | Turn::Stop => LAST,
            _ if from_below & LAST != 0 => LAST,
            Turn::Save => SHOW,
            Turn::GoOn => 0,
        };
        let (train, seed) = (self.stage.task.train, self.stage.task.hyper.seed);
        let labels: Vec<u32> = at.samples.iter().map(|sample| train.label(*sample as usize)).collect();
        let visit = Visit { seed, epoch: Some(at.epoch) };
        match &mut self.sampler {
            None => self.stage.load(&mut self.workspace, train, visit, at.samples),
            Some(sampler) => sampler.fill(&mut self.workspace, team(), at.samples.len(), &|b, layout, row| {
                train.load(at.samples[b] as usize, visit, layout, row);
            }),
        }
        let tally = self.learn(at, step, &labels, flags, sums, false)?;
        Ok((flags, tally))
    }

    /// A later stage: what the stage before handed on.
    fn next_batch(
        &mut self,
        at: At,
        step: Step,
        wish: Turn,
        next: Option<usize>,
        sums: &mut StageSums,
    ) -> Result<(u32, Tally), TrainError> {
        let (clock, start) = (self.stage.clock, self.stage.clock.now());
        let inlet = self.inlet.as_mut().expect("asked by the caller");
        let from_below = self.outlet.as_ref().map_or(0, |outlet| outlet.wish);
        inlet.wish = if wish.in_lock_step() == Turn::Stop { LAST } else { from_below };
        let parcel = inlet.take(|| clock.machine().map_or(0.0, |machine| machine.now().0))?;
        sums.waited += (clock.now() - start).0;
        let flags = parcel.note().edge;
        let next = next.filter(|_| flags & (LAST | SHOW) == 0);
        if let Some(rows) = next {
            inlet.expect(rows)?;
        }
        let preempt = self.preempt && next.is_some();
        self.fill_from(&parcel);
        let tally = self.learn(at, step, parcel.labels(), flags, sums, preempt)?;
        if let Some(old) = self.replay.keep(parcel, at.samples) {
            self.inlet.as_mut().expect("asked by the caller").reuse(old);
        }
        self.learn_again(at.epoch, step, sums)?;
        Ok((flags, tally))
    }

    /// Learns from the batch in the workspace and hands it on.
    fn learn(
        &mut self,
        at: At,
        step: Step,
        labels: &[u32],
        flags: u32,
        sums: &mut StageSums,
        preempt: bool,
    ) -> Result<Tally, TrainError> {
        let clock = self.stage.clock;
        let start = clock.now();
        let mut blocked = 0.0;
        let note = Note { step: (step.number & 0xffff_ffff) as u32, edge: flags, ..Note::default() };
        let tally = if self.sampler.is_some() {
            let newer = |inlet: &mut Option<Inlet>| preempt_now(preempt, inlet, clock);
            let tally = self.sample(at, step, labels, false, newer)?;
            if let (Some(outlet), Some(sampler)) = (&mut self.outlet, &self.sampler) {
                let before = clock.now();
                let export = self.stage.share.export.expect("a stage that another follows hands a value on");
                outlet.send(note, labels, |rows| sampler.hand_on(&self.workspace, export, rows))?;
                blocked = (clock.now() - before).0;
            }
            tally
        } else {
            self.stage.forward(&self.stage.training(at), &mut self.workspace, labels.len());
            if let Some(outlet) = &mut self.outlet {
                let before = clock.now();
                outlet.send(note, labels, |rows| self.stage.hand_on(&self.workspace, rows))?;
                blocked = (clock.now() - before).0;
            }
            self.descend(at, step, labels)
        };
        sums.busy += (clock.now() - start).0 - blocked;
        sums.waited += blocked;
        Ok(tally)
    }

    /// Takes the rows of a message as the batch.
    fn fill_from(&mut self, parcel: &Parcel) {
        match &mut self.sampler {
            None => self.stage.receive(&mut self.workspace, parcel),
            Some(sampler) => {
                let (rows, activations) = (parcel.rows(), parcel.activations());
                let dims = activations.len() / rows.max(1);
                sampler.fill(&mut self.workspace, team(), rows, &|b, layout, row| {
                    layout.scatter(&activations[b * dims..][..dims], row);
                });
            }
        }
    }

    /// Makes a step's proposals on the batch.
    fn sample(
        &mut self,
        at: At,
        step: Step,
        labels: &[u32],
        again: bool,
        newer: impl Fn(&mut Option<Inlet>) -> Result<bool, TrainError>,
    ) -> Result<Tally, TrainError> {
        let sampler = self.sampler.as_mut().expect("asked by the caller");
        let mut theta = std::mem::take(&mut self.stage.theta);
        let stage = &self.stage;
        let scene = Scene {
            program: stage.program,
            context: stage.training(at),
            clock: stage.clock,
            work: stage.work(labels.len(), Pass::Forward),
            labels,
            samples: labels.len(),
        };
        let (turn, inlet) = (sampling::Turn { step: step.number, again }, &mut self.inlet);
        let tally = sampler.learn(scene, &mut self.workspace, &mut theta, turn, None, &mut || newer(inlet));
        self.stage.theta = theta;
        tally
    }

    /// Loss, backward and update, behind a forward pass.
    fn descend(&mut self, at: At, step: Step, labels: &[u32]) -> Tally {
        let stage = &mut self.stage;
        let tally = stage.losses(&mut self.workspace, labels);
        stage.backward(at, &mut self.workspace, &mut self.gradient);
        stage.update(step, &self.gradient.theta, &self.gradient.moments, labels.len());
        tally
    }

    /// Learns once more from a batch that was kept.
    fn learn_again(&mut self, epoch: u64, step: Step, sums: &mut StageSums) -> Result<(), TrainError> {
        let Some((parcel, samples)) = self.replay.again() else { return Ok(()) };
        let start = self.stage.clock.now();
        let at = At { epoch, samples: &samples };
        let step = Step { scale: 1.0 / samples.len() as f64, ..step };
        self.fill_from(&parcel);
        if self.sampler.is_some() {
            self.sample(at, step, parcel.labels(), true, |_| Ok(false))?;
        } else {
            self.stage.forward(&self.stage.training(at), &mut self.workspace, samples.len());
            self.descend(at, step, parcel.labels());
        }
        self.replay.give_back(parcel, samples);
        sums.busy += (self.stage.clock.now() - start).0;
        Ok(())
    }
}

/// Whether a newer batch has arrived: by virtual time on an emulated machine, else by looking.
fn preempt_now(preempt: bool, inlet: &mut Option<Inlet>, clock: &dyn Clock) -> Result<bool, TrainError> {
    let (true, Some(inlet)) = (preempt, inlet) else { return Ok(false) };
    match clock.machine() {
        Some(machine) => Ok(inlet.next_arrival(machine)? <= machine.now().0),
        None => Ok(inlet.is_there()?),
    }
}
