//! `--mode auto`: all ranks of a job measure, rank 0 decides, and the mode is settled before training.

use super::candidates::Given;
use super::choice::{self, Row};
use super::rates::{Beside, Rates};
use super::subject::Subject;
use super::{fabric, rows, wires};
use crate::cli::decoding::Decoding;
use crate::cli::failure::{DATA, Failure};
use crate::cli::host::Place;
use crate::cli::load::{self, Request};
use crate::cli::prepare::{self, Configured};
use crate::cli::ranks::{Ended, agreed};
use crate::cli::task::{self, Parts};
use crate::cli::{split, stages, sync};
use crate::comm::{Communicator, Values};
use crate::config::{Config, Mode};
use crate::device::Devices;
use crate::plan::scale::{Carrier, Fabric};

/// Settles the mode of a configuration that leaves it to the plan; any other stays as it is. Tells why, at rank 0.
///
/// # Collective
/// Every rank must call it.
pub fn choose(
    comm: &dyn Communicator,
    configured: &mut Configured,
    places: &[Place],
    decoding: &Decoding,
    threads: bool,
) -> Result<Option<String>, Ended> {
    if configured.config.mode != Some(Mode::Auto) {
        return Ok(None);
    }
    let carrier = if threads { Carrier::Threads } else { Carrier::Library };
    let rows = survey(comm, configured, places, decoding, carrier, Given::Kept, |_, _, _, rows| rows)?;
    // Split learning makes other steps: it is only taken where keys ask for it, and with them nothing else is possible.
    let asked =
        || rows.iter().find(|row| row.candidate.flags == "split" && row.predicted.is_ok()).map(|row| (row, None));
    let mine = match choice::best(&rows, Some(comm.size())).or_else(asked) {
        Some((first, second)) => {
            let why = format!("mode auto is {}", choice::why(first, second));
            first.candidate.settled.clone().map(|settled| (settled.config, why))
        }
        None => Err(why_none(&configured.config, rows)),
    };
    let (chosen, why) = agreed(comm, mine)?;
    configured.config = shared(comm, chosen)?;
    Ok((comm.rank() == 0).then_some(why))
}

/// Why nothing can be chosen: the reason of the mode that the keys were given for.
fn why_none(config: &Config, rows: Vec<Row>) -> Failure {
    let given = |key: &str| !config.is_default(key);
    let mode = match () {
        () if stages::KEYS.iter().any(|key| given(key)) => "pipeline --learn backprop",
        () if sync::keys().any(given) => "sendrecv",
        () if split::KEYS.iter().any(|key| given(key)) => "split",
        () => "",
    };
    let mut why = rows.into_iter().filter(|row| row.candidate.flags.starts_with(mode));
    why.find_map(|row| row.predicted.err())
        .unwrap_or_else(|| Failure::new(2, "no mode is possible; name one with --mode"))
}

/// Measures on all ranks of a job and predicts; every rank by what it measured itself, but for the messages.
///
/// # Collective
/// Every rank must call it.
pub(super) fn survey<T>(
    comm: &dyn Communicator,
    configured: &Configured,
    places: &[Place],
    decoding: &Decoding,
    carrier: Carrier,
    given: Given,
    told: impl FnOnce(&Subject, &Fabric, &mut Rates, Vec<Row>) -> T,
) -> Result<T, Ended> {
    let (config, origins) = (&configured.config, &configured.origins);
    let devices = config.devices.as_deref().map(Devices::load).transpose();
    let devices = agreed(comm, devices.map_err(|error| Failure::new(DATA, error)))?;
    let checked = devices.as_ref().map_or(Ok(()), |devices| devices.check_ranks(comm.size()));
    agreed(comm, checked.map_err(|error| Failure::new(2, error)))?;
    let data = load::load(comm, &Request::from(config), places, decoding)?.data;
    agreed(comm, prepare::check(config, origins, &data))?;
    let network = agreed(comm, task::network(config, origins, &data, configured.model_text.as_deref()))?;
    let split = task::split(&data, config.data_split, config.seed);
    let parts = Parts::cut(&data, &split, task::augment(config, data.shape()));
    let host = &places[comm.rank()].host;
    let neighbours: Vec<&Place> = places.iter().filter(|place| place.host == *host).collect();
    // Ranks that are bound to cores of their own have these together.
    let mut masks: Vec<(&str, usize)> =
        neighbours.iter().map(|place| (place.cores.as_str(), place.num_cores)).collect();
    masks.sort_unstable();
    masks.dedup();
    let subject = Subject {
        config,
        origins,
        network: &network,
        parts: &parts,
        ranks: comm.size(),
        cores: masks.iter().map(|mask| mask.1).sum(),
        per_node: neighbours.len(),
        devices: devices.as_ref(),
    };
    // The way between hosts is what limits a job.
    let peer = places.iter().position(|place| place.host != places[0].host).unwrap_or(1);
    let fabric = match comm.size() > 1 && devices.is_none() {
        true => {
            let source = format!("measured between the {} ranks of this job", comm.size());
            let network = wires::measure(comm, peer, &super::payloads(&subject), &source)?;
            Fabric { network, carrier }
        }
        false => agreed(comm, fabric(&subject, None))?,
    };
    let mut rates = Rates::new(Beside::Launched { comm, peer }, config.power_sensor.as_deref());
    let rows = rows(&subject, &fabric, &mut rates, given);
    Ok(told(&subject, &fabric, &mut rates, rows))
}

/// Rank 0's configuration, on all ranks.
fn shared(comm: &dyn Communicator, chosen: Config) -> Result<Config, Ended> {
    let mut text = serde_json::to_vec(&chosen).expect("a configuration is JSON");
    let mut len = [text.len() as i64];
    comm.broadcast(0, Values::I64(&mut len))?;
    text.resize(len[0] as usize, 0);
    comm.broadcast(0, Values::U8(&mut text))?;
    Ok(serde_json::from_slice(&text).expect("rank 0 sent a configuration"))
}
