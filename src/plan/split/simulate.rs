//! One round of a fleet, message by message.

use super::{Fleet, Point};
use crate::units::{Joules, Seconds};

/// What one machine did in a round.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Share {
    /// Its own time when it had nothing left to do in the round; a message may still have been on its way.
    pub end: Seconds,
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
    /// Plays one round with these cuts, one a device.
    ///
    /// # Panics
    /// If there are not as many cuts as devices, or one is beyond the network.
    pub fn simulate(&self, cuts: &[usize], start: Seconds) -> Round {
        todo!("{cuts:?} {start}")
    }

    /// What a round costs: its time, and the energy of all devices (and of the server, if that counts).
    pub fn point(&self, cuts: &[usize], start: Seconds) -> Point {
        let round = self.simulate(cuts, start);
        let server = if self.server_energy { round.server.energy } else { Joules(0.0) };
        Point { time: round.time(), energy: round.energy() + server }
    }
}
