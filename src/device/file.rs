//! Device files: TOML with profiles, the list of the ranks' devices, and the links between them.
//!
//! ```toml
//! devices = ["pi", "nano:5W"]          # rank by rank: a profile, and a power mode of it
//! [profile.pi]
//! flops_per_s = 9.2e8                  # reached in practice; backward_flops_per_s if that differs
//! flops_source = "assumed"             # every group of figures says where it comes from
//! memory_mib = 8192
//! memory_source = "data sheet"
//! [profile.pi.watts]                   # what the board draws while it does only that; mode = "…" names it
//! compute = 6.4
//! idle = 2.7
//! send = 3.5
//! receive = 3.3
//! source = "assumed"                   # and at the profile: ports = "each", a transmitter for each link instead of one
//! [profile.pi.measured.vgg5]           # cumulative seconds per cut for a batch, of one model; need not be monotone
//! batch = 100
//! forward = [0.9, 1.9]
//! backward = [0.5, 2.1]
//! source = "measured by …"
//! [profile.pi.mode.slow]               # its own watts, and what all speeds are multiplied with
//! speed = 0.5                          # …
//! [link]                               # between any two devices, in each direction
//! mbit_per_s = 20                      # or "inf", or trace = "wifi.csv", relative to this file: a line a change. The
//!                                      # last one holds for ever; with repeat = true the first one follows at its time
//! latency_ms = 2
//! source = "assumed"
//! [[links]]                            # from one rank to one other
//! from = 0
//! to = 1                               # …
//! [[switch]]                           # a rank changes to another power mode of its profile, in virtual time; as often
//! rank = 1                             # as there are tables, each later than the one before
//! at_s = 600
//! mode = "MAXN"
//! ```

use super::reader::{BANDWIDTH, COUNT, INDEX, NOT_NEGATIVE, POSITIVE, Reader, Text, shown, unknown};
use super::shipped::{SHIPPED, TRACES};
use super::trace::BYTES_PER_MBIT;
use super::{DeviceError, Devices, Link, Ports, Power, Profile, Switch, Table, Tier, Trace};
use crate::units::{Bytes, Seconds, Watts};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use toml::de::DeTable;

/// Names of the `watts` of a profile, before `source`.
const WATTS: [&str; 4] = ["compute", "idle", "send", "receive"];

/// Names of a link.
const LINK: [&str; 5] = ["mbit_per_s", "trace", "repeat", "latency_ms", "source"];

/// Profiles by name and mode.
type Known<'a> = BTreeMap<&'a str, BTreeMap<String, Profile>>;

impl Devices {
    /// Reads a device file: a path, else a shipped file of that name, with or without `.toml`.
    ///
    /// # Errors
    /// When there is no such file, and the first fault in it or in its traces.
    pub fn load(name: &str) -> Result<Self, DeviceError> {
        let error = match std::fs::read_to_string(name) {
            Ok(text) => {
                let folder = Path::new(name).parent().unwrap_or(Path::new(""));
                return Self::parse(name, &text, &|trace| std::fs::read_to_string(folder.join(trace)));
            }
            Err(error) => error,
        };
        match SHIPPED.iter().find(|(file, _)| name == *file || file.strip_suffix(".toml") == Some(name)) {
            Some((file, text)) => Self::parse(file, text, &|trace| {
                let text = TRACES.iter().find(|(file, _)| *file == trace).map(|(_, text)| (*text).to_owned());
                text.ok_or_else(|| io::ErrorKind::NotFound.into())
            }),
            None => Err(DeviceError::File {
                path: shown(name),
                why: error.to_string(),
                shipped: SHIPPED.iter().map(|(file, _)| *file).collect::<Vec<_>>().join(", "),
            }),
        }
    }

    /// Reads the text of a device file. `path` is where messages say that a fault is, `read` gives the text of a trace.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(path: &str, text: &str, read: &dyn Fn(&str) -> io::Result<String>) -> Result<Self, DeviceError> {
        let file = Text { path, text };
        let table = DeTable::parse(text).map_err(|error| {
            let why = format!("this is not TOML: {}", error.message().replace('\n', " "));
            file.fault(error.span().map_or(0, |span| span.start), why, "write KEY = value, text in double quotes")
        })?;
        let root = Reader::new(&file, table.get_ref());
        root.only(&["devices", "profile", "link", "links", "switch"])?;
        let mut known = BTreeMap::new();
        for table in root.table("profile")?.tables() {
            let (name, table) = table?;
            known.insert(name, modes(name, &table)?);
        }
        let mut profiles = listed(&root, &file, &known)?;
        switches(&root, &known, &mut profiles)?;
        let between = match root.maybe_table("link")? {
            Some(table) => {
                table.only(&LINK)?;
                link(&table, path, read)?
            }
            None if profiles.len() == 1 => Link::new(f64::INFINITY, Seconds(0.0)),
            None => return Err(root.fault("link is missing", "write a table [link] with mbit_per_s and latency_ms")),
        };
        let (mut devices, mut seen) = (Self::new(path, profiles, between), Vec::new());
        for table in root.list("links")? {
            table.only(&[&["from", "to"], &LINK[..]].concat())?;
            let pair = (rank(&table, "from", devices.profiles().len())?, rank(&table, "to", devices.profiles().len())?);
            if pair.0 == pair.1 || seen.contains(&pair) {
                let why = format!("links from {} to {} is one too many", pair.0, pair.1);
                return Err(table.fault_at("to", why, "give each pair of two ranks once"));
            }
            seen.push(pair);
            devices = devices.with_link(pair.0, pair.1, link(&table, path, read)?);
        }
        Ok(devices)
    }
}

fn rank(table: &Reader, key: &str, devices: usize) -> Result<usize, DeviceError> {
    let rank = table.number(key, INDEX)? as usize;
    if rank < devices {
        return Ok(rank);
    }
    Err(table.fault_at(key, format!("there is no rank {rank} among {devices} devices"), INDEX.cure))
}

/// The devices of the ranks.
fn listed(root: &Reader, file: &Text, known: &Known) -> Result<Vec<Profile>, DeviceError> {
    let cure = "write devices = [\"…\", \"…\"], rank by rank a profile, or a profile:mode";
    let names = root.texts("devices", cure)?;
    if names.is_empty() {
        return Err(root.fault_at("devices", "the list devices is empty", cure));
    }
    let find = |(entry, offset): &(&str, usize)| {
        let (name, mode) = entry.split_once(':').unwrap_or((entry, ""));
        let modes = known.get(name).ok_or_else(|| {
            let names: Vec<&str> = known.keys().copied().collect();
            file.fault(*offset, format!("unknown profile {}", shown(name)), unknown(name, &names))
        })?;
        modes.get(mode).cloned().ok_or_else(|| {
            let (why, cure) = unknown_mode(name, mode, modes);
            file.fault(*offset, why, cure)
        })
    };
    names.iter().map(find).collect()
}

fn unknown_mode(name: &str, mode: &str, modes: &BTreeMap<String, Profile>) -> (String, String) {
    let names: Vec<&str> = modes.keys().map(String::as_str).filter(|mode| !mode.is_empty()).collect();
    (format!("unknown power mode {} of {}", shown(mode), shown(name)), unknown(mode, &names))
}

/// The changes of power modes, into the profiles of their ranks.
fn switches(root: &Reader, known: &Known, profiles: &mut [Profile]) -> Result<(), DeviceError> {
    for table in root.list("switch")? {
        table.only(&["rank", "at_s", "mode"])?;
        let rank = rank(&table, "rank", profiles.len())?;
        let at = Seconds(table.number("at_s", NOT_NEGATIVE)?);
        let name = profiles[rank].name.split_once(':').map_or(profiles[rank].name.as_str(), |(name, _)| name);
        let modes = &known[name];
        let mode = table.text("mode", "write the name of a power mode of the rank's profile")?;
        let to = modes.get(mode).ok_or_else(|| {
            let (why, cure) = unknown_mode(name, mode, modes);
            table.fault_at("mode", why, cure)
        })?;
        let switch = Switch { at, mode: mode.to_owned(), speed: to.speed, power: to.power };
        let profile = &mut profiles[rank];
        if let Some(before) = profile.switches.last().filter(|before| at <= before.at) {
            let why = format!("rank {rank} switches at {at} after {}: the switches run backwards", before.at);
            return Err(table.fault_at("at_s", why, "sort each rank's by time"));
        }
        profile.switches.push(switch);
    }
    Ok(())
}

/// A profile in each of its modes; the one without a name is its `watts`.
fn modes(name: &str, table: &Reader) -> Result<BTreeMap<String, Profile>, DeviceError> {
    table.only(&[
        "flops_per_s",
        "backward_flops_per_s",
        "flops_source",
        "memory_mib",
        "memory_source",
        "ports",
        "tier",
        "price_per_s",
        "price_source",
        "watts",
        "measured",
        "mode",
    ])?;
    let flops_per_s = table.number("flops_per_s", POSITIVE)?;
    let watts = table.table("watts")?;
    watts.only(&[&WATTS[..], &["mode", "source"]].concat())?;
    let mut profile = Profile {
        backward_flops_per_s: table.maybe("backward_flops_per_s", POSITIVE)?.unwrap_or(flops_per_s),
        sources: vec![("flops".to_owned(), table.source("flops_source")?)],
        memory: Bytes((table.number("memory_mib", POSITIVE)? * f64::from(1 << 20)) as u64),
        power: power(&watts)?,
        ports: ports(table)?,
        tier: tier(table)?,
        price_per_s: table.maybe("price_per_s", NOT_NEGATIVE)?.unwrap_or(0.0),
        ..Profile::new(name, flops_per_s)
    };
    profile.sources.push(("memory".to_owned(), table.source("memory_source")?));
    if profile.price_per_s > 0.0 {
        profile.sources.push(("price".to_owned(), table.source("price_source")?));
    }
    if let Some(tables) = table.maybe_table("measured")? {
        for table in tables.tables() {
            let (model, table) = table?;
            profile.measured.insert(model.to_owned(), measured(&table)?);
            profile.sources.push((format!("measured.{model}"), table.source("source")?));
        }
    }
    let mut modes = BTreeMap::new();
    let mut add = |mode: &str, source, profile: &Profile| {
        let name = if mode.is_empty() { name.to_owned() } else { format!("{name}:{mode}") };
        let sources = [&profile.sources[..], &[("watts".to_owned(), source)]].concat();
        modes.insert(mode.to_owned(), Profile { name, sources, ..profile.clone() })
    };
    add("", watts.source("source")?, &profile);
    if let Some(mode) = watts.maybe_text("mode")? {
        add(mode, watts.source("source")?, &profile);
    }
    if let Some(tables) = table.maybe_table("mode")? {
        for table in tables.tables() {
            let (mode, table) = table?;
            table.only(&[&WATTS[..], &["speed", "source"]].concat())?;
            let changed = Profile { speed: table.number("speed", POSITIVE)?, power: power(&table)?, ..profile.clone() };
            if add(mode, table.source("source")?, &changed).is_some() {
                let why = format!("{}: the mode is also the one of watts", table.path(mode));
                return Err(table.fault(why, "give each mode once"));
            }
        }
    }
    Ok(modes)
}

fn ports(table: &Reader) -> Result<Ports, DeviceError> {
    match table.maybe_text("ports")? {
        None | Some("one") => Ok(Ports::One),
        Some("each") => Ok(Ports::Each),
        Some(other) => {
            let why = format!("{} = {} cannot be", table.path("ports"), shown(other));
            Err(table.fault_at("ports", why, "write \"one\" transmitter for all links, or \"each\" link its own"))
        }
    }
}

fn tier(table: &Reader) -> Result<Option<Tier>, DeviceError> {
    match table.maybe_text("tier")? {
        None => Ok(None),
        Some("device") => Ok(Some(Tier::Device)),
        Some("edge") => Ok(Some(Tier::Edge)),
        Some("cloud") => Ok(Some(Tier::Cloud)),
        Some(other) => {
            let why = format!("{} = {} cannot be", table.path("tier"), shown(other));
            Err(table.fault_at("tier", why, "write \"device\", \"edge\" or \"cloud\""))
        }
    }
}

fn power(table: &Reader) -> Result<Power, DeviceError> {
    let watts = |key| Ok(Watts(table.number(key, if key == "compute" { POSITIVE } else { NOT_NEGATIVE })?));
    Ok(Power { compute: watts(WATTS[0])?, idle: watts(WATTS[1])?, send: watts(WATTS[2])?, receive: watts(WATTS[3])? })
}

fn measured(table: &Reader) -> Result<Table, DeviceError> {
    table.only(&["batch", "forward", "backward", "source"])?;
    let seconds = |key| -> Result<Vec<Seconds>, DeviceError> {
        let list: Vec<Seconds> = table.numbers(key, NOT_NEGATIVE)?.into_iter().map(Seconds).collect();
        match list.last() {
            Some(total) if total.0 > 0.0 => Ok(list),
            Some(_) => {
                let why = format!("{} ends with 0: a device that takes no time", table.path(key));
                Err(table.fault_at(key, why, "give cumulative seconds per cut"))
            }
            None => {
                Err(table.fault_at(key, format!("{} is empty", table.path(key)), "give cumulative seconds per cut"))
            }
        }
    };
    let (forward, backward) = (seconds("forward")?, seconds("backward")?);
    if forward.len() != backward.len() {
        let why = format!("{} cuts forward and {} backward", forward.len(), backward.len());
        return Err(table.fault_at("backward", why, "give as many of both"));
    }
    Ok(Table { batch: table.number("batch", COUNT)? as usize, forward, backward })
}

fn link(table: &Reader, path: &str, read: &dyn Fn(&str) -> io::Result<String>) -> Result<Link, DeviceError> {
    let latency = Seconds(table.number("latency_ms", NOT_NEGATIVE)? / 1000.0);
    table.source("source")?;
    let repeat = table.flag("repeat")?;
    let bandwidth = match (table.maybe("mbit_per_s", BANDWIDTH)?, table.maybe_text("trace")?) {
        (Some(_), None) if repeat => {
            let why = format!("{} without a trace: there is nothing to repeat", table.path("repeat"));
            return Err(table.fault_at("repeat", why, "remove it, or give trace = \"…\" instead of mbit_per_s"));
        }
        (Some(mbit), None) => Trace::constant(mbit * BYTES_PER_MBIT),
        (None, Some(trace)) => {
            let text = read(trace).map_err(|error| {
                table.fault_at(
                    "trace",
                    format!("cannot read {}: {error}", shown(trace)),
                    "give a path relative to this file",
                )
            })?;
            let place = Path::new(path).with_file_name(trace);
            let parse = if repeat { Trace::parse_repeating } else { Trace::parse };
            parse(&place.to_string_lossy().escape_debug().to_string(), &text)?
        }
        _ => {
            let why = format!("{} and trace: exactly one of them must be there", table.path("mbit_per_s"));
            return Err(table.fault(why, "give a bandwidth in Mbit/s, or the path of a trace"));
        }
    };
    Ok(Link { bandwidth, latency })
}

#[cfg(test)]
mod tests;
