//! Training, from the typed command to the finished run directory.

use super::args::TrainArgs;
use super::crossval;
use super::decoding::Decoding;
use super::emulate;
use super::failure::{CHECKPOINTED, Failure};
use super::host::{self, Place};
use super::keeper::Keeper;
use super::live;
use super::observer::{Observer, stopped, together, told};
use super::offload;
use super::output::{Opening, Output};
use super::plan;
use super::prepare::{Prepared, configure, prepare};
use super::ranks::{self, Ended, World, agreed};
use super::resume::{Begin, resume_command};
use super::save;
use super::stages;
use super::task::{self, Parts};
use super::vigil::Vigil;
use crate::comm::launcher::Launcher;
use crate::comm::{Communicator, gather_texts};
use crate::config::{Config, Dataset, Mode};
use crate::data::pictures::Augment;
use crate::event::Event;
use crate::report::terminal::Head;
use crate::run::checkpoint::CheckpointMeta;
use crate::run::fault::{self, Fault};
use crate::run::power::EnergyMeter;
use crate::run::run_name;
use crate::run::signals::{StopRequest, die_with_parent};
use crate::run::state::{RunJson, State, timestamp};
use crate::strategy::{self, Ending, Task, TrainError};
use crate::units::Bytes;
use std::path::Path;
use std::sync::{Mutex, OnceLock};
use std::time::{Instant, SystemTime};

/// Runs `goai-rs [TRAIN OPTIONS]` and returns the exit code.
pub fn train(args: Result<TrainArgs, Failure>, launcher: &Launcher) -> i32 {
    let started = Instant::now();
    let (world, args) = match choose_world(&args, launcher) {
        Ok(world) => (world, args),
        // By way of MPI it is told once: a rank that just ended would have the launcher kill rank 0 before it spoke.
        Err(failure) if cfg!(feature = "mpi") => (World::Mpi, Err(failure)),
        Err(failure) => return ranks::tell_alone(launcher, failure),
    };
    let cause = OnceLock::new();
    if launcher.name.is_some() {
        die_with_parent();
    }
    world.run(launcher, |comm, vigil| {
        let scene = Scene { args: &args, launcher, world, started, cause: &cause, vigil };
        scene.rank(comm)
    })
}

/// Which ranks the command line asks for.
fn choose_world(args: &Result<TrainArgs, Failure>, launcher: &Launcher) -> Result<World, Failure> {
    let Ok(args) = args else { return Ok(World::Mpi) };
    let many = launcher.size.filter(|size| *size > 1);
    let clash = |flag: &str, size| Err(ranks::clash(flag, size, launcher));
    match (args.is_single(), args.ranks, many) {
        (true, _, Some(size)) => clash("--single", size),
        (_, Some(_), Some(size)) => clash("--ranks", size),
        (true, ..) => Ok(World::Solo),
        (_, Some(ranks), _) => Ok(World::Threads(ranks.get())),
        _ if !cfg!(feature = "mpi") && launcher.name.is_none() => Ok(World::Solo),
        _ => Ok(World::Mpi),
    }
}

/// What a rank's work depends on besides its communicator.
struct Scene<'a> {
    args: &'a Result<TrainArgs, Failure>,
    launcher: &'a Launcher,
    world: World,
    started: Instant,
    /// Why the first rank of this process failed that failed alone.
    cause: &'a OnceLock<Failure>,
    vigil: &'a Vigil,
}

impl Scene<'_> {
    /// One rank's work from beginning to end.
    fn rank(&self, comm: &dyn Communicator) -> Result<(), Ended> {
        let mut configured = configure(comm, self.args)?;
        let Ok(args) = self.args else { unreachable!("the ranks agreed on well-formed arguments") };
        if configured.done {
            configured.complete.iter().for_each(|done| done.tell(args));
            return Ok(());
        }
        let places = gather_places(comm)?;
        let most = configured.config.parallelism.map(usize::from);
        let threads = host::threads(&places, configured.config.threads, most);
        let bounded = threads != host::threads(&places, configured.config.threads, None);
        self.start_threads(threads[comm.rank()]);
        if configured.config.mode == Some(Mode::Offload) {
            let Self { started, vigil, .. } = *self;
            let (mpi, places, threads) = (self.library(), &places[..], &threads[..]);
            let lets_live = self.launcher.survival.lets_live();
            let setting = offload::Setting { args, mpi, started, vigil, lets_live, places, threads };
            return offload::run(&setting, comm, configured);
        }
        let decoding = match comm.rank() {
            0 => Decoding::shown(args.shown(self.launcher)),
            _ => Decoding::silent(),
        };
        self.vigil.configure(&configured.config, comm.rank(), false, None, Vec::new());
        let chosen = plan::choose(comm, &mut configured, &places, &decoding, self.world != World::Mpi)?;
        let (prepared, begin) = prepare(comm, configured, &places, &decoding)?;
        // Not before: until steps are made nobody reads the request, and a signal has to end what waits for a file.
        let stop = StopRequest::listen();
        let fault = agreed(comm, planned_fault())?;
        let output = match comm.rank() {
            0 => self.open(args, &prepared, &places, &threads, begin).map(Some),
            _ => Ok(None),
        };
        let mut output = agreed(comm, output)?;
        if let Some(output) = &mut output {
            // A bound that binds nothing is worth a line only to those who ask for more.
            let notes = if bounded || args.verbose > 0 { prepared.config.notes() } else { Vec::new() };
            let notes = notes.into_iter().chain(chosen).chain(prepared.notes.clone()).chain(self.library_note());
            let notes = notes.chain(self.vigil.notes().iter().cloned());
            self.vigil.tell_in(&output.dir);
            notes.for_each(|text| output.hear(&Event::Note { text }));
        }
        let meter = agreed(comm, energy_meter(&prepared.config, &places, comm.rank()))?;
        let result = self.work(comm, &prepared, &mut output, stop, fault, meter, &places);
        if let Err(Ended::Own(failure)) = &result {
            let _ = self.cause.set(failure.clone());
        }
        let Some(output) = output else { return result };
        let (code, error) = match &result {
            Ok(()) => (0, None),
            Err(ended) if ended.summary().0 == CHECKPOINTED => (CHECKPOINTED.into(), None),
            Err(Ended::PeerLost(failure)) if self.world == World::Mpi => {
                (failure.code.into(), Some(failure.message.clone()))
            }
            // The end of a rank that is a thread: why is known before it is gone, unless it panicked.
            Err(Ended::PeerLost(_)) => match self.cause.get() {
                Some(failure) => (failure.code.into(), Some(failure.message.clone())),
                None => (101, Some("a rank panicked; its message on standard error says where".into())),
            },
            Err(ended) => {
                let (code, message) = ended.summary();
                (i32::from(code), Some(message))
            }
        };
        let closed = output.close(code, error).map_err(|e| Ended::Own(e.into()));
        result.and(closed)
    }

    /// Trains or cross-validates, and saves what came out.
    #[allow(clippy::too_many_arguments)]
    fn work(
        &self,
        comm: &dyn Communicator,
        prepared: &Prepared,
        output: &mut Option<Output>,
        stop: StopRequest,
        fault: Option<Fault>,
        meter: Option<EnergyMeter>,
        places: &[Place],
    ) -> Result<(), Ended> {
        let config = &prepared.config;
        if config.folds > 0 {
            return crossval::cross_validate(comm, prepared, output, stop, fault);
        }
        let split = task::split(&prepared.data, config.data_split, config.seed);
        let parts = Parts::cut(&prepared.data, &split, prepared.augment);
        let network = &prepared.network;
        let hyper = task::hyper(config, parts.train.len(), prepared.trainers);
        let task = Task {
            network,
            train: &*parts.train,
            validation: &*parts.validation,
            test: &*parts.test,
            hyper,
            pipeline: prepared.pipeline.as_ref(),
            grid: prepared.grid.as_ref(),
            split: prepared.split.as_ref(),
            resume: prepared.resume.as_ref(),
        };
        let live = match &prepared.pipeline {
            Some(pipeline) => live::open(comm, pipeline.stages(), output.as_ref().map(|output| output.dir.path()))?,
            None => None,
        };
        let keeper = output.as_ref().map(|output| keeper(prepared, &parts, output, comm.size()));
        let command =
            output.as_ref().map(|output| resume_command(self.world, self.launcher, comm.size(), output.dir.path()));
        // Some ranks of a grid or a split may die, and training goes on.
        let way_on = command.clone().filter(|_| config.checkpoint_every.is_some());
        let outlives = prepared.strategy.outlives(&task, comm) && (prepared.devices.is_none() || served(prepared));
        self.vigil.configure(config, comm.rank(), outlives, way_on, stages::titles(prepared, comm.size()));
        let mut observer = Observer::new(comm.rank(), output.as_mut(), stop.clone(), fault)
            .with_live(live)
            .with_meter(meter)
            .with_checkpoints(keeper, config.checkpoint_every.is_some())
            .with_watcher(self.vigil.watcher(comm.rank()));
        let fit = emulate::fit(prepared, &task, comm, &mut observer);
        let newest = match (observer.finish(), &fit) {
            (Ok(newest), _) => newest,
            (Err(_), Err(_)) => None,
            // Only rank 0 knows of it: the others wait, or are done.
            (Err(error), Ok(_)) => return Err(TrainError::from(error).into()),
        };
        drop(observer);
        let fit = fit.map_err(|ended| match (&newest, &command) {
            (Some((_, step)), Some(command)) => ended.with_way_on(*step, command, config.learning_rate),
            _ => ended,
        })?;
        // Where MPI lets ranks die one may do so behind the last step, too: nobody asks all of them any more.
        let (whole, waits) = (fit.lost.is_empty(), !comm.recovers());
        if !whole {
            self.vigil.has_lost_ranks();
        }
        if fit.ending == Ending::Stopped {
            let written = newest.is_some_and(|(_, step)| step == fit.cursor.step);
            if let Some(output) = output {
                output.run.resume_command = command.clone();
            }
            let command = written.then_some(command).flatten();
            let words = told(&stop, command.is_some());
            // The ranks of a grid or a split may be gone at any moment, so they do nothing together here: rank 0 speaks for all.
            return match (served(prepared), comm.rank()) {
                (true, 1..) => Ok(()),
                (true, 0) => Err(stopped(&fit, words, command)),
                (false, _) => Err(stopped(&fit, together(comm, words)?, command)),
            };
        }
        let saved = match output {
            Some(output) => save::save(output, prepared, &parts, &fit, self.started),
            None => Ok(()),
        };
        // Of a grid or a split, somebody may have died since.
        match whole && waits && !served(prepared) {
            true => agreed(comm, saved),
            false => {
                // A launcher that ends the job with a rank ends the frozen ones, too, and the others before it is saved.
                if comm.rank() == 0 && self.launcher.survival.lets_live() {
                    host::end_frozen(places, &fit.lost);
                }
                saved.map_err(Ended::Own)
            }
        }
    }

    fn open(
        &self,
        args: &TrainArgs,
        prepared: &Prepared,
        places: &[Place],
        threads: &[usize],
        begin: Begin,
    ) -> Result<Output, Failure> {
        let (config, mode, data) = (&prepared.config, prepared.strategy.name(), &prepared.data);
        let split = task::split(data, config.data_split, config.seed);
        let hyper = task::hyper(config, split.train.len(), prepared.trainers);
        let now = SystemTime::now();
        let dataset = config.dataset.to_string();
        let run = RunJson {
            state: State::Running,
            argv: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
            version: env!("CARGO_PKG_VERSION").into(),
            mpi: self.library(),
            mode: mode.into(),
            dataset: dataset.clone(),
            model: config.model.to_string(),
            ranks: places.len(),
            placement: host::placement(places, threads),
            seed: config.seed,
            started: timestamp(now),
            eval_options: stages::eval_options(config),
            ..RunJson::default()
        };
        let head = Head {
            version: run.version.clone(),
            mode: mode.into(),
            hosts: places.iter().map(|place| place.host.clone()).collect(),
            threads: threads.to_vec(),
            mpi: self.library(),
            dataset: dataset.clone(),
            split: [split.train.len(), split.validation.len(), split.test.len()],
            folds: (config.folds > 0).then(|| [config.folds, config.repeats.get()]),
            unit: if data.shape().is_some() { "pictures" } else { "rows" }.into(),
            shape: data.shape(),
            classes: data.num_classes(),
            augment: prepared.augment.map_or(String::new(), in_words),
            memory: match (&prepared.pipeline, &prepared.split) {
                (_, Some(split)) => split.most_memory(&prepared.network, &hyper, prepared.trainers),
                (Some(pipeline), None) => Bytes(pipeline.most_memory(&prepared.network, &hyper, prepared.trainers)),
                (None, None) => strategy::predicted_memory(&prepared.network, &hyper, prepared.trainers),
            },
            model: config.model.to_string(),
            epochs: config.epochs.get(),
            ..Head::default()
        };
        let name = match &config.dataset {
            Dataset::Folder(_) => data.name(),
            _ => &dataset,
        };
        let name = run_name(now, mode, name, places.len());
        let opening = Opening { name, run, config: config.to_toml(), head, started: self.started };
        Output::open(args, self.launcher, opening, begin)
    }

    /// The MPI library of this world.
    fn library(&self) -> Option<String> {
        #[cfg(feature = "mpi")]
        if self.world == World::Mpi {
            return Some(crate::comm::mpi::library());
        }
        None
    }

    /// Said when the library is not the one that was compiled for, but may take its place.
    fn library_note(&self) -> Option<String> {
        #[cfg(feature = "mpi")]
        if let Some(library) = self.library()
            && library.replace(" v", " ") != crate::comm::mpi::BUILT_FOR
        {
            return Some(format!("built for {}, running on {library}", crate::comm::mpi::BUILT_FOR));
        }
        None
    }

    /// Makes rayon's pool: the rank's own thread is one of it, so MPI stays where it began. Thread-ranks share one.
    fn start_threads(&self, threads: usize) {
        static ONCE: Mutex<bool> = Mutex::new(false);
        let mut made = ONCE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !std::mem::replace(&mut *made, true) {
            let pool = rayon::ThreadPoolBuilder::new();
            // Threads that share a core cost more than they bring; thousands of them stop the machine.
            const MOST: usize = 1024;
            let _ = match self.world {
                World::Threads(ranks) => pool.num_threads(threads.saturating_mul(ranks).min(MOST)).build_global(),
                _ => pool.num_threads(threads).use_current_thread().build_global(),
            };
        }
    }
}

/// What keeps the checkpoints of a run.
fn keeper<'a>(prepared: &'a Prepared, parts: &Parts, output: &Output, ranks: usize) -> Keeper<'a> {
    let config = &prepared.config;
    let samples = parts.train.len();
    let about = CheckpointMeta {
        config: config.to_toml(),
        seed: config.seed,
        global_batch: task::hyper(config, samples, prepared.trainers).global_batch as u64,
        train_samples: samples as u64,
        data_fingerprint: prepared.fingerprint.clone(),
        mode: prepared.strategy.name().into(),
        ranks,
        ..CheckpointMeta::default()
    };
    let (newest, best) = output.kept();
    Keeper::new(prepared, save::meta(prepared, &parts.scale), about, output.dir.file("ckpt"), newest, best)
}

/// What measures this rank's node: on one rank a node, where there is anything.
fn energy_meter(config: &Config, places: &[Place], rank: usize) -> Result<Option<EnergyMeter>, Failure> {
    let first = places.iter().position(|place| place.host == places[rank].host) == Some(rank);
    match first {
        true => Ok(EnergyMeter::open(config.power_sensor.as_deref().map(Path::new))?),
        false => Ok(None),
    }
}

fn planned_fault() -> Result<Option<Fault>, Failure> {
    let plan = std::env::var(fault::VARIABLE).ok().filter(|text| !text.is_empty());
    plan.map(|text| Fault::parse(&text)).transpose().map_err(|message| Failure { code: 2, message })
}

/// Where all ranks are.
///
/// # Collective
/// Every rank must call it.
pub(super) fn gather_places(comm: &dyn Communicator) -> Result<Vec<Place>, Ended> {
    let mine = serde_json::to_string(&Place::here()).expect("a place is JSON");
    let texts = gather_texts(comm, &mine)?;
    Ok(texts.iter().map(|text| serde_json::from_str(text).expect("every rank sent a place")).collect())
}

/// How training pictures are varied, for the head.
fn in_words(augment: Augment) -> String {
    let crop = (augment.crop > 0).then(|| format!("crops shifted by up to {} pixels", augment.crop));
    let flip = augment.flip.then(|| "mirrored pictures".to_owned());
    [crop, flip].into_iter().flatten().collect::<Vec<_>>().join(" and ")
}

/// Whether rank 0 serves ranks that do nothing together: each may end without the others.
fn served(prepared: &Prepared) -> bool {
    prepared.grid.is_some() || prepared.split.is_some()
}
