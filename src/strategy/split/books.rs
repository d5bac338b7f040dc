//! What rounds and epochs were, from what the devices told about themselves: nobody is asked, for somebody may be dead.

use super::round::Report;
use super::server::Server;
use super::wire::Figures;
use crate::comm::Traffic;
use crate::device::{Ledger, Machine};
use crate::event::{EpochRecord, Event, MachineRecord, RankRecord, SplitRecord, SplitTimes};
use crate::nn::Tally;
use crate::plan::split::Observation;
use crate::strategy::{Job, TrainError};
use crate::units::Seconds;
use xxhash_rust::xxh3::xxh3_64;

/// What a device has used until now, as its last figures and the waiting since then tell.
#[derive(Debug, Clone, Copy, Default)]
struct Used {
    computing: f64,
    sending: f64,
    receiving: f64,
    joules: [f64; 4],
}

impl Used {
    fn until(figures: &Figures, now: f64) -> Self {
        let waited = (now - figures.now).max(0.0);
        let Figures { computing, receiving, compute_j, receive_j, idle_w, report_s, .. } = *figures;
        let idle_j = figures.idle_j + idle_w * waited;
        let send_j = figures.send_j + (figures.send_w - idle_w).max(0.0) * report_s;
        let sending = figures.sending + report_s;
        Self { computing, sending, receiving, joules: [compute_j, idle_j, send_j, receive_j] }
    }
}

/// Where everybody stood when an epoch began.
pub(super) struct Books {
    start: Seconds,
    began: f64,
    traffic: Traffic,
    joules: Option<f64>,
    ledger: Ledger,
    figures: Vec<Figures>,
    used: Vec<Used>,
}

impl Books {
    pub fn open(server: &Server, job: &dyn Job) -> Self {
        let figures: Vec<Figures> = (0..server.fleet.len()).map(|device| server.fleet.figures(device)).collect();
        Self {
            start: server.clock.now(),
            began: server.now(),
            traffic: server.comm.traffic(),
            joules: job.energy_j(),
            ledger: server.clock.machine().map(Machine::ledger).unwrap_or_default(),
            used: figures.iter().map(|figures| Used::until(figures, server.now())).collect(),
            figures,
        }
    }

    /// Seconds since then, measured.
    pub fn seconds(&self, server: &Server) -> f64 {
        (server.clock.now() - self.start).0
    }

    /// The epoch's record; the machines' are told at once.
    pub fn record(
        self,
        server: &Server,
        seconds: f64,
        validation: Tally,
        job: &mut dyn Job,
    ) -> Result<EpochRecord, TrainError> {
        let traffic = server.comm.traffic() - self.traffic;
        let mut joules = job.energy_j().zip(self.joules).map(|(now, before)| now - before);
        let served: f64 = (seconds - traffic.talked.0 - traffic.waited.0).max(0.0);
        let mut ranks = vec![RankRecord {
            compute_s: served,
            comm_s: traffic.talked.0,
            wait_s: traffic.waited.0,
            bytes_sent: traffic.sent.0,
            bytes_recv: traffic.received.0,
            rss_mb: job.memory_mb(),
            ..RankRecord::default()
        }];
        for (device, before) in self.figures.iter().enumerate() {
            let now = server.fleet.figures(device);
            let used = now.joules - before.joules;
            joules = if used.is_finite() { Some(joules.unwrap_or(0.0) + used) } else { joules };
            let (compute_s, comm_s) = (now.compute_s - before.compute_s, now.comm_s - before.comm_s);
            ranks.push(RankRecord {
                rank: device + 1,
                samples: (now.trained - before.trained) as u64,
                compute_s,
                comm_s,
                // While the server measures between two epochs, a device waits too.
                wait_s: (now.wait_s - before.wait_s).min((seconds - compute_s - comm_s).max(0.0)),
                bytes_sent: (now.sent - before.sent) as u64,
                bytes_recv: (now.received - before.received) as u64,
                rss_mb: now.memory_mb,
                grid: None,
            });
        }
        let machines = self.machines(server);
        let modelled_energy_j = machines.iter().map(MachineRecord::modelled_j).sum::<Option<f64>>();
        let emulated = server.clock.machine().is_some();
        if emulated {
            job.emit(Event::Energy { epoch: server.cursor.epoch, phase: "train", machines });
        }
        let mean = |of: fn(&RankRecord) -> f64| ranks.iter().map(of).sum::<f64>() / ranks.len() as f64;
        let trainers = (ranks.len() - 1) as f64;
        let tally = server.tally;
        Ok(EpochRecord {
            epoch: server.cursor.epoch,
            step: server.cursor.step,
            samples: server.cursor.samples,
            train_loss: tally.mean_loss().unwrap_or(0.0),
            train_acc: tally.accuracy().unwrap_or(0.0),
            val_loss: validation.mean_loss(),
            val_acc: validation.accuracy(),
            test_acc: None,
            lr: server.rate,
            epoch_s: seconds,
            samples_per_s: tally.samples as f64 / seconds.max(1e-9),
            compute_s: ranks[1..].iter().map(|rank| rank.compute_s).sum::<f64>() / trainers,
            comm_s: mean(|rank| rank.comm_s),
            wait_s: mean(|rank| rank.wait_s),
            bytes_sent: ranks.iter().map(|rank| rank.bytes_sent).sum(),
            energy_j: joules,
            modelled_epoch_s: emulated.then(|| server.now() - self.began),
            modelled_energy_j: modelled_energy_j.filter(|_| emulated),
            weights_hash: xxh3_64(bytemuck::cast_slice(&server.theta)),
            ranks,
        })
    }

    /// What the emulated machines took and used since then, the server's first.
    fn machines(&self, server: &Server) -> Vec<MachineRecord> {
        let Some(machine) = server.clock.machine() else { return Vec::new() };
        let time = server.now() - self.began;
        let mut records = vec![super::super::modelled::record(0, machine, machine.ledger() - self.ledger)];
        for (device, before) in self.used.iter().enumerate() {
            let figures = server.fleet.figures(device);
            // A device that has died draws nothing any more.
            let until = if server.fleet.lives(device) { server.now() } else { figures.now };
            let now = Used::until(&figures, until);
            let joules = |at: usize| Some(now.joules[at] - before.joules[at]);
            records.push(MachineRecord {
                rank: device + 1,
                device: server.chooser.name(device).to_owned(),
                modelled_s: Some(time),
                modelled_compute_s: Some(now.computing - before.computing),
                modelled_send_s: Some(now.sending - before.sending),
                modelled_receive_s: Some(now.receiving - before.receiving),
                modelled_compute_j: joules(0),
                modelled_idle_j: joules(1),
                modelled_send_j: joules(2),
                modelled_receive_j: joules(3),
                measured_j: None,
            });
        }
        records
    }
}

impl Server<'_> {
    /// Chooses the next cuts, and tells what the round was.
    pub(super) fn choose(
        &mut self,
        reports: &[Option<Report>],
        before: &[Figures],
        began: [f64; 2],
        job: &mut dyn Job,
    ) -> Result<(), TrainError> {
        let cuts = self.cuts.clone();
        let reasons: Vec<String> = (0..cuts.len()).map(|device| self.chooser.reason(device).to_owned()).collect();
        let predicted: Vec<_> = (0..cuts.len()).map(|device| self.chooser.predicted(device)).collect();
        let see = |(device, report): (usize, &Option<Report>)| {
            let report = report.as_ref()?;
            Some(self.observation(device, cuts[device], &report.figures, report.carried))
        };
        let seen: Vec<Option<Observation>> = reports.iter().enumerate().map(see).collect();
        if let Some(why) = self.next_cuts(&seen) {
            job.emit(Event::Note { text: format!("round {}: the splits stay as they are: {why}", self.round) });
        }
        let now = self.now();
        let mut records = Vec::new();
        for (device, report) in reports.iter().enumerate() {
            let Some(report) = report else { continue };
            let (figures, old, seen) = (&report.figures, &before[device], seen[device].unwrap_or_default());
            // The last round of an epoch may have fewer samples than planned: it takes its share of that.
            let share = figures.samples / self.chooser.planned(device).max(1.0);
            let foreseen = predicted[device];
            let mbit = |rate: Option<f64>| rate.map(|rate| rate * 8.0 / 1e6);
            let emulated = self.chooser.is_emulated(device);
            let joules = |figures: &Figures, now: f64| Used::until(figures, now).joules.iter().sum::<f64>();
            let rates = |wanted: bool, rate| if wanted { mbit(rate) } else { None };
            records.push(SplitRecord {
                rank: device + 1,
                device: self.chooser.name(device).to_owned(),
                epoch: self.cursor.epoch + 1,
                cut: cuts[device],
                next_cut: self.cuts[device],
                steps: figures.steps as u64,
                samples: figures.samples as u64,
                bytes_up: figures.up as u64 + report.bytes,
                bytes_down: figures.down as u64,
                measured: SplitTimes {
                    round_s: report.at[0] - began[0],
                    device_s: figures.compute_s - old.compute_s,
                    server_s: self.served[device][0],
                    wait_s: figures.blocked,
                    up_mbit_per_s: rates(!emulated, seen.up_bytes_per_s),
                    down_mbit_per_s: rates(!emulated, seen.down_bytes_per_s),
                },
                modelled: emulated.then(|| SplitTimes {
                    round_s: report.at[1] - began[1],
                    device_s: figures.computed,
                    server_s: self.served[device][1],
                    wait_s: figures.waited,
                    up_mbit_per_s: mbit(seen.up_bytes_per_s),
                    down_mbit_per_s: mbit(seen.down_bytes_per_s),
                }),
                modelled_j: emulated.then(|| joules(figures, now) - joules(old, began[1])),
                predicted_s: foreseen.map(|point| share * point.time.0),
                predicted_j: foreseen.map(|point| share * point.energy.0).filter(|_| emulated),
                reason: reasons[device].clone(),
                next_reason: self.chooser.reason(device).to_owned(),
            });
        }
        job.emit(Event::Round { round: self.round, devices: records });
        Ok(())
    }
}
