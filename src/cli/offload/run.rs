//! Mode offload on all ranks, from the configuration to the files of its run.

use super::counting::Counting;
use super::decide::{Decision, decide};
use super::inputs::Inputs;
use super::measured::{self, Rates};
use super::network::{Asked, Whole, model};
use super::orders::{EVALUATIONS, Orders, Task};
use super::results::{Results, Writing};
use super::{arrivals, keys, results};
use crate::cli::args::TrainArgs;
use crate::cli::ears::Ears;
use crate::cli::failure::Failure;
use crate::cli::host::{self, Place};
use crate::cli::prepare::{self, Configured};
use crate::cli::ranks::{Ended, agreed, from_rank_0};
use crate::cli::vigil::{Vigil, Watcher};
use crate::comm::{Communicator, Emulated, HEADER, Identity};
use crate::config::{ClockKind, Config, Granularity as Fine};
use crate::device::{Clock, Devices, EmulatedClock, Machine, Pace, RealClock};
use crate::nn::{Init, Network};
use crate::plan::placement::simulate::{EmulatedRanks, Request, Scene, Script, simulate};
use crate::plan::placement::{Ask, Fused, Judge, Limits, Objective, Plan, auto, fuse};
use crate::strategy::offload::{Granularity, Offload, OffloadGraph, Served, Weights, serve, task_times};
use crate::units::{Bytes, Seconds};
use std::path::Path;
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::xxh3_64;

/// What a rank of the job has besides its communicator.
pub struct Setting<'a> {
    /// The command line.
    pub args: &'a TrainArgs,
    /// The MPI library of this world.
    pub mpi: Option<String>,
    /// When the program began.
    pub started: Instant,
    /// Who watches over the ranks.
    pub vigil: &'a Vigil,
    /// Whether the launcher lets the other ranks live when one dies.
    pub lets_live: bool,
    /// Where all ranks are.
    pub places: &'a [Place],
    /// Their threads.
    pub threads: &'a [usize],
}

/// Everything that the ranks agreed on.
struct Agreed {
    config: Config,
    devices: Option<Devices>,
    whole: Whole,
    /// The tasks as they run.
    work: OffloadGraph,
    /// The tasks before any were fused.
    tasks: usize,
    requests: Vec<Request>,
    plans: Vec<Plan>,
    choice: Vec<usize>,
    rates: Option<Rates>,
    inputs: Inputs,
    /// What emulated machines follow.
    script: Option<Script>,
}

/// Answers the requests of a configuration.
///
/// # Collective
/// Every rank must call it.
pub fn run(setting: &Setting, comm: &dyn Communicator, configured: Configured) -> Result<(), Ended> {
    let (it, decision) = agree(comm, configured)?;
    let writing = match (comm.rank(), &decision) {
        (0, Some(decision)) => results::open(setting, &it.config, &it.about(comm.size()), decision).map(Some),
        _ => Ok(None),
    };
    let mut writing = agreed(comm, writing)?;
    setting.vigil.configure(&it.config, comm.rank(), it.script.is_none(), None, Vec::new());
    let dir = writing.as_ref().map(Writing::dir);
    dir.into_iter().for_each(|dir| setting.vigil.tell_in(dir));
    // Ranks that are threads have one process: rank 0 listens for all.
    let listens = comm.rank() == 0 || setting.mpi.is_some();
    let advice = "nothing is kept of requests that were not all answered; run it again";
    let ears = listens.then(|| Ears::open(dir, advice));
    let served = it.serve(comm, setting.vigil.watcher(comm.rank()));
    drop(ears);
    let Some(writing) = writing.take() else { return served.map(drop) };
    match served {
        Ok(served) => {
            let served = served.expect("rank 0 gets the record");
            if !served.lost.is_empty() {
                setting.vigil.has_lost_ranks();
                // A launcher that ends the job with a rank would do so before all is written.
                if setting.lets_live {
                    host::end_frozen(setting.places, &served.lost);
                }
            }
            it.write(writing, &served, decision.as_ref().expect("rank 0 decided")).map_err(Ended::Own)
        }
        Err(ended) => {
            let (code, message) = ended.summary();
            writing.failed(i32::from(code), message);
            Err(ended)
        }
    }
}

/// Everything before the first request.
fn agree(comm: &dyn Communicator, configured: Configured) -> Result<(Agreed, Option<Decision>), Ended> {
    let Configured { config, origins, .. } = configured;
    agreed(comm, keys::check(&config, &origins, comm.size()))?;
    let devices = agreed(comm, prepare::devices(&config, comm.size()))?;
    if let Some(devices) = &devices {
        agreed(comm, keys::check_prices(&config, &origins, devices))?;
        let text = format!("{:016x}", xxh3_64(format!("{devices:?}").as_bytes()));
        prepare::same(comm, &Identity::default().with("the device file", text))?;
    }
    let asked = from_rank_0(comm, || Asked::read(&config))?;
    let whole = agreed(comm, asked.network(&config))?;
    let network = &whole.network;
    let fine = match config.granularity {
        Fine::Layer => Granularity::Layer,
        Fine::Block => Granularity::Block,
    };
    let graph = OffloadGraph::of(network, fine).map_err(|error| Failure::new(4, error.to_string()));
    let graph = agreed(comm, graph)?;
    let inputs = agreed(comm, inputs(&config, network, comm.rank()))?;
    let clock = RealClock::start();
    let link = if devices.is_none() { Some(measured::link(comm, &clock)?) } else { None };
    let mut decision = None;
    let orders = from_rank_0(comm, || {
        let rates = link.map(|(bytes_per_s, latency)| measure(&whole, &graph, &inputs, &config, bytes_per_s, latency));
        let rates = rates.transpose()?;
        let task = Task {
            config: &config,
            graph: &graph.graph,
            devices: devices.as_ref(),
            rates: rates.as_ref(),
            ranks: comm.size(),
        };
        let decided = decide(&task, &arrivals::requests(&config, &origins)?)?;
        let orders = decided.orders.clone();
        decision = Some(decided);
        Ok(orders)
    })?;
    let it = Agreed::from(config, devices, whole, graph, inputs, orders);
    Ok((agreed(comm, it)?, decision))
}

/// What tasks take here, each by itself.
fn measure(
    whole: &Whole,
    graph: &OffloadGraph,
    inputs: &Inputs,
    config: &Config,
    bytes_per_s: f64,
    latency: f64,
) -> Result<Rates, Failure> {
    let clock = RealClock::start();
    let times = task_times(&whole.network, graph, weights(config, whole), &inputs.of(0), &clock);
    let times = times.map_err(|error| Failure::new(4, error.to_string()))?;
    Ok(Rates { tasks: times.into_iter().map(|time| time.0).collect(), bytes_per_s, latency })
}

/// The inputs of a source; others need none.
fn inputs(config: &Config, network: &Network, rank: usize) -> Result<Inputs, Failure> {
    let (shape, requests) = (&network.shapes()[0], config.requests.get());
    match &config.pictures {
        Some(folder) if rank == 0 || config.sources.0.contains(&rank) => {
            Inputs::of_folder(Path::new(folder), shape, requests)
        }
        _ => Ok(Inputs::synthetic(shape, requests, config.seed)),
    }
}

fn weights<'a>(config: &Config, whole: &'a Whole) -> Weights<'a> {
    if let Some((theta, sigma)) = &whole.trained {
        return Weights::Given { theta, sigma };
    }
    let init = if model(config).is_mlp() { Init::Glorot } else { Init::He };
    Weights::Drawn { init, seed: config.seed }
}

impl Agreed {
    fn from(
        config: Config,
        devices: Option<Devices>,
        whole: Whole,
        graph: OffloadGraph,
        inputs: Inputs,
        orders: Orders,
    ) -> Result<Self, Failure> {
        let (requests, plans) = (orders.requests(), orders.plans());
        let tasks = graph.graph.tasks().len();
        let mut rates = orders.rates;
        let (work, plans) = match config.fuse {
            false => (graph, plans),
            true => {
                let fused = fuse(&graph.graph, &plans).map_err(|error| Failure::new(4, error.to_string()))?;
                rates = rates.map(|rates| together(rates, &fused));
                (graph.fused(&fused), fused.plans)
            }
        };
        let mut it = Self {
            config,
            devices,
            whole,
            work,
            tasks,
            requests,
            plans,
            choice: orders.choice,
            rates,
            inputs,
            script: None,
        };
        it.script = it.devices.as_ref().map(|devices| it.simulated(devices));
        Ok(it)
    }

    /// What emulated machines will do.
    fn simulated(&self, devices: &Devices) -> Script {
        let (queue, header) = (self.config.queue.get(), Bytes(HEADER as u64));
        let scene = Scene { graph: &self.work.graph, requests: &self.requests, queue, header };
        let mut ranks = EmulatedRanks::new(&self.work.graph, devices);
        simulate(&scene, &mut ranks, &mut self.plans.clone(), &mut |moment, _| self.choice[moment.request])
    }

    fn serve(&self, comm: &dyn Communicator, watcher: Watcher) -> Result<Option<Served>, Ended> {
        let replan = |source: usize, alive: &[bool]| self.without(source, alive);
        let offload = Offload {
            network: &self.whole.network,
            work: &self.work,
            weights: weights(&self.config, &self.whole),
            input: &|request| self.inputs.of(request),
            requests: &self.requests,
            plans: &self.plans,
            choice: &self.choice,
            queue: self.config.queue.get(),
            script: self.script.as_ref(),
            replan: Some(&replan),
        };
        let Some(devices) = &self.devices else {
            return Ok(serve(&offload, comm, &Counting::new(&RealClock::start(), watcher))?);
        };
        let pace = match self.config.clock {
            ClockKind::Virtual => Pace::Virtual,
            ClockKind::Real => Pace::Real,
        };
        let machine = Machine::new(devices.profile(comm.rank()), self.work.graph.name());
        let clock = EmulatedClock::start(machine, pace);
        let emulated = Emulated::new(comm, clock.machine().expect("it was made with one"), devices);
        Ok(serve(&offload, &emulated, &Counting::new(&clock, watcher))?)
    }

    /// A plan for the requests of a source on the ranks that are left.
    fn without(&self, source: usize, alive: &[bool]) -> Option<Plan> {
        const PATIENCE: Duration = Duration::from_millis(200);
        let mut problem = self.rates.as_ref()?.problem(&self.work.graph, source, alive.len());
        for times in &mut problem.time {
            times
                .iter_mut()
                .zip(alive)
                .filter(|(_, alive)| !**alive)
                .for_each(|(time, _)| *time = Seconds(f64::INFINITY));
        }
        let judge = Judge::new(&problem, Objective::Time, Limits::default());
        let until = Instant::now() + PATIENCE;
        let ask = Ask { judge, tiers: &[], seed: self.config.seed, evaluations: EVALUATIONS };
        auto(&ask, &mut || Instant::now() < until).ok().map(|found| found.plan)
    }

    fn about(&self, ranks: usize) -> results::About<'_> {
        results::About {
            model: self.work.graph.name(),
            parameters: self.whole.network.theta_len(),
            trained: model(&self.config).trained(),
            tasks: self.tasks,
            groups: self.work.graph.tasks().len(),
            inputs: &self.inputs.words,
            ranks,
            devices: self.devices.as_ref(),
        }
    }

    fn write(&self, writing: Writing, served: &Served, decision: &Decision) -> Result<(), Failure> {
        let results =
            Results { config: &self.config, graph: &self.work.graph, devices: self.devices.as_ref(), served, decision };
        results.write(writing)
    }
}

/// A group takes what its tasks take.
fn together(rates: Rates, fused: &Fused) -> Rates {
    let sum = |group: &Vec<usize>| group.iter().map(|task| rates.tasks[*task]).sum();
    Rates { tasks: fused.groups.iter().map(sum).collect(), ..rates }
}
