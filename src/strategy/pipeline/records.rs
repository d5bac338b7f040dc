//! What the ranks of a pipeline tell each other after an epoch.

use super::local::StageSums;
use super::measure::Seen;
use super::stage::Stage;
use crate::comm::{Metered, Traffic, gather_texts};
use crate::device::Clock;
use crate::event::{EpochRecord, Event, MachineRecord, RankRecord, StageRecord};
use crate::nn::{ParameterKind, Tally};
use crate::strategy::modelled::{Phases, aside};
use crate::strategy::sampling::Proposals;
use crate::strategy::{Cursor, Job, TrainError};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// What an epoch began with, and what it came to.
pub(super) struct Books<'a> {
    comm: &'a Metered<'a>,
    clock: &'a dyn Clock,
    start: f64,
    before: Traffic,
    carried_before: [u64; 3],
    seconds: f64,
    traffic: Traffic,
    phases: Phases<'a>,
}

/// What one rank tells.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Report {
    stage: StageRecord,
    rank: RankRecord,
    hash: u64,
    finite: bool,
    seconds: f64,
    train: [u64; 3],
    seen: [u64; 3],
    left: [u64; 3],
}

fn triple(tally: Tally) -> [u64; 3] {
    // As bits: JSON holds no infinity.
    [tally.loss.to_bits(), tally.correct, tally.samples]
}

fn tally([loss, correct, samples]: [u64; 3]) -> Tally {
    Tally { loss: f64::from_bits(loss), correct, samples }
}

impl<'a> Books<'a> {
    /// Opens an epoch's books; `carried` is what the links carried until now.
    pub fn open(comm: &'a Metered<'a>, clock: &'a dyn Clock, carried: [u64; 3], job: &dyn Job, wanted: bool) -> Self {
        let (before, phases) = (comm.traffic(), Phases::open(comm, clock, job, wanted));
        let (start, traffic) = (clock.now().0, Traffic::default());
        Self { comm, clock, start, before, carried_before: carried, seconds: 0.0, traffic, phases }
    }

    /// The training loop has ended.
    ///
    /// # Collective
    /// Every rank must call it.
    pub fn trained(&mut self, job: &dyn Job) -> Result<(), TrainError> {
        self.seconds = self.clock.now().0 - self.start;
        self.traffic = self.comm.traffic() - self.before;
        self.phases.end("train", job)
    }

    /// The validation part has been measured.
    ///
    /// # Collective
    /// Every rank must call it.
    pub fn measured(&mut self, job: &dyn Job) -> Result<(), TrainError> {
        self.phases.end("measure", job)
    }

    /// Puts all ranks' figures together, and tells them.
    ///
    /// # Collective
    /// Every rank must call it.
    #[allow(clippy::too_many_arguments)]
    pub fn close(
        self,
        stage: &Stage,
        cursor: Cursor,
        sums: &StageSums,
        seen: &Seen,
        sampler: Option<&Proposals>,
        carried: [u64; 3],
        whole: &[f32],
        job: &mut dyn Job,
    ) -> Result<EpochRecord, TrainError> {
        let train = self.phases.mine("train");
        let report = Report {
            stage: self.stage_record(stage, sums, seen, sampler, carried, train.as_ref()),
            rank: RankRecord {
                rank: self.comm_rank(),
                samples: sums.tally.samples,
                compute_s: sums.busy,
                comm_s: self.traffic.talked.0,
                wait_s: self.traffic.waited.0,
                bytes_sent: self.traffic.sent.0,
                bytes_recv: self.traffic.received.0,
                rss_mb: job.memory_mb(),
                grid: None,
            },
            hash: xxh3_64(bytemuck::cast_slice(&stage.theta)),
            finite: sums.tally.loss.is_finite() && stage.theta.iter().all(|weight| weight.is_finite()),
            seconds: self.seconds,
            train: triple(sums.tally),
            seen: triple(seen.all),
            left: triple(seen.left),
        };
        let text = serde_json::to_string(&report).expect("finite numbers and texts are JSON");
        let texts = aside(stage.clock, || gather_texts(self.comm, &text))?;
        let reports: Vec<Report> =
            texts.iter().map(|text| serde_json::from_str(text).expect("every rank sent a report")).collect();
        if reports.iter().any(|report| !report.finite) {
            return Err(TrainError::Diverged { epoch: cursor.epoch, step: cursor.step, rate: sums.rate });
        }
        check_replicas(stage, &reports, cursor)?;
        self.tell(&reports, cursor, job);
        self.phases.tell(cursor.epoch, job);
        Ok(self.epoch_record(&reports, cursor, sums.rate, whole, stage.learns_backward()))
    }

    fn comm_rank(&self) -> usize {
        use crate::comm::Communicator;
        self.comm.rank()
    }

    fn stage_record(
        &self,
        stage: &Stage,
        sums: &StageSums,
        seen: &Seen,
        sampler: Option<&Proposals>,
        carried: [u64; 3],
        modelled: Option<&MachineRecord>,
    ) -> StageRecord {
        let [down, up, control] = [0, 1, 2].map(|i| carried[i] - self.carried_before[i]);
        let has_head = !stage.program.network().outputs().is_empty();
        let head = |value: Option<f64>| value.filter(|value| has_head && value.is_finite());
        let (epoch, busy) = (modelled.and_then(|m| m.modelled_s), modelled.and_then(|m| m.modelled_compute_s));
        let idle = |busy: f64, all: f64| if all > 0.0 { (1.0 - busy / all).max(0.0) } else { 0.0 };
        StageRecord {
            stage: stage.place.stage,
            replica: stage.place.replica,
            rank: self.comm_rank(),
            layers: stage.share.named(),
            device: self.clock.machine().map_or(String::new(), |machine| machine.profile().name.clone()),
            batches: sums.batches,
            samples: sums.tally.samples,
            train_loss: head(sums.tally.mean_loss()),
            train_acc: head(sums.tally.accuracy()),
            val_loss: head(seen.all.mean_loss()),
            val_acc: head(seen.all.accuracy()),
            exit_share: None,
            proposals: sampler.map_or(0, Proposals::proposed),
            acceptance_conv: sampler.and_then(|sampler| sampler.count(ParameterKind::Conv).rate()),
            acceptance_dense: sampler.and_then(|sampler| sampler.count(ParameterKind::Dense).rate()),
            busy_s: sums.busy,
            wait_s: sums.waited,
            bubble: idle(sums.busy, self.seconds),
            bytes_down: down,
            bytes_up: up,
            bytes_control: control,
            modelled_epoch_s: epoch,
            modelled_busy_s: busy,
            modelled_bubble: epoch.zip(busy).map(|(all, busy)| idle(busy, all)),
        }
    }

    fn tell(&self, reports: &[Report], cursor: Cursor, job: &mut dyn Job) {
        let measured = reports.iter().map(|report| report.left[2]).sum::<u64>() as f64;
        let stage = |report: &Report| {
            let share = (measured > 0.0).then(|| report.left[2] as f64 / measured);
            StageRecord { exit_share: share, ..report.stage.clone() }
        };
        job.emit(Event::Stages { epoch: cursor.epoch, stages: reports.iter().map(stage).collect() });
    }

    fn epoch_record(
        &self,
        reports: &[Report],
        cursor: Cursor,
        rate: f64,
        whole: &[f32],
        backward: bool,
    ) -> EpochRecord {
        let last = reports.iter().map(|report| report.stage.stage).max().unwrap_or(0);
        let at_the_end = reports.iter().filter(|report| report.stage.stage == last);
        let mut train = super::total(at_the_end.map(|report| tally(report.train)));
        if backward {
            // The stages' losses are parts of one sum, as on one rank.
            train.loss = reports.iter().map(|report| tally(report.train).loss).sum();
        }
        let validation = super::total(reports.iter().map(|report| tally(report.left)));
        let epoch_s = reports.iter().map(|report| report.seconds).fold(0.0, f64::max);
        let mean = |of: fn(&Report) -> f64| reports.iter().map(of).sum::<f64>() / reports.len() as f64;
        EpochRecord {
            epoch: cursor.epoch,
            step: cursor.step,
            samples: cursor.samples,
            train_loss: train.mean_loss().unwrap_or(0.0),
            train_acc: train.accuracy().unwrap_or(0.0),
            val_loss: validation.mean_loss(),
            val_acc: validation.accuracy(),
            test_acc: None,
            lr: rate,
            epoch_s,
            samples_per_s: train.samples as f64 / epoch_s.max(1e-9),
            compute_s: mean(|report| report.stage.busy_s),
            comm_s: mean(|report| report.rank.comm_s),
            wait_s: mean(|report| report.rank.wait_s),
            bytes_sent: reports.iter().map(|report| report.rank.bytes_sent).sum(),
            energy_j: self.phases.measured_joules("train"),
            modelled_epoch_s: self.phases.longest("train"),
            modelled_energy_j: self.phases.joules("train"),
            weights_hash: xxh3_64(bytemuck::cast_slice(whole)),
            ranks: reports.iter().map(|report| report.rank.clone()).collect(),
        }
    }
}

/// Replicas of a stage hold the same weights.
fn check_replicas(stage: &Stage, reports: &[Report], cursor: Cursor) -> Result<(), TrainError> {
    let replicas = stage.place.replicas;
    match (0..reports.len()).find(|rank| reports[*rank].hash != reports[rank - rank % replicas].hash) {
        None => Ok(()),
        Some(rank) => {
            let expected = reports[rank - rank % replicas].hash;
            Err(TrainError::Replicas { epoch: cursor.epoch, rank, other: reports[rank].hash, expected })
        }
    }
}
