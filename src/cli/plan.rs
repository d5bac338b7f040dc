//! `goai-rs plan`: what each mode would take, before anything runs; and the choice of `--mode auto`.
//!
//! | file | what it is |
//! |---|---|
//! | `subject` | what is planned for |
//! | `candidates` | the modes that are compared, as configurations |
//! | `steps`, `stage_costs`, `wires`, `upkeep`, `books` | what is measured here |
//! | `trial` | the modes' own steps, where their ranks are here |
//! | `rates` | what was measured, or what a device file says |
//! | `predict` | rates into [`crate::plan::scale`]; `split`: into [`crate::plan::split`] |
//! | `choice` | the best, and why |
//! | `told` | table and JSON |
//! | `auto` | the same by all ranks of a job, before they train |

mod auto;
mod books;
mod candidates;
mod choice;
mod predict;
mod rates;
mod split;
mod stage_costs;
mod steps;
mod subject;
mod told;
mod trial;
mod upkeep;
mod wires;

pub use auto::choose;

use super::args::PlanArgs;
use super::decoding::Decoding;
use super::failure::{DATA, Failure};
use super::host::{self, Place};
use super::load::{self, Loaded, Request};
use super::prepare;
use super::printed::printed;
use super::ranks::{Ended, World};
use super::task::{self, Parts};
use super::train::gather_places;
use crate::comm::launcher::Launcher;
use crate::comm::{Solo, ThreadOptions, run_threads};
use crate::config::Model;
use crate::device::{DeviceError, Devices, Network as Wires, Wire};
use crate::plan::scale::{Carrier, Fabric};
use crate::report::text::count;
use crate::units::{Bytes, Seconds};
use candidates::{Candidate, Given};
use choice::Row;
use rates::{Beside, Rates};
use std::io::Write;
use subject::Subject;
use told::Page;

/// Predicts, and prints it.
///
/// # Errors
/// As those of a training with these options, and a network that is none.
pub fn plan(args: &PlanArgs, launcher: &Launcher, out: &mut dyn Write) -> Result<(), Failure> {
    let (config, origins) = args.train.sources().of_process().load()?;
    let network = args.network.as_deref().map(load_network).transpose()?;
    let devices = config.devices.as_deref().map(Devices::load).transpose().map_err(|e| Failure::new(DATA, e))?;
    if let (Some(network), Some(devices)) = (&args.network, &config.devices) {
        let why =
            format!("--network {network} with devices = {devices}, whose file says what lies between its machines");
        return Err(Failure::new(2, format!("{why}; leave one of them out")));
    }
    let text = match &config.model {
        Model::File(path) => Some(prepare::model_text(path)?),
        Model::Named(_) => None,
    };
    let here = Place::here();
    let decoding = Decoding::shown(args.train.shown(launcher));
    let loaded = load::load(&Solo::new(), &Request::from(&config), std::slice::from_ref(&here), &decoding);
    let Loaded { data, .. } = loaded.map_err(failure)?;
    prepare::check(&config, &origins, &data)?;
    let built = task::network(&config, &origins, &data, text.as_deref())?;
    let split = task::split(&data, config.data_split, config.seed);
    let parts = Parts::cut(&data, &split, task::augment(&config, data.shape()));
    let ranks = ranks(args, launcher, devices.as_ref(), here.num_cores);
    if let Some(devices) = &devices {
        devices.check_ranks(ranks).map_err(|error: DeviceError| Failure::new(2, error))?;
    }
    let per_node = args.per_node.map(usize::from).unwrap_or(if network.is_some() { 1 } else { ranks });
    let subject = Subject {
        config: &config,
        origins: &origins,
        network: &built,
        parts: &parts,
        ranks,
        cores: here.num_cores,
        per_node,
        devices: devices.as_ref(),
    };
    check_stages(&subject)?;
    let fabric = fabric(&subject, network)?;
    let mut rates = Rates::new(Beside::Started, config.power_sensor.as_deref());
    let rows = rows(&subject, &fabric, &mut rates, Given::Aside);
    let page = Page::new(&subject, &fabric, &mut rates, rows);
    let text = if args.train.json { page.json() } else { page.table() };
    printed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Whether all ranks of a job are to measure: what is planned for is that job.
pub fn is_of_job(args: &PlanArgs, launcher: &Launcher) -> bool {
    let other =
        args.network.is_some() || args.per_node.is_some() || args.train.ranks.is_some() || args.train.is_single();
    cfg!(feature = "mpi") && launcher.size.is_some_and(|size| size > 1) && !other
}

/// The same as [`plan`] for the ranks of this job, which all measure; rank 0 prints. Returns the exit code.
pub fn plan_of_job(args: &PlanArgs, launcher: &Launcher) -> i32 {
    let train = Ok(args.train.clone());
    World::Mpi.run(launcher, |comm, _| {
        let configured = prepare::configure(comm, &train)?;
        let places = gather_places(comm)?;
        let config = &configured.config;
        let threads = host::threads(&places, config.threads, config.parallelism.map(usize::from))[comm.rank()];
        // Fails only where there are threads already; then it is those.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread().build_global();
        let decoding = if comm.rank() == 0 { Decoding::shown(args.train.shown(launcher)) } else { Decoding::silent() };
        let page = |subject: &Subject, fabric: &Fabric, rates: &mut Rates, rows| {
            let page = Page::new(subject, fabric, rates, rows);
            if args.train.json { page.json() } else { page.table() }
        };
        let text = auto::survey(comm, &configured, &places, &decoding, Carrier::Library, Given::Aside, page)?;
        match comm.rank() {
            0 => {
                let out = &mut std::io::stdout();
                printed(out.write_all(text.as_bytes()).and_then(|()| out.flush())).map_err(Ended::Own)
            }
            _ => Ok(()),
        }
    })
}

/// The ranks that are planned for: as asked, else those of the launcher or of the device file, else one a core.
fn ranks(args: &PlanArgs, launcher: &Launcher, devices: Option<&Devices>, cores: usize) -> usize {
    let asked = if args.train.is_single() { Some(1) } else { args.train.ranks.map(usize::from) };
    asked.or(devices.map(|devices| devices.profiles().len())).or(launcher.size).unwrap_or(cores)
}

fn load_network(name: &str) -> Result<Wires, Failure> {
    Wires::load(name).map_err(|error| match &error {
        DeviceError::Network { .. } => Failure::new(2, error),
        _ => Failure::new(DATA, error),
    })
}

/// Stages and cuts that were asked for have to be possible: a table of what else there is would hide it.
fn check_stages(subject: &Subject) -> Result<(), Failure> {
    let (config, blocks) = (subject.config, subject.network.cuts().len() + 1);
    let last = config.cuts.as_ref().and_then(|cuts| cuts.0.last().copied()).unwrap_or(0);
    if last >= blocks {
        let what = format!("a cut behind block {last}, but {} has {blocks} trunk blocks", config.model);
        return Err(super::stages::refuse(
            subject.origins,
            "cuts",
            what,
            format!("write numbers from 1 to {}", blocks - 1),
        ));
    }
    match config.stages.map(usize::from) {
        Some(stages) if stages > blocks => {
            let what = format!("{stages} stages, but {} has {}", config.model, count(blocks, "trunk block"));
            Err(super::stages::refuse(subject.origins, "stages", what, format!("ask for {blocks} stages or fewer")))
        }
        _ => Ok(()),
    }
}

/// What lies between the ranks: as named, of the device file, or as threads of this process measure it.
fn fabric(subject: &Subject, named: Option<Wires>) -> Result<Fabric, Failure> {
    if let Some(devices) = subject.devices {
        return Ok(Fabric { network: slowest_link(devices, subject.ranks), carrier: Carrier::Emulated });
    }
    if let Some(network) = named {
        return Ok(Fabric { network, carrier: Carrier::Library });
    }
    // More threads than cores only where there are few.
    let together =
        subject.ranks.clamp(2, subject.cores.max(2)).max(if subject.ranks <= 32 { subject.ranks } else { 2 });
    let payloads = payloads(subject);
    let source = format!("measured here between {together} ranks as threads of one process");
    let options = ThreadOptions::default();
    let measured = run_threads(together, options, |comm| wires::measure(comm, 1, &payloads, &source));
    let network = measured.into_iter().next().expect("there is a rank 0");
    let network = network.map_err(|error| failure(Ended::from(error)))?;
    Ok(Fabric { network, carrier: Carrier::Threads })
}

/// The payloads of the sums that the modes make.
fn payloads(subject: &Subject) -> Vec<Bytes> {
    let hyper = task::hyper(subject.config, subject.samples(), subject.ranks);
    let plain = subject.work(&hyper).payload;
    let averaged = 4 * subject.network.theta_len() * (1 + hyper.rule.vectors());
    vec![Bytes(8), plain, Bytes(averaged as u64 + 16)]
}

/// The slowest link of a device file to and from rank 0.
fn slowest_link(devices: &Devices, ranks: usize) -> Wires {
    const BYTES: Bytes = Bytes(1 << 20);
    let time = |from, to| {
        let link = devices.link(from, to);
        (link.bandwidth.transmission_from(Seconds(0.0), BYTES).0 / BYTES.0 as f64, link.latency)
    };
    let links = (1..ranks).flat_map(|rank| [time(0, rank), time(rank, 0), time(rank - 1, rank)]);
    let (beta, alpha) = links
        .fold((0.0, Seconds(0.0)), |worst, link| (f64::max(worst.0, link.0), Seconds(f64::max(worst.1.0, link.1.0))));
    let wire = Wire { alpha, beta, gamma: 0.0 };
    let (name, source) = (devices.name().to_owned(), "modelled: the slowest link of the device file".to_owned());
    Wires { name, wire, source, all_reduce: Vec::new(), serve: Vec::new() }
}

/// Predictions for all candidates.
fn rows(subject: &Subject, fabric: &Fabric, rates: &mut Rates, given: Given) -> Vec<Row> {
    let blocks = subject.network.cuts().len() + 1;
    let all = candidates::all(subject.config, subject.origins, subject.ranks, blocks, given);
    let row = |candidate: Candidate| {
        let predicted = predict::predict(subject, &candidate, rates, fabric);
        Row { candidate, predicted }
    };
    all.into_iter().map(row).collect()
}

/// The failure of a rank that is alone.
fn failure(ended: Ended) -> Failure {
    let (code, message) = ended.summary();
    Failure { code, message }
}
