//! What happens before training, on all ranks together: configuration, data, agreement.

use super::args::TrainArgs;
use super::decoding::Decoding;
use super::failure::{DATA, Failure};
use super::host::Place;
use super::load::{self, Loaded, Request};
use super::ranks::{Ended, agreed, from_rank_0};
use super::resume::{self, Begin, Done, Look};
use super::{local, offload, split, stages, sync, task};
use crate::comm::{Communicator, Identity, compare, gather_texts};
use crate::config::{Config, Model, Origins, Sync};
use crate::data::AnyData;
use crate::data::pictures::Augment;
use crate::device::{DeviceError, Devices};
use crate::nn::Network;
use crate::nn::kernels::Isa;
use crate::run::error::show;
use crate::strategy::{Grid, Pipeline, Snapshot, Split, Strategy};
use serde::{Deserialize, Serialize};
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

/// What the ranks agreed on before they looked at the data.
pub struct Configured {
    /// The checked configuration; its mode may still be open.
    pub config: Config,
    /// Where its values came from.
    pub origins: Origins,
    /// The text of the model's file, where it is in one.
    pub model_text: Option<String>,
    /// From where training begins; only rank 0 has one that says anything.
    pub begin: Begin,
    /// Whether there is nothing to do.
    pub done: bool,
    /// Why, at rank 0.
    pub complete: Option<Done>,
}

/// Everything that the ranks agreed on.
pub struct Prepared {
    /// The checked configuration, with the mode filled in.
    pub config: Config,
    /// The strategy.
    pub strategy: Strategy,
    /// How many ranks compute gradients of different samples.
    pub trainers: usize,
    /// How the network is cut into stages, in a pipeline.
    pub pipeline: Option<Pipeline>,
    /// How server and workers get together, where they are not in lock-step.
    pub grid: Option<Grid>,
    /// Who holds which weights, in mode split.
    pub split: Option<Split>,
    /// The machines that the ranks emulate.
    pub devices: Option<Devices>,
    /// The whole data set, as read.
    pub data: AnyData,
    /// How pictures are varied while they train.
    pub augment: Option<Augment>,
    /// The network.
    pub network: Network,
    /// What the reader should know about how the ranks came together.
    pub notes: Vec<String>,
    /// The state to go on from.
    pub resume: Option<Snapshot>,
    /// Fingerprint of the data.
    pub fingerprint: String,
}

/// Agrees on the configuration.
///
/// # Collective
/// Every rank must call it. Only rank 0 reads configuration files.
pub fn configure(comm: &dyn Communicator, args: &Result<TrainArgs, Failure>) -> Result<Configured, Ended> {
    // First of all: what other versions exchange after the handshake's first frame may be of another form.
    same(comm, &Identity::default())?;
    let args = agreed(comm, args.as_ref().map_err(Failure::clone))?;
    same(comm, &launch_identity())?;
    let (shared, begin, complete) = shared_configuration(comm, args)?;
    let Shared { config, origins, model_text, done } = shared;
    Ok(Configured { config, origins, model_text, begin, done, complete })
}

/// How the ranks work together, by the configuration alone.
#[derive(Debug, Clone)]
pub struct Settled {
    /// The checked configuration, with the mode filled in.
    pub config: Config,
    /// The strategy.
    pub strategy: Strategy,
    /// How many ranks compute gradients of different samples.
    pub trainers: usize,
    /// Stages and replicas of a pipeline; 1 and 1 elsewhere.
    pub chains: (usize, usize),
}

impl Settled {
    /// Fixes the mode for so many ranks.
    ///
    /// # Errors
    /// The first key that does not go with the mode, or with so many ranks.
    pub fn of(mut config: Config, origins: &Origins, ranks: usize) -> Result<Self, Failure> {
        offload::trains(&config, origins, ranks)?;
        let strategy = task::strategy(config.mode, ranks);
        let trainers = strategy.trainers(ranks).map_err(|message| Failure { code: 2, message })?;
        config.mode = Some(task::mode(strategy));
        offload::only_in_offload(&config, origins, strategy.name())?;
        split::check(&config, origins, strategy)?;
        local::check(&config, origins, strategy)?;
        let (chains, trainers) = match strategy {
            Strategy::Pipeline => {
                let chains = stages::grid(&config, origins, ranks)?;
                (chains, chains.1)
            }
            _ => {
                stages::only_in_pipelines(&config, origins, strategy.name())?;
                task::check_sampler(&config, origins, strategy)?;
                ((1, 1), trainers)
            }
        };
        sync::check(&config, origins, strategy)?;
        let trainers = match (strategy, config.sync) {
            (Strategy::SendRecv, sync) if sync != Sync::Full => sync::contributions(&config, ranks - 1),
            _ => trainers,
        };
        Ok(Self { config, strategy, trainers, chains })
    }
}

/// Loads the data, and agrees on them and on the network.
///
/// # Collective
/// Every rank must call it; every rank reads the data.
pub fn prepare(
    comm: &dyn Communicator,
    configured: Configured,
    places: &[Place],
    decoding: &Decoding,
) -> Result<(Prepared, Begin), Ended> {
    let Configured { config, origins, model_text, begin, .. } = configured;
    let Settled { config, strategy, trainers, chains } = agreed(comm, Settled::of(config, &origins, comm.size()))?;
    let devices = agreed(comm, devices(&config, comm.size()))?;
    let Loaded { data, notes } = load::load(comm, &Request::from(&config), places, decoding)?;
    agreed(comm, check(&config, &origins, &data))?;
    let fingerprint = format!("{:016x}", data.fingerprint());
    let identity = Identity::default().with("the data set", &fingerprint);
    // Stages without replicas share no weights: each may compute as well as it can.
    let alike = strategy != Strategy::Pipeline || chains.1 > 1;
    let (isa, mixed) = common_instruction_set(comm, alike)?;
    let identity = match config.deterministic {
        true => identity.with("the instruction set", isa),
        false => identity,
    };
    let identity = match &devices {
        Some(devices) => {
            identity.with("the device file", format!("{:016x}", xxh3_64(format!("{devices:?}").as_bytes())))
        }
        None => identity,
    };
    same(comm, &identity)?;
    let network = agreed(comm, task::network(&config, &origins, &data, model_text.as_deref()))?;
    let (network, pipeline) = match strategy {
        Strategy::Pipeline => {
            let samples = task::split(&data, config.data_split, config.seed).train.len();
            let laid_out = stages::lay_out(&config, &origins, network, chains, devices.as_ref(), samples);
            let (network, pipeline) = agreed(comm, laid_out)?;
            if let Some(devices) = &devices {
                let hyper = task::hyper(&config, samples, trainers);
                agreed(comm, stages::check_memory(&network, &pipeline, &hyper, chains.1, devices))?;
            }
            (network, Some(pipeline))
        }
        _ => {
            agreed(comm, task::check_chains(&config, &origins, [&network]))?;
            (network, None)
        }
    };
    let grid = match strategy {
        Strategy::SendRecv => agreed(comm, sync::grid(&config, comm.size() - 1))?,
        _ => None,
    };
    if let Some(grid) = &grid {
        let samples = task::split(&data, config.data_split, config.seed).train.len();
        let hyper = task::hyper(&config, samples, trainers);
        agreed(comm, sync::fits(grid, &config, samples, &hyper, comm.size() - 1))?;
    }
    if let Some(delay) = grid.as_ref().and_then(|grid| grid.delay.as_ref()) {
        // A trace is a file that each rank reads.
        let text = format!("{delay:?}");
        same(comm, &Identity::default().with("the delays", format!("{:016x}", xxh3_64(text.as_bytes()))))?;
    }
    let (split, dealt) = match strategy {
        Strategy::Split => {
            let laid_out = split::lay_out(&config, &origins, &network, &data, devices.as_ref(), comm.size());
            let (split, notes) = agreed(comm, laid_out)?;
            (Some(split), notes)
        }
        _ => (None, Vec::new()),
    };
    let delayed = grid.as_ref().is_some_and(|grid| grid.delay.is_some());
    let devices = devices.or_else(|| delayed.then(|| sync::instant_machines(comm.size())));
    let resume = resume::shared(comm, {
        let samples = task::split(&data, config.data_split, config.seed).train.len();
        let batch = task::hyper(&config, samples, trainers).global_batch;
        let snapshot = begin.snapshot(&network, &fingerprint, samples, batch);
        // Devices of split learning have an optimizer each.
        let one = |snapshot: Snapshot| match strategy {
            Strategy::Split => snapshot,
            _ => snapshot.of_one(network.theta_len()),
        };
        snapshot.map(|snapshot| snapshot.map(one))
    })?;
    let augment = task::augment(&config, data.shape());
    let mixed = mixed.then(|| match alike {
        true => format!("the ranks have different instruction sets: all use the {} kernels", Isa::detect().name()),
        false => "the ranks have different instruction sets: each stage uses its own kernels".to_owned(),
    });
    let notes = notes.into_iter().chain(mixed).chain(many_classes(&data)).chain(own_test(&config, &data)).chain(dealt);
    let notes: Vec<String> = notes.collect();
    let notes: Vec<String> = match comm.rank() {
        0 => {
            let bits = begin.note_on_bits(&config, strategy.name(), comm.size());
            begin.notes.iter().cloned().chain(bits).chain(notes).collect()
        }
        _ => notes,
    };
    let prepared = Prepared {
        config,
        strategy,
        trainers,
        pipeline,
        grid,
        split,
        devices,
        data,
        augment,
        network,
        notes,
        resume,
        fingerprint,
    };
    Ok((prepared, begin))
}

/// The machines that the ranks emulate, one each.
pub(super) fn devices(config: &Config, ranks: usize) -> Result<Option<Devices>, Failure> {
    let Some(name) = &config.devices else { return Ok(None) };
    let wrong = |error: DeviceError| match &error {
        DeviceError::Ranks { .. } => Failure::new(2, error),
        _ => Failure::new(DATA, error),
    };
    let devices = Devices::load(name).map_err(wrong)?;
    devices.check_ranks(ranks).map_err(wrong)?;
    Ok(Some(devices))
}

/// What becomes of shares that are given for a set that has its own test set.
fn own_test(config: &Config, data: &AnyData) -> Option<String> {
    let given = config.data_split.filter(|_| data.own_test() > 0 && config.folds == 0)?;
    let (train, rest) = (given.train, given.train + given.validation);
    Some(format!(
        "{} has a test set of its own, which is kept: of dataSplit = {given} holds {:.3}/{:.3} for the others",
        config.dataset,
        train / rest,
        given.validation / rest
    ))
}

/// A hint for whoever gives a column of measurements as the label: each number becomes a class of its own.
fn many_classes(data: &AnyData) -> Option<String> {
    let AnyData::Table(data) = data else { return None };
    let (rows, classes) = (data.len(), data.num_classes());
    (rows >= 20 && classes * 4 > rows).then(|| {
        let column = &data.label_column;
        format!(
            "column {column:?} has {classes} classes in {rows} rows; every value is a class, none a quantity to predict"
        )
    })
}

/// This rank's instruction set, and whether the ranks differ; if they do, all are held to the best that all have.
fn common_instruction_set(comm: &dyn Communicator, alike: bool) -> Result<(String, bool), Ended> {
    let mine = format!("{} {}", std::env::consts::ARCH, Isa::detect().name());
    let all = gather_texts(comm, &mine)?;
    let mixed = all.iter().any(|other| *other != all[0]);
    if mixed && alike {
        // An instruction set that another rank has and this one does not, or of another architecture, is not named here.
        let named = all.iter().map(|text| text.split_once(' ').map_or("", |(_, name)| name));
        let one_kind = all.iter().all(|text| text.starts_with(std::env::consts::ARCH));
        let least = named.map(|name| Isa::named(name).unwrap_or(Isa::detect())).min().filter(|_| one_kind);
        least.unwrap_or(Isa::portable()).hold_to();
    }
    Ok((mine, mixed))
}

/// What was typed and what the environment says: equal on all ranks, or the job does not start.
fn launch_identity() -> Identity {
    let typed: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let variables = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .filter(|(name, _)| name.starts_with("GOAI_"));
    let identity = Identity::default().with("the command line", typed.join(" "));
    #[cfg(feature = "mpi")]
    let identity = identity.with("the MPI library", crate::comm::mpi::library());
    variables.fold(identity, |identity, (name, value)| identity.with(name, value))
}

/// Refuses ranks that differ.
pub(super) fn same(comm: &dyn Communicator, identity: &Identity) -> Result<(), Ended> {
    let differences = compare(comm, identity)?;
    let Some(first) = differences.first() else { return Ok(()) };
    // One line: where rank 0 is the odd one out, every other rank differs in the same way.
    let more = match differences.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    Err(Ended::all(5, format!("{first}{more}; start all ranks alike (mpirun -x NAME passes a variable on)")))
}

/// What rank 0 reads for all.
#[derive(Serialize, Deserialize)]
struct Shared {
    config: Config,
    origins: Origins,
    model_text: Option<String>,
    /// There is nothing to do.
    done: bool,
}

/// Rank 0 looks for a checkpoint, reads the configuration and the model's file, and everybody gets them.
fn shared_configuration(comm: &dyn Communicator, args: &TrainArgs) -> Result<(Shared, Begin, Option<Done>), Ended> {
    let mut begin = Begin::default();
    let mut done = None;
    let mut read = || -> Result<Shared, Failure> {
        match resume::look(args)? {
            Look::Train(found) => begin = *found,
            Look::Done(found) => done = Some(*found),
        }
        let (mut config, origins) = begin.with_configuration(args.sources().of_process()).load()?;
        done = match done.take() {
            Some(done) => Some(done),
            None => begin.reconcile(&mut config, &origins, comm.size())?,
        };
        let text = match &config.model {
            Model::File(path) => Some(model_text(path)?),
            Model::Named(_) => None,
        };
        Ok(Shared { config, origins, model_text: text, done: done.is_some() })
    };
    let shared = from_rank_0(comm, &mut read)?;
    Ok((shared, begin, done))
}

/// The text of a model's file.
pub(super) fn model_text(path: &Path) -> Result<String, Failure> {
    const MOST: u64 = 1 << 20;
    let bad = |why: &dyn std::fmt::Display| {
        Failure::new(DATA, format!("{}: {why}; check the path given with --model", show(path)))
    };
    let about = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => bad(&"there is no such file"),
        _ => bad(&error),
    })?;
    if !about.is_file() {
        return Err(bad(&"this is no regular file"));
    }
    if about.len() > MOST {
        return Err(bad(&format!("{} bytes are no description of a network", about.len())));
    }
    std::fs::read_to_string(path).map_err(|error| bad(&error))
}

/// Compares the data with what the configuration says about them.
pub(super) fn check(config: &Config, origins: &Origins, data: &AnyData) -> Result<(), Failure> {
    config.check_data(origins, data.dims(), data.num_classes())?;
    config.check_pictures(origins, data.shape())?;
    config.check_rows(origins, data.len() - data.own_test())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;

    #[test]
    fn a_label_of_many_values_is_noted() {
        for (classes, noted) in [(2, false), (5, false), (6, true), (20, true)] {
            let data = Dataset {
                name: "t".into(),
                features: ndarray::Array2::zeros((20, 1)),
                labels: (0..20).map(|row| row % classes).collect(),
                classes: (0..classes).map(|class| class.to_string()).collect(),
                columns: vec!["x".into()],
                label_column: "quality".into(),
            };
            let note = many_classes(&AnyData::Table(data));
            assert_eq!(note.is_some(), noted, "{classes}");
            assert!(
                note.is_none_or(
                    |note| note.starts_with(&format!("column \"quality\" has {classes} classes in 20 rows"))
                )
            );
        }
    }
}
