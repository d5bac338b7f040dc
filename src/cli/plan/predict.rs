//! From candidates and rates to predictions.

use super::candidates::Candidate;
use super::rates::Rates;
use super::split;
use super::stage_costs::Way;
use super::subject::Subject;
use super::upkeep::{self, Piece};
use crate::cli::failure::Failure;
use crate::cli::prepare::Settled;
use crate::cli::{stages, sync};
use crate::config::Sync;
use crate::device::{Delay, Draw};
use crate::nn::Network;
use crate::plan::pipeline::ScheduleKind;
use crate::plan::scale::{self, Averaging, Backprop, Fabric, First, Prediction, StageCost};
use crate::strategy::{self, Hyper, Learn, Local, Strategy, bytes_per_exchange};
use crate::units::{Bytes, Joules, Seconds};

/// What a way to train is predicted to take.
#[derive(Debug, Clone)]
pub struct Predicted {
    /// An epoch.
    pub epoch: Prediction,
    /// What the model has for it, where its own steps were taken here.
    pub modelled: Option<Seconds>,
    /// Samples of a step on all ranks together.
    pub global_batch: usize,
    /// Memory of the rank that needs most.
    pub memory: Bytes,
    /// Energy of all machines in an epoch, where it is known.
    pub energy: Option<Joules>,
    /// How it comes about, in a few words.
    pub how: String,
}

/// Predicts one way.
///
/// # Errors
/// Why it cannot be.
pub fn predict(
    subject: &Subject,
    candidate: &Candidate,
    rates: &mut Rates,
    fabric: &Fabric,
) -> Result<Predicted, Failure> {
    let settled = candidate.settled.as_ref().map_err(Failure::clone)?;
    let hyper = subject.hyper(settled);
    let (ranks, work) = (candidate.ranks, subject.work(&hyper));
    let memory = |parts| strategy::predicted_memory(subject.network, &hyper, parts);
    let mut simulated = None;
    let (mut epoch, memory, how) = match settled.strategy {
        Strategy::Single => {
            let compute = rates.steps(subject, &hyper, 1, 1);
            (scale::single(work, &compute), memory(1), String::new())
        }
        Strategy::AllReduce => {
            let compute = rates.steps(subject, &hyper, ranks, ranks);
            let averaging = averaging(subject, &hyper, work.count(), rates);
            let (epoch, how) = scale::all_reduce(work, ranks, &compute, fabric, averaging);
            (epoch, memory(ranks), format!("sums {how}"))
        }
        Strategy::SendRecv => {
            let (epoch, how) = served(subject, settled, &hyper, ranks, rates, fabric)?;
            (epoch, memory(settled.trainers), how)
        }
        Strategy::Pipeline => pipeline(subject, settled, &hyper, ranks, rates, fabric)?,
        Strategy::Split => {
            let (epoch, memory, how, joules) = split::predict(subject, settled, &hyper, ranks, rates, fabric)?;
            simulated = joules;
            (epoch, memory, how)
        }
    };
    let books = rates.books(subject, ranks);
    epoch.epoch += books;
    epoch.wait += Seconds(books.0 * (ranks as f64 - 1.0) / ranks as f64);
    let modelled = rates.trial(subject, settled, &hyper, ranks, fabric, &epoch).map(|seen| {
        let modelled = epoch.epoch;
        epoch = epoch.of_length(seen);
        modelled
    });
    let workers = settled.trainers.max(settled.chains.0);
    let energy = simulated.or_else(|| rates.energy(subject, ranks, workers, &epoch));
    Ok(Predicted { epoch, modelled, global_batch: work.global_batch.min(work.samples), memory, energy, how })
}

fn averaging(subject: &Subject, hyper: &Hyper, steps: u64, rates: &mut Rates) -> Option<Averaging> {
    let payload = Bytes(bytes_per_exchange(subject.network, hyper));
    let period = match hyper.local? {
        Local::Steps(period) => period.get(),
        // Of several epochs a part of an averaging falls on each: told as one a epoch, at most.
        Local::Epochs(_) => steps.max(1),
    };
    let packing = if subject.devices.is_some() { Seconds(0.0) } else { rates.loops.packing(subject, hyper) };
    Some(Averaging { steps: period, payload, packing })
}

/// A server, in lock-step or with the first results.
fn served(
    subject: &Subject,
    settled: &Settled,
    hyper: &Hyper,
    ranks: usize,
    rates: &mut Rates,
    fabric: &Fabric,
) -> Result<(Prediction, String), Failure> {
    let (workers, work) = (ranks - 1, subject.work(hyper));
    let grid = sync::grid(&settled.config, workers)?;
    let Some(grid) = grid else {
        let compute = rates.steps(subject, hyper, ranks, workers);
        return Ok((scale::send_recv(work, workers, &compute, fabric), "one server".into()));
    };
    sync::fits(&grid, &settled.config, subject.samples(), hyper, workers)?;
    let compute = rates.steps(subject, hyper, ranks, settled.trainers);
    let first = match settled.config.sync {
        Sync::Full | Sync::KSync | Sync::Backup | Sync::KAsync => First::Workers(grid.k),
        Sync::KBatch | Sync::KBatchAsync | Sync::Async | Sync::Shards => First::Results(grid.k),
    };
    let jitter = compute.jitter();
    let kth = |n: usize, k: usize, task: Seconds| delayed(grid.delay.as_ref(), n, k, task, jitter);
    let how = match &grid.delay {
        Some(_) => "order statistics of --delay",
        None => "order statistics of measured steps",
    };
    Ok((scale::grid(work, workers, first, &compute, fabric, &kth), how.into()))
}

/// When the k-th of n tasks is done: by the law of delays, else by how much steps were seen to vary.
fn delayed(delay: Option<&Delay>, n: usize, k: usize, task: Seconds, jitter: Seconds) -> Seconds {
    match delay {
        // Rank 0 is the server.
        Some(delay) => {
            let extra = |worker: usize, draw: Draw| delay.extra(worker + 1, task, draw);
            scale::kth_of_laws(n, k, task, &extra)
        }
        None => Seconds((task.0 + jitter.0 * (scale::harmonic(n, k) - 1.0)).max(0.0)),
    }
}

fn pipeline(
    subject: &Subject,
    settled: &Settled,
    hyper: &Hyper,
    ranks: usize,
    rates: &mut Rates,
    fabric: &Fabric,
) -> Result<(Prediction, Bytes, String), Failure> {
    let (config, chains, work) = (&settled.config, settled.chains, subject.work(hyper));
    let network = Network::build(subject.network.spec().clone())?;
    let (network, plan) =
        stages::lay_out(config, subject.origins, network, chains, subject.devices, subject.samples())?;
    let memory = Bytes(plan.most_memory(&network, hyper, chains.1));
    let cuts: Vec<String> = plan.cuts.iter().map(ToString::to_string).collect();
    let how = format!("{} stages x {}, cuts {}", chains.0, chains.1, cuts.join(","));
    let networks = plan.networks(&network);
    let global = hyper.global_batch.min(subject.samples()).max(1);
    let epoch = match plan.learn {
        Learn::Local { .. } => {
            let costs = rates.stages(subject, hyper, &networks, &plan, Way::Local, global, ranks);
            let piece = Piece { rows: global, dims: most_handed_on(&costs), window: Some(config.window.get()) };
            let upkeep = upkeep::of(subject, hyper, rates, fabric, (&network, &plan, Way::Local), piece, 1);
            scale::local(work, global, config.window.get(), &costs, fabric, upkeep)
        }
        Learn::Backprop { schedule, micro_batches } => {
            let own = global.div_ceil(chains.1);
            let micro_batches = hyper.micro_chunk.map_or(micro_batches, |chunk| own.div_ceil(chunk));
            let rows = own.div_ceil(micro_batches.clamp(1, own));
            let way = if schedule == ScheduleKind::ZeroBubbleH1 { Way::Halves } else { Way::Whole };
            let costs = rates.stages(subject, hyper, &networks, &plan, way, rows, ranks);
            let piece = Piece { rows, dims: most_handed_on(&costs), window: None };
            let upkeep = upkeep::of(subject, hyper, rates, fabric, (&network, &plan, way), piece, micro_batches);
            let plan = Backprop { schedule, replicas: chains.1, micro_batches, rows };
            scale::backprop(work, plan, &costs, fabric, upkeep).map_err(|error| Failure::new(101, error))?
        }
    };
    Ok((epoch, memory, how))
}

/// Elements of the longest message between stages, a sample.
fn most_handed_on(stages: &[StageCost]) -> usize {
    stages.iter().map(|stage| stage.handed_on).max().unwrap_or(0)
}
