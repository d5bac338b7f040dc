//! What an epoch was, from what the workers told about themselves: nobody is asked, for somebody may be dead.

use super::server::Server;
use super::wire::Figures;
use crate::comm::Traffic;
use crate::event::{EpochRecord, GridRecord, RankRecord};
use crate::nn::Tally;
use crate::plan::quorum;
use crate::strategy::{Job, TrainError};
use crate::units::Seconds;
use xxhash_rust::xxh3::xxh3_64;

/// Where everybody stood when an epoch began.
pub(super) struct Books {
    start: Seconds,
    traffic: Traffic,
    joules: Option<f64>,
    workers: Vec<(Figures, quorum::Tally)>,
}

impl Books {
    pub fn open(server: &Server, job: &dyn Job) -> Self {
        let each = |worker| (server.roster.figures(worker), server.quorum.tally(worker));
        let workers = (0..server.roster.len()).map(each).collect();
        Self { start: server.clock.now(), traffic: server.comm.traffic(), joules: job.energy_j(), workers }
    }

    /// Seconds since then.
    pub fn seconds(&self, server: &Server) -> f64 {
        (server.clock.now() - self.start).0
    }

    /// The epoch's record.
    pub fn record(
        self,
        server: &Server,
        seconds: f64,
        validation: Tally,
        job: &dyn Job,
    ) -> Result<EpochRecord, TrainError> {
        if !server.theta.iter().all(|weight| weight.is_finite()) {
            return Err(server.diverged(server.cursor.epoch));
        }
        let traffic = server.comm.traffic() - self.traffic;
        let mut joules = job.energy_j().zip(self.joules).map(|(now, before)| now - before);
        let mut ranks = vec![RankRecord {
            compute_s: (seconds - traffic.talked.0 - traffic.waited.0).max(0.0),
            comm_s: traffic.talked.0,
            wait_s: traffic.waited.0,
            bytes_sent: traffic.sent.0,
            bytes_recv: traffic.received.0,
            rss_mb: job.memory_mb(),
            ..RankRecord::default()
        }];
        for (worker, (before, counted)) in self.workers.iter().enumerate() {
            let (now, tally) = (server.roster.figures(worker), server.quorum.tally(worker));
            let used = now.joules - before.joules;
            joules = if used.is_finite() { Some(joules.unwrap_or(0.0) + used) } else { joules };
            ranks.push(rank(worker, &now, before, grid(&tally, counted)));
        }
        let mean = |of: fn(&RankRecord) -> f64| ranks.iter().map(of).sum::<f64>() / ranks.len() as f64;
        let trainers = ranks.iter().filter(|rank| rank.samples > 0);
        let (count, computed) = trainers.fold((0, 0.0), |(n, sum), rank| (n + 1, sum + rank.compute_s));
        Ok(EpochRecord {
            epoch: server.cursor.epoch,
            step: server.cursor.step,
            samples: server.cursor.samples,
            train_loss: server.tally.mean_loss().unwrap_or(0.0),
            train_acc: server.tally.accuracy().unwrap_or(0.0),
            val_loss: validation.mean_loss(),
            val_acc: validation.accuracy(),
            test_acc: None,
            lr: server.rate,
            epoch_s: seconds,
            samples_per_s: server.tally.samples as f64 / seconds.max(1e-9),
            compute_s: computed / f64::from(count.max(1)),
            comm_s: mean(|rank| rank.comm_s),
            wait_s: mean(|rank| rank.wait_s),
            bytes_sent: ranks.iter().map(|rank| rank.bytes_sent).sum(),
            energy_j: joules,
            modelled_epoch_s: None,
            modelled_energy_j: None,
            weights_hash: xxh3_64(bytemuck::cast_slice(&server.theta)),
            ranks,
        })
    }
}

fn rank(worker: usize, now: &Figures, before: &Figures, grid: GridRecord) -> RankRecord {
    RankRecord {
        rank: worker + 1,
        samples: (now.trained - before.trained) as u64,
        compute_s: now.compute_s - before.compute_s,
        comm_s: now.comm_s - before.comm_s,
        wait_s: now.wait_s - before.wait_s,
        bytes_sent: (now.sent - before.sent) as u64,
        bytes_recv: (now.received - before.received) as u64,
        rss_mb: now.memory_mb,
        grid: Some(grid),
    }
}

fn grid(now: &quorum::Tally, before: &quorum::Tally) -> GridRecord {
    let taken = now.taken - before.taken;
    let staleness = (now.staleness_sum - before.staleness_sum) as f64;
    GridRecord {
        taken,
        stale: now.stale - before.stale,
        duplicate: now.duplicate - before.duplicate,
        cancelled: now.cancelled - before.cancelled,
        repeated: now.repeated - before.repeated,
        staleness: if taken > 0 { staleness / taken as f64 } else { 0.0 },
        staleness_max: now.staleness_max,
    }
}
