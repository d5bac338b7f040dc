//! The end of an epoch: what it came to is measured, gathered, compared and told.

use super::fit::{EpochSums, Training};
use super::learner::Weights;
use super::stepper::Stepper;
use super::{Job, TrainError, Turn};
use crate::comm::{Communicator, Reduce, Traffic, Values};
use crate::data::order::balanced;
use crate::event::{EpochRecord, Event, RankRecord};
use crate::nn::Tally;
use xxhash_rust::xxh3::xxh3_64;

impl Training<'_> {
    /// Records an epoch. Tells what was wished for at its end.
    pub fn close_epoch(&mut self, stepper: &Stepper, job: &mut dyn Job) -> Result<Turn, TrainError> {
        let opened = self.opened.as_mut().expect("the epoch was opened");
        let (now, traffic) = (self.clock.now(), self.comm.traffic());
        let (seconds, traffic) = *opened.spent.get_or_insert(((now - opened.start).0, traffic - opened.before));
        let (mut phases, sums) = (opened.phases.clone(), self.sums);
        phases.end("train", job)?;
        // Measuring and keeping books is no part of what the emulated machines are timed for.
        self.clock.machine().inspect(|machine| machine.hold(true));
        let mut record = self.record(sums, seconds, traffic, job.memory_mb())?;
        record.energy_j = phases.measured_joules("train");
        record.modelled_epoch_s = phases.longest("train");
        record.modelled_energy_j = phases.joules("train");
        if sums.turn == Turn::Stop || self.cursor.epoch == self.task.hyper.epochs {
            self.fit.test = self.measure_everywhere(self.task.test)?;
            record.test_acc = self.fit.test.accuracy();
        }
        self.clock.machine().inspect(|machine| machine.hold(false));
        self.due = false;
        self.opened = None;
        if std::mem::replace(&mut self.told, record.epoch) < record.epoch {
            self.fit.loop_s += record.epoch_s;
            self.talk_s += record.comm_s + record.wait_s;
            phases.tell(record.epoch, job);
            job.emit(Event::Epoch(record.clone()));
            self.fit.last = Some(record);
            self.keep(stepper, sums.turn, job)?;
        }
        Ok(sums.turn)
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
    pub fn measure_everywhere(&mut self, samples: &dyn crate::data::Samples) -> Result<Tally, TrainError> {
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
        let ranks: Vec<RankRecord> =
            rows.iter().enumerate().map(|(rank, row)| rank_record(self.comm.world_rank(rank), row)).collect();
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

    fn check_replicas(&self, rows: &[&[f64]]) -> Result<(), TrainError> {
        let hash = |row: &[f64]| ((row[0] as u64) << 32) | row[1] as u64;
        match rows.iter().position(|row| hash(row) != hash(rows[0])) {
            None => Ok(()),
            Some(rank) => Err(TrainError::Replicas {
                epoch: self.cursor.epoch,
                rank: self.comm.world_rank(rank),
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
