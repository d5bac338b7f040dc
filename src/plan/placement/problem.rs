//! What a graph costs on given ranks: the numbers that planners see.

use super::{Plan, TaskGraph, TaskId, simulate};
use crate::device::{Devices, Pass, Ports, Power, Work};
use crate::units::{Bytes, Joules, Seconds};

/// What a message from one rank to another takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Between {
    /// How fast the link takes it.
    pub bytes_per_s: f64,
    /// How long it is on its way after that.
    pub latency: Seconds,
}

impl Between {
    /// The time from its departure to its arrival.
    pub fn time(&self, bytes: Bytes) -> Seconds {
        self.transmission(bytes) + self.latency
    }

    /// The time for which the sender's transmitter is busy with it.
    pub fn transmission(&self, bytes: Bytes) -> Seconds {
        Seconds(bytes.0 as f64 / self.bytes_per_s)
    }
}

/// A graph and ranks, at one moment: every figure constant.
#[derive(Debug, Clone)]
pub struct Problem<'a> {
    /// What is to be done.
    pub graph: &'a TaskGraph,
    /// By task and rank: the time that it takes there; infinite where it cannot run.
    pub time: Vec<Vec<Seconds>>,
    /// By sender and receiver. Within a rank nothing is sent.
    pub between: Vec<Vec<Between>>,
    /// By task: the only rank that may do it, where there is one.
    pub pinned: Vec<Option<usize>>,
    /// By rank: what fits into it.
    pub memory: Vec<Bytes>,
    /// By rank: what it draws.
    pub power: Vec<Power>,
    /// By rank: what a second of its computing costs, in whatever money.
    pub price_per_s: Vec<f64>,
    /// By rank: what it sends with. None: messages never wait for each other, as textbooks have it.
    pub ports: Option<Vec<Ports>>,
    /// Bytes of a message beside its tensor.
    pub header: Bytes,
    /// Whether waiting costs energy.
    pub idle: bool,
}

/// What a plan for one request comes to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Comes {
    /// From the request to its answer.
    pub time: Seconds,
    /// Of all ranks in that time.
    pub energy: Joules,
    /// For all computing.
    pub price: f64,
}

impl<'a> Problem<'a> {
    /// A textbook's: times by task and rank, links that take one byte a second and no latency, no contention, no energy.
    pub fn textbook(graph: &'a TaskGraph, time: Vec<Vec<Seconds>>) -> Self {
        let ranks = time.first().map_or(0, Vec::len);
        let link = Between { bytes_per_s: 1.0, latency: Seconds(0.0) };
        Self {
            graph,
            pinned: vec![None; time.len()],
            time,
            between: vec![vec![link; ranks]; ranks],
            memory: vec![Bytes(u64::MAX); ranks],
            power: vec![Power::default(); ranks],
            price_per_s: vec![0.0; ranks],
            ports: None,
            header: Bytes(0),
            idle: false,
        }
    }

    /// A graph on devices in the conditions of the time `at`, asked for by rank `source`: the graph's first task, the
    /// input, and its last, the answer, are done there.
    pub fn on_devices(graph: &'a TaskGraph, devices: &Devices, source: usize, header: Bytes, at: Seconds) -> Self {
        let ranks = devices.profiles().len();
        let work = |task: TaskId| Work { flops: graph.tasks()[task].flops, blocks: 0..0, rows: 1, pass: Pass::Forward };
        let time = |task: TaskId| devices.profiles().iter().map(|p| p.price_from("", &work(task), at)).collect();
        let between = |from: usize, to: usize| {
            let link = devices.link(from, to);
            Between { bytes_per_s: link.bandwidth.rate_at(at), latency: link.latency }
        };
        let mut pinned = vec![None; graph.tasks().len()];
        let ends = [graph.order().first(), graph.order().last()];
        ends.into_iter().flatten().for_each(|task| pinned[*task] = Some(source));
        Self {
            graph,
            time: (0..graph.tasks().len()).map(time).collect(),
            between: (0..ranks).map(|from| (0..ranks).map(|to| between(from, to)).collect()).collect(),
            pinned,
            memory: devices.profiles().iter().map(|profile| profile.memory).collect(),
            power: devices.profiles().iter().map(|profile| profile.at(at).power).collect(),
            price_per_s: devices.profiles().iter().map(|profile| profile.price_per_s).collect(),
            ports: Some(devices.profiles().iter().map(|profile| profile.ports).collect()),
            header,
            idle: true,
        }
    }

    /// The number of ranks.
    pub fn ranks(&self) -> usize {
        self.memory.len()
    }

    /// Whether a task may run on a rank: pins and speed, not the memory that others take.
    pub fn allows(&self, task: TaskId, rank: usize) -> bool {
        self.pinned[task].is_none_or(|pin| pin == rank) && self.time[task][rank].0.is_finite()
    }

    /// The time of a message of so many bytes; none within a rank.
    pub fn message(&self, from: usize, to: usize, bytes: Bytes) -> Seconds {
        match from == to {
            true => Seconds(0.0),
            false => self.between[from][to].time(bytes + self.header),
        }
    }

    /// What one request comes to that is alone on all ranks.
    pub fn comes(&self, plan: &Plan) -> Comes {
        simulate::alone(self, plan)
    }
}
