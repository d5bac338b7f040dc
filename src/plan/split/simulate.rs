//! One round of a fleet, message by message.

use super::cost::{CutCost, ENDLESS, Way};
use super::phases::{Idle, Phases};
use super::{Fleet, Member, Point, Protocol};
use crate::units::{Bytes, Joules, Seconds};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What one machine did in a round.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Share {
    /// Its own time when it had nothing left to do in the round; a message may still have been on its way.
    pub end: Seconds,
    /// When the server had its part.
    pub delivered: Seconds,
    /// Time spent computing.
    pub computing: Seconds,
    /// Time that its transmitter was busy.
    pub sending: Seconds,
    /// Time that its receiver was busy.
    pub receiving: Seconds,
    /// Time that the server computed for this device; of the server, for all.
    pub served: Seconds,
    /// Time between a batch's activations given to the transmitter and its gradient taken, of all its batches.
    pub waiting: Seconds,
    /// Energy from the beginning of the round to its end, waiting for others included.
    pub energy: Joules,
}

/// A round as it was played.
#[derive(Debug, Clone, PartialEq)]
pub struct Round {
    /// When it began.
    pub start: Seconds,
    /// When the server had the parts of all devices.
    pub end: Seconds,
    /// What the devices did.
    pub devices: Vec<Share>,
    /// What the server did.
    pub server: Share,
}

impl Round {
    /// How long it took.
    pub fn time(&self) -> Seconds {
        self.end - self.start
    }

    /// The energy of all devices, without the server's.
    pub fn energy(&self) -> Joules {
        self.devices.iter().map(|device| device.energy).sum()
    }
}

impl Fleet {
    /// Plays one round with these cuts, one a device; federated learning has one cut, whatever they say.
    ///
    /// The server sends each device its part, in the order of the devices. Each step of a device is its forward, one
    /// message up, the server's work, one message down, its backward; then it sends its part to the server. Messages and
    /// waiting are those of `comm::Emulated` and [`crate::device::Machine`]: a sender does not wait for its transmitter,
    /// and a message of no bytes is none. Over a closed link the round does not end.
    ///
    /// A server with a core for each device, but one transmitter, sends in the order in which the batches came.
    ///
    /// # Math
    /// depart = max(sender's time, transmitter free); transmitter free = depart + bytes / bandwidth;
    /// arrival = transmitter free + latency; receiver's time = max(time, arrival)
    ///
    /// # Panics
    /// If there are not as many cuts as devices, or one is beyond the network.
    pub fn simulate(&self, cuts: &[usize], start: Seconds) -> Round {
        assert_eq!(cuts.len(), self.members.len(), "a cut a device");
        let mut play = Play::new(self, cuts, start);
        match self.protocol {
            Protocol::Sequential => (0..cuts.len()).for_each(|device| play.one_after_the_other(device)),
            _ => play.all_at_once(),
        }
        play.close(start)
    }

    /// What a round costs: its time, and the energy of all devices (and of the server, if that counts).
    pub fn point(&self, cuts: &[usize], start: Seconds) -> Point {
        self.cost(&self.simulate(cuts, start))
    }

    /// What a round cost, likewise.
    pub fn cost(&self, round: &Round) -> Point {
        let server = if self.server_energy { round.server.energy } else { Joules(0.0) };
        Point { time: round.time(), energy: round.energy() + server }
    }
}

/// A machine in a round. Its time is the end of its share.
struct Board<'a> {
    phases: &'a Phases,
    idle: Idle,
    share: Share,
    /// What it used beside what it uses all the time.
    active: Joules,
}

impl<'a> Board<'a> {
    fn new(phases: &'a Phases, idle: Idle, start: Seconds) -> Self {
        Self { phases, idle, share: Share { end: start, ..Share::default() }, active: Joules(0.0) }
    }

    fn compute(&mut self, work: Seconds) -> Seconds {
        let (from, time) = (self.share.end, self.phases.duration(self.share.end, work));
        self.share.end += time;
        self.share.computing += time;
        self.active += self.phases.energy(from, self.share.end, |power| self.idle.compute(power));
        time
    }

    fn sent(&mut self, depart: Seconds, transmission: Seconds) {
        self.share.sending += transmission;
        self.active += self.phases.energy(depart, depart + transmission, |power| self.idle.send(power));
    }

    fn arrived(&mut self, message: &Message) {
        let until = message.arrival - message.latency;
        self.share.end = later(self.share.end, message.arrival);
        self.share.receiving += message.reception;
        let energy = self.phases.energy(until - message.reception, until, |power| self.idle.receive(power));
        self.active += energy;
    }

    fn close(mut self, start: Seconds, end: Seconds) -> Share {
        let base = |power: &_| self.idle.base(power);
        self.share.energy = match end {
            ENDLESS => Joules(f64::INFINITY),
            end => self.phases.energy(start, end, base) + self.active,
        };
        self.share
    }
}

struct Message {
    arrival: Seconds,
    latency: Seconds,
    reception: Seconds,
}

fn later(one: Seconds, other: Seconds) -> Seconds {
    Seconds(one.0.max(other.0))
}

/// Gives a message to a transmitter.
fn send(from: &mut Board, free: &mut Seconds, way: &Way, bytes: Bytes) -> Message {
    let depart = later(from.share.end, *free);
    let transmission = way.transmission(depart, bytes);
    *free = depart + transmission;
    from.sent(depart, transmission);
    let arrival = *free + way.latency();
    Message { arrival, latency: way.latency(), reception: way.reception(arrival, bytes) }
}

struct Device<'a> {
    member: &'a Member,
    cost: &'a CutCost,
    board: Board<'a>,
    free: Seconds,
    left: u64,
    /// Activations on their way to the server or waiting there, and when they were given to the transmitter.
    batch: Option<(Message, Seconds)>,
}

struct Play<'a> {
    fleet: &'a Fleet,
    devices: Vec<Device<'a>>,
    server: Board<'a>,
    /// When each of the server's cores is free: one, or one a device.
    cores: Vec<Seconds>,
    /// When each of its transmitters is, likewise.
    ports: Vec<Seconds>,
    /// When the server had the last part.
    end: Seconds,
}

impl<'a> Play<'a> {
    fn new(fleet: &'a Fleet, cuts: &[usize], start: Seconds) -> Self {
        let one_cut = (fleet.protocol == Protocol::Federated).then(|| fleet.blocks());
        let device = |(member, cut): (&'a Member, &usize)| Device {
            member,
            cost: &member.cuts[one_cut.unwrap_or(*cut)],
            board: Board::new(&member.phases, fleet.idle, start),
            free: start,
            left: member.steps,
            batch: None,
        };
        let many = |each: bool| vec![start; if each { cuts.len() } else { 1 }];
        // Devices in turn at one part leave nothing for a second core.
        let in_turn = matches!(fleet.protocol, Protocol::SplitFedV2 | Protocol::Sequential);
        Self {
            fleet,
            devices: fleet.members.iter().zip(cuts).map(device).collect(),
            server: Board::new(&fleet.server.phases, fleet.idle, start),
            cores: many(!fleet.server.contended && !in_turn),
            ports: many(fleet.server.ports_each),
            end: start,
        }
    }

    fn all_at_once(&mut self) {
        let devices = 0..self.devices.len();
        devices.clone().for_each(|device| self.hand_out(device));
        devices.for_each(|device| self.begin_step(device));
        match self.fleet.protocol {
            Protocol::SplitFedV1 => self.serve_in_lock_step(),
            Protocol::SplitFedV2 => self.serve_in_turn(),
            _ => self.serve_as_they_come(),
        }
    }

    fn one_after_the_other(&mut self, device: usize) {
        self.hand_out(device);
        self.begin_step(device);
        while self.devices[device].batch.is_some() {
            self.serve(device);
        }
        // The next device's part leaves when this one's is there.
        self.cores[0] = later(self.cores[0], self.end);
    }

    fn hand_out(&mut self, device: usize) {
        let bytes = self.devices[device].cost.weights_down;
        self.answer(device, bytes);
    }

    /// The server's core of this device sends it so many bytes and the device takes them; no bytes take no time.
    fn answer(&mut self, device: usize, bytes: Bytes) {
        let core = self.cores[device.min(self.cores.len() - 1)];
        let (port, to) = (device.min(self.ports.len() - 1), &mut self.devices[device]);
        if bytes.0 == 0 {
            to.board.share.end = later(to.board.share.end, core);
            return;
        }
        self.server.share.end = core;
        let message = send(&mut self.server, &mut self.ports[port], &to.member.down, bytes);
        to.board.arrived(&message);
    }

    /// Lets a device work until its next batch is on its way up, or its part is.
    fn begin_step(&mut self, device: usize) {
        let device = &mut self.devices[device];
        while device.left > 0 {
            device.left -= 1;
            device.board.compute(device.cost.forward);
            if !device.cost.is_local() {
                let now = device.board.share.end;
                let message = match device.cost.up {
                    Bytes(0) => Message { arrival: now, latency: Seconds(0.0), reception: Seconds(0.0) },
                    bytes => send(&mut device.board, &mut device.free, &device.member.up, bytes),
                };
                device.batch = Some((message, now));
                return;
            }
            device.board.compute(device.cost.backward);
        }
        match device.cost.weights_up {
            Bytes(0) => device.board.share.delivered = device.board.share.end,
            bytes => {
                let message = send(&mut device.board, &mut device.free, &device.member.up, bytes);
                device.board.share.delivered = message.arrival;
                self.server.arrived(&message);
            }
        }
        self.end = later(self.end, device.board.share.delivered);
    }

    /// The server takes a device's batch, works, answers; the device goes on.
    fn serve(&mut self, device: usize) {
        let Some((message, given)) = self.devices[device].batch.take() else { return };
        let core = device.min(self.cores.len() - 1);
        self.server.share.end = self.cores[core];
        self.server.arrived(&message);
        let (work, down) = (self.devices[device].cost.server, self.devices[device].cost.down);
        let served = self.server.compute(work);
        self.cores[core] = self.server.share.end;
        self.answer(device, down);
        let at = &mut self.devices[device];
        at.board.share.served += served;
        at.board.share.waiting += at.board.share.end - given;
        at.board.compute(at.cost.backward);
        self.begin_step(device);
    }

    fn serve_as_they_come(&mut self) {
        // Times are not negative, so their bits are in their order.
        let key = |play: &Self, device: usize| {
            play.devices[device].batch.as_ref().map(|(message, _)| Reverse((message.arrival.0.to_bits(), device)))
        };
        let mut queue: BinaryHeap<_> = (0..self.devices.len()).filter_map(|device| key(self, device)).collect();
        while let Some(Reverse((_, device))) = queue.pop() {
            self.serve(device);
            queue.extend(key(self, device));
        }
    }

    fn serve_in_lock_step(&mut self) {
        loop {
            let batch = |device: &Device| device.batch.as_ref().map(|(message, _)| message.arrival.0);
            let mut step: Vec<_> =
                self.devices.iter().enumerate().filter_map(|(at, device)| Some((batch(device)?, at))).collect();
            if step.is_empty() {
                return;
            }
            step.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
            step.iter().for_each(|(_, device)| self.serve(*device));
            // The next step's weights are there when all have been served.
            let all = self.cores.iter().copied().fold(Seconds(0.0), later);
            self.cores.fill(all);
        }
    }

    fn serve_in_turn(&mut self) {
        while self.devices.iter().any(|device| device.batch.is_some()) {
            (0..self.devices.len()).for_each(|device| self.serve(device));
        }
    }

    fn close(mut self, start: Seconds) -> Round {
        let end = self.cores.iter().copied().fold(self.end, later);
        (self.server.share.end, self.server.share.delivered) = (end, end);
        let devices: Vec<Share> = self.devices.into_iter().map(|device| device.board.close(start, end)).collect();
        self.server.share.served = self.server.share.computing;
        Round { start, end, devices, server: self.server.close(start, end) }
    }
}

#[cfg(test)]
mod tests;
