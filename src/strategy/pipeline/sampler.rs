//! A stage that learns by proposals.

use super::stage::{At, Stage};
use crate::device::Pass;
use crate::nn::{Tally, Workspace};
use crate::optim::Step;
use crate::optim::metropolis::{Metropolis, MetropolisError, Sampler as Chain};
use crate::strategy::TrainError;
use crate::strategy::sampling::{Recompute, sample};

/// A chain over a stage's weights.
pub(super) struct Sampler {
    pub chain: Chain,
    iterations: u64,
    /// Proposals decided since the beginning.
    pub proposals: u64,
}

impl Sampler {
    /// # Errors
    /// Settings that do not fit the stage's layers.
    pub fn new(settings: &Metropolis, stage: &Stage) -> Result<Self, MetropolisError> {
        let parameters = stage.program.network().parameters();
        let chain = Chain::new(settings, &parameters, stage.task.hyper.seed)?;
        Ok(Self { chain, iterations: settings.iterations, proposals: 0 })
    }

    /// Makes the proposals of a step on the batch in the workspace; afterwards the workspace holds the kept weights'
    /// values. A batch that is learned once more (`again`) gets other proposals.
    ///
    /// Returns the sums under the weights with which the batch was met.
    pub fn learn(
        &mut self,
        stage: &mut Stage,
        workspace: &mut Workspace,
        (labels, at): (&[u32], At),
        step: Step,
        again: bool,
        newer: &mut dyn FnMut() -> Result<bool, TrainError>,
    ) -> Result<Tally, TrainError> {
        let first = if again { self.iterations } else { 0 };
        let (program, clock) = (stage.program, stage.clock);
        let mut theta = std::mem::take(&mut stage.theta);
        let mut objective = Recompute {
            program,
            context: stage.training(at),
            workspace,
            labels,
            clock,
            work: stage.work(labels.len(), Pass::Forward),
            samples: labels.len(),
            comm: None,
            failed: None,
        };
        let met = objective.tally(&theta);
        let done =
            sample(&mut self.chain, &mut objective, &mut theta, step.number, first..first + self.iterations, newer);
        objective.tally(&theta);
        stage.theta = theta;
        self.proposals += done?.proposals;
        Ok(met)
    }
}
