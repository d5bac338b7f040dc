//! Ranks that emulate devices, whose links and power modes change: the same machines that the ranks of a job have.

use super::Ranks;
use crate::device::{Devices, Energy, Ledger, Machine, Pass, Transmitters, Work};
use crate::plan::placement::{TaskGraph, TaskId};
use crate::units::{Bytes, Seconds};

/// One machine a rank, and what lies between them.
pub struct EmulatedRanks<'a> {
    graph: &'a TaskGraph,
    devices: &'a Devices,
    machines: Vec<Machine>,
    transmitters: Vec<Transmitters>,
}

impl<'a> EmulatedRanks<'a> {
    /// Devices at time 0, for tasks of a graph.
    pub fn new(graph: &'a TaskGraph, devices: &'a Devices) -> Self {
        let machines = devices.profiles().iter().map(|profile| Machine::new(profile, graph.name())).collect();
        let transmitters = devices.profiles().iter().map(|profile| Transmitters::new(profile.ports)).collect();
        Self { graph, devices, machines, transmitters }
    }

    /// What each used.
    pub fn energies(&self) -> Vec<Energy> {
        self.machines.iter().map(|machine| machine.energy(&machine.ledger())).collect()
    }
}

/// What a rank is charged for a task.
pub fn work_of(graph: &TaskGraph, task: TaskId) -> Work {
    Work { flops: graph.tasks()[task].flops, blocks: 0..0, rows: 1, pass: Pass::Forward }
}

impl Ranks for EmulatedRanks<'_> {
    fn now(&self, rank: usize) -> Seconds {
        self.machines[rank].now()
    }

    fn wait(&mut self, rank: usize, until: Seconds) {
        self.machines[rank].advance_to(until);
    }

    fn work(&mut self, rank: usize, task: TaskId) {
        self.machines[rank].charge(&work_of(self.graph, task));
    }

    fn send(&mut self, from: usize, to: usize, bytes: Bytes) -> Seconds {
        let (link, now) = (self.devices.link(from, to), self.now(from));
        let sent = self.transmitters[from].send(to, link, now, bytes);
        self.machines[from].sent(sent.transmission);
        sent.arrival
    }

    fn take(&mut self, from: usize, to: usize, bytes: Bytes, arrival: Seconds) {
        let link = self.devices.link(from, to);
        self.machines[to].arrived(arrival, link.bandwidth.transmission_until(arrival - link.latency, bytes));
    }

    fn ledgers(&self) -> Vec<Ledger> {
        self.machines.iter().map(Machine::ledger).collect()
    }
}
