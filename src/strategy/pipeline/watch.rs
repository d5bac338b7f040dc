//! What a stage says of itself while it works.

use super::local::StageSums;
use crate::device::Clock;
use crate::event::{Event, StageLive};
use crate::nn::ParameterKind;
use crate::strategy::Job;
use crate::strategy::sampling::Proposals;

/// Seconds between two looks.
const EVERY: f64 = 1.0;

/// Tells the job how a stage does, about once a second.
pub(super) struct Watch<'a> {
    clock: &'a dyn Clock,
    stage: usize,
    epoch: u64,
    last: f64,
    proposals: u64,
    /// Share of the samples last measured that left at this stage.
    pub exit_share: Option<f64>,
}

impl<'a> Watch<'a> {
    pub fn new(clock: &'a dyn Clock, stage: usize) -> Self {
        Self { clock, stage, epoch: 0, last: f64::NEG_INFINITY, proposals: 0, exit_share: None }
    }

    /// Begins an epoch.
    pub fn epoch(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    /// Tells what an epoch came to so far, if it is time.
    pub fn look(&mut self, sums: &StageSums, waiting: usize, sampler: Option<&Proposals>, job: &mut dyn Job) {
        let now = self.clock.now().0;
        if now - self.last < EVERY {
            return;
        }
        let since = now - self.last;
        let proposals = sampler.map_or(0, |sampler| sampler.decided);
        let made = proposals - self.proposals;
        (self.last, self.proposals) = (now, proposals);
        let batches = sums.batches.max(1) as f64;
        job.emit(Event::Live(StageLive {
            stage: self.stage,
            epoch: self.epoch + 1,
            batches: sums.batches,
            loss: sums.tally.mean_loss(),
            accuracy: sums.tally.accuracy(),
            queue: waiting,
            latency_s: (sums.busy + sums.waited) / batches,
            wait_s: sums.waited / batches,
            proposals_per_s: sampler.filter(|_| since.is_finite()).map(|_| made as f64 / since),
            acceptance_conv: sampler.and_then(|sampler| sampler.count(ParameterKind::Conv).rate()),
            acceptance_dense: sampler.and_then(|sampler| sampler.count(ParameterKind::Dense).rate()),
            exit_share: self.exit_share,
        }));
    }
}
