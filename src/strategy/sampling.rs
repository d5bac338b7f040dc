//! Learning by proposals: a Metropolis chain on the loss of one batch after the other, on one rank or on many.
//!
//! Every rank draws the same proposals, because draws are keyed by step and iteration; where ranks share a batch, the one
//! thing that they exchange for a proposal is the sum of their losses.

use super::TrainError;
use crate::comm::Values;
use crate::device::{Clock, Work};
use crate::layout::Layout;
use crate::nn::{Context, Incremental, Network, Objective, ParameterKind, Program, Tally, Team, ValueId, Workspace};
use crate::optim::metropolis::{Count, Metropolis, MetropolisError, Sampler};
use crate::units::Seconds;
use ndarray::{ArrayView2, ArrayViewMut2};

/// Sums the integers of all ranks.
pub(super) type Combine<'c> = dyn FnMut(Values) -> Result<(), TrainError> + 'c;

/// A chain over the parameters of a network, and the batch that it learns from.
pub(super) struct Proposals {
    chain: Sampler,
    iterations: u64,
    /// What computes only what a change reaches, where the network has the form for it.
    incremental: Option<Incremental>,
    /// The batch as rows, for it.
    rows: Vec<f32>,
    input: Layout,
    dims: usize,
    /// Proposals decided since the beginning.
    pub decided: u64,
}

/// With what a batch is learned.
pub(super) struct Scene<'a> {
    pub program: &'a Program,
    pub context: Context<'a>,
    pub clock: &'a dyn Clock,
    /// What a forward pass over the batch costs.
    pub work: Work,
    pub labels: &'a [u32],
    /// Samples of the whole batch, on all ranks that share it.
    pub samples: usize,
}

/// Which proposals to make: those of a step, or as many others where a batch is learned once more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    pub step: u64,
    pub again: bool,
}

impl Proposals {
    /// A chain over a network's parameters.
    ///
    /// # Errors
    /// Settings that do not fit its layers.
    pub fn new(settings: &Metropolis, network: &Network, seed: u64) -> Result<Self, MetropolisError> {
        let chain = Sampler::new(settings, &network.parameters(), seed)?;
        let shape = &network.shapes()[0];
        let input = shape.picture().map_or(Layout::vector(shape.elements()), |[_, h, w]| Layout::planar(h, w));
        let (incremental, iterations) = (Incremental::new(network), settings.iterations);
        Ok(Self { chain, iterations, incremental, rows: Vec::new(), input, dims: shape.elements(), decided: 0 })
    }

    /// Whether it needs no program.
    pub fn is_incremental(&self) -> bool {
        self.incremental.is_some()
    }

    /// Takes a batch: `write` gets each row's number, how its elements lie, and the memory.
    pub fn fill(
        &mut self,
        workspace: &mut Workspace,
        team: &dyn Team,
        batch: usize,
        write: &(dyn Fn(usize, Layout, &mut [f32]) + Sync),
    ) {
        if self.incremental.is_none() {
            workspace.begin(batch);
            return workspace.fill(0, team, write);
        }
        self.rows.resize(batch * self.dims, 0.0);
        self.rows.chunks_exact_mut(self.dims).enumerate().for_each(|(b, row)| write(b, self.input, row));
    }

    /// Makes the proposals of a step on the batch, until all are decided or a newer batch is there. Returns this rank's
    /// sums under the θ with which the batch was met.
    ///
    /// # Collective
    /// With `combine`, every rank must call it with the same chain, θ and step.
    pub fn learn(
        &mut self,
        scene: Scene,
        workspace: &mut Workspace,
        theta: &mut [f32],
        turn: Turn,
        combine: Option<&mut Combine>,
        newer: &mut dyn FnMut() -> Result<bool, TrainError>,
    ) -> Result<Tally, TrainError> {
        let first = if turn.again { self.iterations } else { 0 };
        let mut trouble = None;
        let mut stop = |_| match newer() {
            Ok(stop) => stop,
            Err(error) => {
                trouble = Some(error);
                true
            }
        };
        let iterations = first..first + self.iterations;
        let (rows, samples) = (scene.labels.len(), scene.samples);
        let (met, run, failed) = match &mut self.incremental {
            Some(incremental) => {
                let batch = ArrayView2::from_shape((rows, self.dims), &self.rows).expect("as many rows as labels");
                incremental.assign(batch, scene.labels);
                let mut local = Reached { inner: incremental, clock: scene.clock, work: scene.work };
                let mut shared = Shared { inner: &mut local, rows, samples, combine, failed: None };
                shared.loss(theta);
                let met = shared.inner.inner.tally();
                let run = self.chain.run(&mut shared, theta, turn.step, iterations, &mut stop);
                (met, run, shared.failed)
            }
            None => {
                let Scene { program, context, clock, work, labels, .. } = scene;
                let mut local = Recompute { program, context, workspace, labels, clock, work };
                let met = local.tally(theta);
                let mut shared = Shared { inner: &mut local, rows, samples, combine, failed: None };
                let run = self.chain.run(&mut shared, theta, turn.step, iterations, &mut stop);
                let failed = shared.failed;
                // The workspace is to hold what the kept weights make of the batch.
                local.tally(theta);
                (met, run, failed)
            }
        };
        self.decided += run.iterations;
        match failed.or(trouble) {
            Some(error) => Err(error),
            None => Ok(met),
        }
    }

    /// Copies what the kept weights make of the batch at `export`, one row behind the other.
    pub fn hand_on(&self, workspace: &Workspace, export: ValueId, to: &mut [f32]) {
        let Some(incremental) = &self.incremental else {
            let value = workspace.value(export);
            let dims = value.ncols();
            for (row, to) in value.outer_iter().zip(to.chunks_exact_mut(dims)) {
                to.copy_from_slice(row.to_slice().expect("a row is contiguous"));
            }
            return;
        };
        let batch = self.rows.len() / self.dims;
        let rows = ArrayViewMut2::from_shape((batch, to.len() / batch.max(1)), to);
        incremental.value(rows.expect("as many rows as labels"));
    }

    /// Proposals and acceptances on layers of one kind since the last reset.
    pub fn count(&self, kind: ParameterKind) -> Count {
        let mut total = Count::default();
        self.chain.counts().filter(|(known, _)| *known == kind).for_each(|(_, count)| total += count);
        total
    }

    /// Proposals on all layers since the last reset.
    pub fn proposed(&self) -> u64 {
        self.chain.counts().map(|(_, count)| count.proposed).sum()
    }

    /// Begins to count anew.
    pub fn reset_counts(&mut self) {
        self.chain.reset_counts();
    }
}

/// The mean loss of a batch that lies in a workspace, from one forward pass for each question.
struct Recompute<'a> {
    program: &'a Program,
    context: Context<'a>,
    workspace: &'a mut Workspace,
    labels: &'a [u32],
    clock: &'a dyn Clock,
    work: Work,
}

impl Recompute<'_> {
    fn tally(&mut self, theta: &[f32]) -> Tally {
        if self.labels.is_empty() {
            return Tally::default();
        }
        let (program, context) = (self.program, &self.context);
        self.clock.work([self.work.clone()], || program.loss(context, theta, self.workspace, self.labels))
    }
}

impl Objective for Recompute<'_> {
    fn len(&self) -> usize {
        self.program.theta_len()
    }

    fn loss(&mut self, theta: &[f32]) -> f64 {
        self.tally(theta).mean_loss().unwrap_or(0.0)
    }
}

/// An incremental loss whose machine is charged for what a change reaches.
struct Reached<'a> {
    inner: &'a mut Incremental,
    clock: &'a dyn Clock,
    work: Work,
}

impl Reached<'_> {
    fn charge(&self, share: f64) {
        if let Some(machine) = self.clock.machine() {
            machine.charge_seconds(Seconds(share * machine.price(&self.work).0));
        }
    }
}

impl Objective for Reached<'_> {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn loss(&mut self, theta: &[f32]) -> f64 {
        self.charge(1.0);
        self.inner.loss(theta)
    }

    fn loss_if(&mut self, theta: &[f32], changed: &[usize]) -> f64 {
        let loss = self.inner.loss_if(theta, changed);
        self.charge(self.inner.reached());
        loss
    }

    fn keep(&mut self) {
        self.inner.keep();
    }

    fn undo(&mut self) {
        self.inner.undo();
    }
}

/// Losses are exchanged as integers of this fraction, so that their sum does not depend on the order.
const FRACTION: f64 = (1u64 << 32) as f64;

/// The mean loss of a batch of which every rank has a part.
struct Shared<'a, 'c, O> {
    inner: &'a mut O,
    /// Samples here, and everywhere.
    rows: usize,
    samples: usize,
    combine: Option<&'a mut Combine<'c>>,
    /// The first error of an exchange; every loss after it is no number, and so changes nothing.
    failed: Option<TrainError>,
}

impl<O> Shared<'_, '_, O> {
    fn everywhere(&mut self, mean: f64) -> f64 {
        let Some(combine) = &mut self.combine else { return mean };
        // The first word says how many ranks have a loss that is no number, or one far beyond any.
        let scaled = mean * (self.rows as f64 / self.samples.max(1) as f64) * FRACTION;
        let fits = scaled.abs() < 9e15; // a thousand of them fit into the sum
        let mut words = [i64::from(!fits), if fits { scaled.round() as i64 } else { 0 }];
        if let Err(error) = combine(Values::I64(&mut words)) {
            self.failed.get_or_insert(error);
            return f64::NAN;
        }
        if words[0] > 0 { f64::NAN } else { words[1] as f64 / FRACTION }
    }
}

impl<O: Objective> Objective for Shared<'_, '_, O> {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn loss(&mut self, theta: &[f32]) -> f64 {
        if self.failed.is_some() {
            return f64::NAN;
        }
        let mean = self.inner.loss(theta);
        self.everywhere(mean)
    }

    fn loss_if(&mut self, theta: &[f32], changed: &[usize]) -> f64 {
        if self.failed.is_some() {
            return f64::NAN;
        }
        let mean = self.inner.loss_if(theta, changed);
        self.everywhere(mean)
    }

    fn keep(&mut self) {
        self.inner.keep();
    }

    fn undo(&mut self) {
        self.inner.undo();
    }
}
