//! What every cut costs on one device and on the server, and one step of a device alone.

use super::phases::{Idle, Phases};
use super::{Infeasible, Point};
use crate::device::{Link, Power};
use crate::units::{Bytes, Seconds};

/// What a cut costs: a device that holds the first blocks, and the server that holds the rest.
///
/// # Units
/// Times are for one batch, at speed 1. Bytes are those of whole messages, headers included; a message of none is not
/// sent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CutCost {
    /// The device's part, forward.
    pub forward: Seconds,
    /// The device's part, backward and its update.
    pub backward: Seconds,
    /// The server's part, forward and backward.
    pub server: Seconds,
    /// Activations and labels of a batch.
    pub up: Bytes,
    /// The gradient of a batch.
    pub down: Bytes,
    /// What the device's part needs on the device.
    pub memory: Bytes,
    /// What the server's part of one device needs on the server.
    pub server_memory: Bytes,
    /// The device's part on its way to the server, once a round.
    pub weights_up: Bytes,
    /// The device's part on its way back, once a round.
    pub weights_down: Bytes,
}

impl CutCost {
    /// What the device computes in one step, at speed 1.
    pub fn compute(&self) -> Seconds {
        self.forward + self.backward
    }

    /// Whether a step exchanges nothing, as with all blocks on the device.
    pub fn is_local(&self) -> bool {
        (self.up, self.down) == (Bytes(0), Bytes(0))
    }
}

/// What lies between a device and the server, in one direction.
#[derive(Debug, Clone, PartialEq)]
pub enum Way {
    /// A link.
    Open(Link),
    /// A link that carries nothing and never will: what is sent takes for ever.
    Closed,
}

impl From<Link> for Way {
    fn from(link: Link) -> Self {
        Self::Open(link)
    }
}

/// For ever.
pub(super) const ENDLESS: Seconds = Seconds(f64::INFINITY);

impl Way {
    /// A link that takes so many bytes a second at all times; 0 are allowed.
    pub fn constant(bytes_per_s: f64, latency: Seconds) -> Self {
        if bytes_per_s > 0.0 { Self::Open(Link::new(bytes_per_s, latency)) } else { Self::Closed }
    }

    /// How long the transmitter is busy with a message from `start` on; infinite over a closed way.
    pub fn transmission(&self, start: Seconds, bytes: Bytes) -> Seconds {
        match self {
            _ if start == ENDLESS => ENDLESS,
            Self::Open(link) => link.bandwidth.transmission_from(start, bytes),
            Self::Closed => ENDLESS,
        }
    }

    /// How long a message is on its way after its last byte was taken.
    pub fn latency(&self) -> Seconds {
        match self {
            Self::Open(link) => link.latency,
            Self::Closed => Seconds(0.0),
        }
    }

    /// How long a message takes from `start` until it is there; nothing for no message.
    pub fn time(&self, start: Seconds, bytes: Bytes) -> Seconds {
        match bytes {
            Bytes(0) => Seconds(0.0),
            _ => self.transmission(start, bytes) + self.latency(),
        }
    }

    /// The bytes a second that so many bytes see from `start` on, as a test of the network would; 0 over a closed way.
    pub fn throughput(&self, start: Seconds, bytes: Bytes) -> f64 {
        let bytes = Bytes(bytes.0.max(1));
        match self.transmission(start, bytes) {
            ENDLESS => 0.0,
            time => bytes.0 as f64 / time.0,
        }
    }

    /// How long the receiver was busy with a message that was there at `arrival`, as `comm::Emulated` has it.
    pub(super) fn reception(&self, arrival: Seconds, bytes: Bytes) -> Seconds {
        match self {
            _ if arrival == ENDLESS => ENDLESS,
            Self::Open(link) => link.bandwidth.transmission_until(arrival - link.latency, bytes),
            Self::Closed => ENDLESS,
        }
    }
}

/// One device: what its cuts cost, what lies between it and the server, what it draws.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its name in messages.
    pub name: String,
    /// The costs of the cuts 0..=L: how many blocks it holds.
    pub cuts: Vec<CutCost>,
    /// The link to the server.
    pub up: Way,
    /// The link from the server.
    pub down: Way,
    /// Its speed and power over time.
    pub phases: Phases,
    /// What fits into it.
    pub memory: Bytes,
    /// Its steps in a round.
    pub steps: u64,
}

impl Member {
    /// A device with endless memory, for the steps of one round each.
    pub fn new(name: &str, cuts: Vec<CutCost>, up: Link, down: Link, power: Power, steps: u64) -> Self {
        let (up, down, phases) = (up.into(), down.into(), Phases::constant(power));
        Self { name: name.to_owned(), cuts, up, down, phases, memory: Bytes(u64::MAX), steps }
    }

    /// Whether its part behind this cut fits into it.
    pub fn fits(&self, cut: usize) -> bool {
        self.cuts[cut].memory.0 <= self.memory.0
    }

    /// The cuts that fit into it.
    ///
    /// # Errors
    /// When none does.
    pub fn fitting(&self) -> Result<Vec<usize>, Infeasible> {
        let cuts: Vec<usize> = (0..self.cuts.len()).filter(|cut| self.fits(*cut)).collect();
        if !cuts.is_empty() {
            return Ok(cuts);
        }
        let least = self.cuts.iter().map(|cut| cut.memory.0).min().ok_or(Infeasible::Nothing)?;
        Err(Infeasible::Memory { name: self.name.clone(), needs: Bytes(least), has: self.memory })
    }

    /// One step with nobody else at the server, under the conditions at a time: the device's work, its messages and the
    /// server's work, one after the other.
    ///
    /// A closed link makes the time infinite, of the cuts that send over it.
    ///
    /// # Math
    /// T = t_c + t_s + t_r + latencies + t_server, with t_s = bytes up / bandwidth and t_r likewise.
    /// E = P_compute·t_c + P_idle·(T − t_c) + max(P_send − P_idle, 0)·t_s + max(P_receive − P_idle, 0)·t_r, or with
    /// [`Idle::Free`] P_compute·t_c + P_send·t_s + P_receive·t_r
    ///
    /// # References
    /// Samikwa et al., *ARES: Adaptive Resource-Aware Split Learning for Internet of Things*, Computer Networks 218 (2022)
    /// 109380, which has the latter and no latency.
    pub fn step(&self, cut: usize, at: Seconds, idle: Idle) -> Point {
        let (cost, phase) = (&self.cuts[cut], self.phases.at(at));
        let compute = Seconds(cost.compute().0 / phase.speed);
        let transmission = |way: &Way, bytes: Bytes| match bytes {
            Bytes(0) => Seconds(0.0),
            _ => way.transmission(at, bytes),
        };
        let (send, receive) = (transmission(&self.up, cost.up), transmission(&self.down, cost.down));
        let latency = |way: &Way, bytes: Bytes| if bytes.0 == 0 { Seconds(0.0) } else { way.latency() };
        let time =
            compute + (send + latency(&self.up, cost.up)) + (receive + latency(&self.down, cost.down)) + cost.server;
        if time == ENDLESS {
            return Point::ENDLESS;
        }
        let power = &phase.power;
        let energy = idle.base(power) * time
            + idle.compute(power) * compute
            + idle.send(power) * send
            + idle.receive(power) * receive;
        Point { time, energy }
    }

    /// [`Member::step`] of every cut; none where it does not fit.
    pub fn steps(&self, at: Seconds, idle: Idle) -> Vec<Option<Point>> {
        (0..self.cuts.len()).map(|cut| self.fits(cut).then(|| self.step(cut, at, idle))).collect()
    }

    /// How much a test of the network sends: the whole network, as ARES did.
    pub(super) fn probe(&self) -> Bytes {
        self.cuts.last().map_or(Bytes(1), |whole| whole.weights_up)
    }

    /// Whether it is the same but for its name, so that two may change places.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.cuts == other.cuts
            && (&self.up, &self.down) == (&other.up, &other.down)
            && self.phases == other.phases
            && (self.memory, self.steps) == (other.memory, other.steps)
    }

    /// The same device under the conditions of one moment: links and speed as they are at that time, for ever.
    pub fn frozen(&self, at: Seconds) -> Self {
        let still = |way: &Way| Way::constant(way.throughput(at, self.probe()), way.latency());
        let phase = super::Phase { from: Seconds(0.0), ..*self.phases.at(at) };
        Self { up: still(&self.up), down: still(&self.down), phases: Phases::new(vec![phase]), ..self.clone() }
    }
}
