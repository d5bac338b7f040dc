//! A step of the data-parallel strategies by proposals: every rank has its part of the batch, and all decide alike.

use super::learner::MOST_ROWS;
use super::sampling::{Combine, Proposals, Scene, Turn as Proposing};
use super::stepper::StepSum;
use super::{Exchange, Task, TrainError, Turn, team};
use crate::comm::{Reduce, Values};
use crate::data::Visit;
use crate::data::order::balanced;
use crate::device::{Clock, Pass, Work};
use crate::nn::{Context, Phase, Program, Workspace};
use crate::units::Flops;

/// A chain, and the memory of this rank's part of a batch.
pub(super) struct Sampled<'a> {
    task: &'a Task<'a>,
    program: &'a Program,
    clock: &'a dyn Clock,
    proposals: Proposals,
    workspace: Workspace,
    labels: Vec<u32>,
}

impl<'a> Sampled<'a> {
    /// A chain over the task's network, where the task asks for one; for batches of up to `batch` samples on this rank.
    ///
    /// # Errors
    /// Settings that do not fit the network.
    pub fn of(
        task: &'a Task,
        program: &'a Program,
        clock: &'a dyn Clock,
        batch: usize,
    ) -> Result<Option<Self>, TrainError> {
        let Some(settings) = &task.hyper.sampler else { return Ok(None) };
        let proposals = Proposals::new(settings, task.network, task.hyper.seed)?;
        let rows = if proposals.is_incremental() { 1 } else { batch.max(1) };
        let workspace = program.forward_workspace(rows);
        Ok(Some(Self { task, program, clock, proposals, workspace, labels: Vec::with_capacity(batch.min(MOST_ROWS)) }))
    }

    /// The proposals of step `number` on the global batch `run`; θ is the same bits on all ranks afterwards.
    ///
    /// # Collective
    /// Every rank must call it with the same θ and `run`.
    #[allow(clippy::too_many_arguments)]
    pub fn step(
        &mut self,
        exchange: &mut dyn Exchange,
        theta: &mut [f32],
        sigma: &[f32],
        epoch: u64,
        number: u64,
        run: &[u32],
        wish: Turn,
    ) -> Result<StepSum, TrainError> {
        let mine = exchange.part().map_or(0..0, |part| balanced(run.len(), exchange.parts(), part));
        let samples = &run[mine];
        let (train, seed) = (self.task.train, self.task.hyper.seed);
        self.labels.clear();
        self.labels.extend(samples.iter().map(|sample| train.label(*sample as usize)));
        let visit = Visit { seed, epoch: Some(epoch) };
        self.proposals.fill(&mut self.workspace, team(), samples.len(), &|b, layout, row| {
            train.load(samples[b] as usize, visit, layout, row);
        });
        let forward = self.program.network().cost().forward.0 * samples.len() as u64;
        let blocks = 0..self.program.network().cuts().len() + 1;
        let scene = Scene {
            program: self.program,
            context: Context { phase: Phase::Train, seed, epoch, samples, sigma, team: team() },
            clock: self.clock,
            work: Work { flops: Flops(forward), blocks, rows: samples.len(), pass: Pass::Forward },
            labels: &self.labels,
            samples: run.len(),
        };
        let turn = Proposing { step: number, again: false };
        let alone = exchange.parts() == 1;
        let met = {
            let mut combine = |values: Values| exchange.combine(values, Reduce::Sum);
            let combine: Option<&mut Combine> = if alone { None } else { Some(&mut combine) };
            self.proposals.learn(scene, &mut self.workspace, theta, turn, combine, &mut || Ok(false))?
        };
        let wishes = [Turn::Save, Turn::Stop].map(|turn| f64::from(u8::from(wish.in_lock_step() == turn)));
        let mut sums = [met.loss, met.correct as f64, wishes[0], wishes[1]];
        exchange.combine(Values::F64(&mut sums), Reduce::Sum)?;
        let turn = match (sums[2] > 0.0, sums[3] > 0.0) {
            (_, true) => Turn::Stop,
            (true, _) => Turn::Save,
            _ => Turn::GoOn,
        };
        Ok(StepSum {
            loss: sums[0] as f32,
            correct: sums[1] as f32,
            turn,
            own: samples.len(),
            samples: run.len() as u64,
        })
    }
}
