//! Networks: named ones with figures that are typical, and the one that `goai-rs bench comm` measured.

use super::error::Fault;
use super::reader::{shown, unknown};
use super::{AllReduce, DeviceError, Wire};
use crate::units::{Bytes, Seconds};
use serde::{Deserialize, Serialize};

/// What lies between the ranks of a job: three constants, and what was measured on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// α, β and γ.
    #[serde(flatten)]
    pub wire: Wire,
    /// Where the figures come from: measured where, typical of what, or assumed.
    pub source: String,
    /// Measured sums of a gradient over all ranks, in the form in which training does them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub all_reduce: Vec<Point>,
    /// Measured rounds of a parameter server, which is one of the ranks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub serve: Vec<Point>,
}

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// All ranks that took part.
    pub ranks: usize,
    /// Bytes of the vector.
    pub bytes: Bytes,
    /// What it took.
    pub seconds: Seconds,
}

/// A network that has a name: α in µs, bandwidth in bytes a second, and where these come from.
struct Named {
    name: &'static str,
    alpha_us: f64,
    bytes_per_s: f64,
    source: &'static str,
}

/// γ of the named networks: an addition reads two vectors and writes one, at 20 GB/s of one core; assumed.
const GAMMA: f64 = 3.0 / 20e9;

const NAMED: [Named; 6] = [
    Named {
        name: "shm",
        alpha_us: 0.5,
        bytes_per_s: 8e9,
        source: "assumed: ranks of one node, messages through shared memory",
    },
    Named {
        name: "1gbe",
        alpha_us: 50.0,
        bytes_per_s: 117.6e6,
        source: "bandwidth: TCP payload of frames of 1500 bytes, 941 of 1000 Mbit/s; latency: typical of MPI over TCP",
    },
    Named {
        name: "10gbe",
        alpha_us: 20.0,
        bytes_per_s: 1.176e9,
        source: "bandwidth: TCP payload of frames of 1500 bytes, 9.41 of 10 Gbit/s; latency: typical of MPI over TCP",
    },
    Named {
        name: "25gbe",
        alpha_us: 15.0,
        bytes_per_s: 2.94e9,
        source: "bandwidth: TCP payload of frames of 1500 bytes, 23.5 of 25 Gbit/s; latency: assumed, MPI over TCP",
    },
    Named {
        name: "hdr100",
        alpha_us: 1.2,
        bytes_per_s: 12.0e9,
        source: "typical of MPI over InfiniBand HDR100: 12 of 12.5 GB/s, 1.2 µs through a switch",
    },
    Named {
        name: "hdr200",
        alpha_us: 1.2,
        bytes_per_s: 24.0e9,
        source: "typical of MPI over InfiniBand HDR: 24 of 25 GB/s, 1.2 µs through a switch",
    },
];

/// What `goai-rs bench comm --json` prints, as far as it is of use here.
#[derive(Deserialize)]
struct Measured {
    network: Network,
}

impl Network {
    /// The networks that have a name.
    pub fn names() -> Vec<&'static str> {
        NAMED.iter().map(|named| named.name).collect()
    }

    /// A network by its name.
    pub fn named(name: &str) -> Option<Self> {
        let named = NAMED.iter().find(|named| named.name.eq_ignore_ascii_case(name))?;
        let wire = Wire { alpha: Seconds(named.alpha_us * 1e-6), beta: 1.0 / named.bytes_per_s, gamma: GAMMA };
        Some(Self {
            name: named.name.to_owned(),
            wire,
            source: named.source.to_owned(),
            all_reduce: Vec::new(),
            serve: Vec::new(),
        })
    }

    /// A network by its name, else the file that `goai-rs bench comm --json` wrote.
    ///
    /// # Errors
    /// When neither is there, and the first fault of the file.
    pub fn load(name: &str) -> Result<Self, DeviceError> {
        if let Some(network) = Self::named(name) {
            return Ok(network);
        }
        match std::fs::read_to_string(name) {
            Ok(text) => Self::parse(name, &text),
            Err(error) => Err(DeviceError::Network {
                name: shown(name),
                why: error.to_string(),
                cure: unknown(name, &Self::names()),
            }),
        }
    }

    /// Reads the text of such a file; `path` is where messages say that a fault is.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(path: &str, text: &str) -> Result<Self, DeviceError> {
        const CURE: &str = "write it anew with `goai-rs bench comm --json`";
        let read: Result<Measured, _> = serde_json::from_str(text);
        let network = read.map(|measured| measured.network).map_err(|error| {
            let told = error.to_string().replace('\n', " ");
            // Where it is stands in front.
            let why = told.rsplit_once(" at line ").map_or(told.as_str(), |(why, _)| why).to_owned();
            DeviceError::line(path, Fault { line: error.line().max(1), why, cure: CURE.to_owned() })
        })?;
        let Some((key, value)) = network.impossible() else { return Ok(network) };
        let line = text.lines().position(|line| line.contains(&format!("\"{key}\""))).map_or(1, |at| at + 1);
        let why = format!("{key} = {value} cannot be");
        Err(DeviceError::line(path, Fault { line, why, cure: format!("give 0 or more, or {CURE}") }))
    }

    /// The first figure that cannot be.
    fn impossible(&self) -> Option<(&'static str, f64)> {
        let wire = self.wire;
        let constants = [("alpha_s", wire.alpha.0), ("beta_s_per_byte", wire.beta), ("gamma_s_per_byte", wire.gamma)];
        let points = self.all_reduce.iter().chain(&self.serve).map(|point| ("seconds", point.seconds.0));
        constants.into_iter().chain(points).find(|(_, value)| !value.is_finite() || *value < 0.0)
    }

    /// Summing a gradient of so many bytes over the ranks: as measured where this number of ranks was, else by the formula
    /// of the fastest way.
    ///
    /// # Units
    /// Seconds; [`Network::is_measured`] says whether they were measured or modelled.
    pub fn all_reduce(&self, ranks: usize, bytes: Bytes) -> Seconds {
        let formula = |bytes| self.wire.fastest_all_reduce(ranks, bytes).1;
        between(&self.all_reduce, ranks, bytes, &formula)
    }

    /// A round of a parameter server with so many workers: as measured where this number of ranks was, else by the formula.
    pub fn serve(&self, workers: usize, bytes: Bytes) -> Seconds {
        let formula = |bytes| self.wire.all_reduce(AllReduce::AtRankZero, workers + 1, bytes);
        between(&self.serve, workers + 1, bytes, &formula)
    }

    /// Whether sums over this number of ranks were measured.
    pub fn is_measured(&self, ranks: usize) -> bool {
        self.all_reduce.iter().any(|point| point.ranks == ranks)
    }
}

/// The line between the neighboring measurements. Outside of what was measured the formula tells how much more or less
/// it is than at the nearest measurement; where nothing was measured, everything.
fn between(points: &[Point], ranks: usize, bytes: Bytes, formula: &dyn Fn(Bytes) -> Seconds) -> Seconds {
    let mut points: Vec<&Point> = points.iter().filter(|point| point.ranks == ranks).collect();
    points.sort_by_key(|point| point.bytes.0);
    let above = points.partition_point(|point| point.bytes.0 < bytes.0);
    let below = above.checked_sub(1).and_then(|at| points.get(at));
    match (below, points.get(above)) {
        (_, Some(point)) if point.bytes == bytes => point.seconds,
        (Some(low), Some(high)) => {
            let share = (bytes.0 - low.bytes.0) as f64 / (high.bytes.0 - low.bytes.0) as f64;
            Seconds(low.seconds.0 + share * (high.seconds.0 - low.seconds.0))
        }
        (Some(nearest), None) | (None, Some(nearest)) => scaled(nearest, bytes, formula),
        (None, None) => formula(bytes),
    }
}

fn scaled(nearest: &Point, bytes: Bytes, formula: &dyn Fn(Bytes) -> Seconds) -> Seconds {
    let (here, there) = (formula(bytes).0, formula(nearest.bytes).0);
    if there > 0.0 { Seconds(nearest.seconds.0 * here / there) } else { nearest.seconds }
}

#[cfg(test)]
mod tests;
