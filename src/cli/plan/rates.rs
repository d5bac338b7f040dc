//! The rates that predictions are made of: measured when they are first asked for, or a device file's.

use super::books;
use super::stage_costs::{self, Way};
use super::steps::{self, StepTime};
use super::subject::Subject;
use super::trial;
use super::upkeep::Loops;
use crate::cli::prepare::Settled;
use crate::comm::Communicator;
use crate::device::{Devices, Pass, Work};
use crate::nn::Network;
use crate::plan::scale::{Compute, Fabric, Prediction, StageCost};
use crate::run::power::EnergyMeter;
use crate::strategy::{Hyper, Pipeline};
use crate::units::{Flops, Joules, Seconds};
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

/// Who measures.
#[derive(Clone, Copy)]
pub enum Beside<'a> {
    /// This process starts as many threads as ranks would run side by side.
    Started,
    /// All ranks of the job measure now, each on its own threads.
    Launched {
        /// All of them.
        comm: &'a dyn Communicator,
        /// The one with which rank 0 measures messages.
        peer: usize,
    },
}

/// Rates, and where they come from.
pub struct Rates<'a> {
    beside: Beside<'a>,
    steps: HashMap<(usize, usize, usize), StepTime>,
    stages: HashMap<(Vec<usize>, Way, usize, usize), Vec<StageCost>>,
    /// Seconds of measuring, by what was measured.
    pub spent: [f64; 3],
    /// What rank 0 takes to write down an epoch, by ranks.
    books: HashMap<usize, Seconds>,
    /// What it costs to run chains.
    pub loops: Loops,
    meter: Option<EnergyMeter>,
    seconds: f64,
    joules: f64,
}

impl<'a> Rates<'a> {
    /// No rate is known yet.
    pub fn new(beside: Beside<'a>, sensor: Option<&str>) -> Self {
        let meter = EnergyMeter::open(sensor.map(Path::new)).ok().flatten();
        let (steps, stages, books, loops) = Default::default();
        Self { beside, steps, stages, books, loops, spent: [0.0; 3], meter, seconds: 0.0, joules: 0.0 }
    }

    /// Whether ranks of a job measured.
    pub fn of_job(&self) -> bool {
        matches!(self.beside, Beside::Launched { .. })
    }

    /// Who measures.
    pub fn beside(&self) -> Beside<'a> {
        self.beside
    }

    /// Watts of this machine while it was measured.
    pub fn watts(&self) -> Option<f64> {
        (self.joules > 0.0).then(|| self.joules / self.seconds)
    }

    /// Times `what`, and the energy that it takes.
    fn timed<T>(&mut self, kind: usize, what: impl FnOnce() -> T) -> T {
        let (start, before) = (Instant::now(), self.meter.as_ref().and_then(EnergyMeter::joules));
        let result = what();
        let (seconds, after) = (start.elapsed().as_secs_f64(), self.meter.as_ref().and_then(EnergyMeter::joules));
        self.spent[kind] += seconds;
        if let (Some(before), Some(after)) = (before, after) {
            self.seconds += seconds;
            self.joules += (after - before).0;
        }
        result
    }

    /// Steps of one of so many ranks, `parts` of which share a global batch.
    pub fn steps(&mut self, subject: &Subject, hyper: &Hyper, ranks: usize, parts: usize) -> Compute {
        let rows = hyper.global_batch.min(subject.samples()).div_ceil(parts.max(1)).max(1);
        if let Some(devices) = subject.devices {
            return of_devices(subject, devices, usize::from(parts < ranks)..ranks);
        }
        // A server does not compute.
        let (threads, beside) = (subject.threads(ranks), subject.beside(ranks).min(parts.max(1)));
        let alone = parts <= 1;
        let mut points = vec![rows, rows.div_ceil(2)];
        points.dedup();
        let times: Vec<(usize, StepTime)> =
            points.into_iter().map(|rows| (rows, self.step(subject, hyper, rows, (threads, beside), alone))).collect();
        let compute = Compute::from_points(times.iter().map(|(rows, time)| (*rows, time.seconds)));
        compute.with_jitter(times[0].1.jitter).crowded(self.crowd(subject, ranks))
    }

    /// How much slower ranks are than they were measured: those of a job were measured all at once.
    fn crowd(&self, subject: &Subject, ranks: usize) -> f64 {
        match self.beside {
            Beside::Started => subject.crowd(ranks),
            Beside::Launched { .. } => 1.0,
        }
    }

    fn step(
        &mut self,
        subject: &Subject,
        hyper: &Hyper,
        rows: usize,
        (threads, beside): (usize, usize),
        alone: bool,
    ) -> StepTime {
        // Ranks of a job measure what they are, and all of them have to come to the same measurements: what differs from
        // host to host tells none apart.
        let key = match self.beside {
            Beside::Started => (rows, threads, beside),
            Beside::Launched { .. } => (rows, usize::from(alone), 0),
        };
        if let Some(known) = self.steps.get(&key) {
            return *known;
        }
        let who = self.beside;
        let time = self.timed(0, || match who {
            Beside::Started => steps::measure(subject, hyper, rows, threads, beside),
            Beside::Launched { comm, .. } if alone => {
                // Rank 0 alone, as it would be; what it finds is what counts.
                let time = if comm.rank() == 0 { steps::here(subject, hyper, rows) } else { StepTime::default() };
                // A job that breaks here is told of at its next meeting.
                let _ = comm.barrier();
                time
            }
            Beside::Launched { .. } => steps::here(subject, hyper, rows),
        });
        self.steps.insert(key, time);
        time
    }

    /// The stages of a pipeline on so many ranks, for pieces of so many rows.
    #[allow(clippy::too_many_arguments)]
    pub fn stages(
        &mut self,
        subject: &Subject,
        hyper: &Hyper,
        networks: &[Network],
        plan: &Pipeline,
        way: Way,
        rows: usize,
        ranks: usize,
    ) -> Vec<StageCost> {
        if let Some(devices) = subject.devices {
            return stages_of_devices(subject, devices, networks, (plan, way), rows, ranks / networks.len());
        }
        let (threads, beside) = (subject.threads(ranks), subject.beside(ranks));
        let key = (plan.cuts.clone(), way, rows, threads * 1_000_000 + beside);
        let costs = match self.stages.get(&key) {
            Some(known) => known.clone(),
            None => {
                let who = self.beside;
                let costs = self.timed(1, || match who {
                    Beside::Started => stage_costs::measure(subject, hyper, networks, way, rows, threads, beside),
                    Beside::Launched { .. } => {
                        let here = |index| stage_costs::here(subject, hyper, networks, index, way, rows);
                        (0..networks.len()).map(here).collect()
                    }
                });
                self.stages.insert(key, costs.clone());
                costs
            }
        };
        let crowd = self.crowd(subject, ranks).max(1.0);
        let slower = |time: Seconds| Seconds(time.0 * crowd);
        let all = costs.into_iter().map(|cost| StageCost {
            forward: slower(cost.forward),
            backward_input: slower(cost.backward_input),
            backward_params: slower(cost.backward_params),
            update: slower(cost.update),
            ..cost
        });
        all.collect()
    }

    /// An epoch of this way to train by its own steps, where its ranks are here.
    pub fn trial(
        &mut self,
        subject: &Subject,
        settled: &Settled,
        hyper: &Hyper,
        ranks: usize,
        fabric: &Fabric,
        modelled: &Prediction,
    ) -> Option<Seconds> {
        let beside = self.beside;
        self.timed(2, || trial::epoch(subject, settled, hyper, ranks, (beside, fabric), modelled))
    }

    /// What others wait for rank 0 while it writes down an epoch; nothing on emulated machines and where nobody waits.
    pub fn books(&mut self, subject: &Subject, ranks: usize) -> Seconds {
        if ranks == 1 || subject.devices.is_some() {
            return Seconds(0.0);
        }
        *self.books.entry(ranks).or_insert_with(|| books::measure(ranks).unwrap_or_default())
    }

    /// The energy of an epoch on all machines: by the devices' powers, else by what this machine drew while measured.
    pub fn energy(&self, subject: &Subject, ranks: usize, busy: usize, epoch: &Prediction) -> Option<Joules> {
        let Some(devices) = subject.devices else {
            let nodes = ranks.div_ceil(subject.sharing(ranks)) as f64;
            return self.watts().map(|watts| Joules(watts * nodes * epoch.epoch.0));
        };
        let joules = (0..ranks).map(|rank| {
            let power = devices.profile(rank).power;
            let computes = ranks - rank <= busy;
            let computing = if computes { epoch.compute.0 } else { 0.0 };
            power.compute.0 * computing + power.idle.0 * (epoch.epoch.0 - computing).max(0.0)
        });
        Some(Joules(joules.sum()))
    }
}

/// The slowest machine's seconds, of those that train.
fn of_devices(subject: &Subject, devices: &Devices, ranks: Range<usize>) -> Compute {
    let model = subject.config.model.to_string();
    let program = crate::nn::Program::compile(subject.network, crate::nn::Flavor::Fused);
    let flops = program.flops();
    let blocks = 0..subject.network.cuts().len() + 1;
    let row = |rank: usize| {
        let price = |flops: Flops, pass| {
            devices.profile(rank).price(&model, &Work { flops, blocks: blocks.clone(), rows: 1, pass }).0
        };
        price(flops.forward, Pass::Forward) + price(flops.backward(), Pass::Backward)
    };
    let slowest = ranks.map(row).fold(0.0, f64::max);
    Compute::from_rates(Seconds(slowest), Seconds(0.0))
}

fn stages_of_devices(
    subject: &Subject,
    devices: &Devices,
    networks: &[Network],
    (plan, way): (&Pipeline, Way),
    rows: usize,
    replicas: usize,
) -> Vec<StageCost> {
    let model = subject.config.model.to_string();
    let last = subject.network.cuts().len() + 1;
    let stage = |(index, network): (usize, &Network)| {
        let program = crate::nn::Program::compile(network, crate::nn::Flavor::Fused);
        let fed = index > 0 && way != Way::Local;
        let program = if fed { program.with_input_gradients() } else { program };
        let flops = program.flops();
        let from = index.checked_sub(1).map_or(0, |before| plan.cuts[before]);
        let blocks = from..plan.cuts.get(index).copied().unwrap_or(last);
        let price = |flops: Flops, pass| {
            let work = Work { flops: Flops(flops.0 * rows as u64), blocks: blocks.clone(), rows, pass };
            devices.profile(index * replicas).price(&model, &work)
        };
        let exports = network.exports().first().map_or(0, |value| network.shapes()[*value].elements());
        StageCost {
            forward: price(flops.forward, Pass::Forward),
            backward_input: price(flops.backward_input, Pass::BackwardInput),
            backward_params: price(flops.backward_params, Pass::BackwardParams),
            update: Seconds(0.0),
            handed_on: exports,
            payload: crate::units::Bytes(4 * network.theta_len() as u64),
        }
    };
    networks.iter().enumerate().map(stage).collect()
}
