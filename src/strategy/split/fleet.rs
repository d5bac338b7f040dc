//! The devices as the server sees them: who lives, where each hands over, what is on its way to it.

use super::wire::{Figures, Order};
use crate::comm::{Buffer, CommError, Communicator, Kind, Life, Pending, Tag};

#[derive(Default)]
struct Device {
    lost: bool,
    /// It said that it leaves, that was told, and it has no part in what comes next.
    leaves: bool,
    told: bool,
    left: bool,
    /// Gradients sent to it.
    gradients: u64,
    /// Messages that are not sent to the end.
    on_their_way: Vec<Pending>,
    figures: Figures,
}

/// All devices.
pub(super) struct Fleet<'a> {
    comm: &'a dyn Communicator,
    devices: Vec<Device>,
    spare: Vec<Buffer>,
}

impl<'a> Fleet<'a> {
    /// All devices of this world.
    pub fn new(comm: &'a dyn Communicator) -> Self {
        Self { comm, devices: (1..comm.size()).map(|_| Device::default()).collect(), spare: Vec::new() }
    }

    pub fn len(&self) -> usize {
        self.devices.len()
    }

    /// Whether a device's process is there.
    pub fn lives(&self, device: usize) -> bool {
        !self.devices[device].lost
    }

    /// Whether a device is there and takes part in the round.
    pub fn works(&self, device: usize) -> bool {
        self.lives(device) && !self.devices[device].left
    }

    /// Whether a device takes part in the round, or did until it died.
    pub fn takes_part(&self, device: usize) -> bool {
        !self.devices[device].left
    }

    /// Whether a device is there and does not leave after this round.
    pub fn stays(&self, device: usize) -> bool {
        self.works(device) && !self.devices[device].leaves
    }

    /// The devices that work.
    pub fn working(&self) -> Vec<usize> {
        (0..self.len()).filter(|device| self.works(*device)).collect()
    }

    /// The devices that work in the next round, too.
    pub fn staying(&self) -> Vec<usize> {
        (0..self.len()).filter(|device| self.stays(*device)).collect()
    }

    /// A device said that it leaves after this round.
    pub fn leave(&mut self, device: usize) {
        self.devices[device].leaves = true;
    }

    /// The next of those who said that they leave, of whom nobody was told yet.
    pub fn untold(&mut self) -> Option<usize> {
        let device = self.devices.iter().position(|device| device.leaves && !device.told)?;
        self.devices[device].told = true;
        Some(device)
    }

    /// Those who said so leave.
    pub fn part(&mut self) {
        self.devices.iter_mut().for_each(|device| device.left = device.leaves);
    }

    /// How many gradients were sent to a device.
    pub fn gradients(&self, device: usize) -> u64 {
        self.devices[device].gradients
    }

    /// What a device last told about itself; what it tells now takes its place.
    pub fn figures(&self, device: usize) -> Figures {
        self.devices[device].figures
    }

    pub fn note(&mut self, device: usize, figures: Figures) {
        self.devices[device].figures = figures;
    }

    /// The first device of which it became known that its process has ended.
    pub fn lost(&mut self) -> Option<usize> {
        let newly = |device: &usize| self.lives(*device) && self.comm.life(device + 1) == Life::Lost;
        let device = (0..self.len()).find(newly)?;
        self.devices[device].lost = true;
        // Its messages will never be taken.
        self.devices[device].on_their_way.drain(..).for_each(|pending| self.comm.abandon(pending));
        Some(device)
    }

    /// Sends an order with `len` floats that `fill` writes. It does not wait for the device.
    pub fn order(
        &mut self,
        device: usize,
        order: Order,
        len: usize,
        fill: impl FnOnce(&mut Buffer),
    ) -> Result<u64, CommError> {
        self.send(device, Tag::Task, len, |buffer| {
            fill(buffer);
            buffer.note = order.note();
        })
    }

    /// Sends a message with `len` floats that `fill` writes, without waiting for the device. Gives its bytes.
    pub fn send(
        &mut self,
        device: usize,
        tag: Tag,
        len: usize,
        fill: impl FnOnce(&mut Buffer),
    ) -> Result<u64, CommError> {
        self.collect(device)?;
        if self.devices[device].lost {
            return Ok(0);
        }
        let mut buffer = self.spare.pop().unwrap_or_else(|| Buffer::new(Kind::F32, 0));
        buffer.reshape(Kind::F32, len);
        buffer.note = Default::default();
        fill(&mut buffer);
        let bytes = buffer.wire_len() as u64;
        self.devices[device].gradients += u64::from(tag == Tag::Gradient);
        match self.comm.start_send(device + 1, tag, buffer) {
            Ok(pending) => self.devices[device].on_their_way.push(pending),
            // It ended a moment ago: the next look at its life says so.
            Err(CommError::PeerLost { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(bytes)
    }

    /// Takes back the memory of messages that are sent.
    fn collect(&mut self, device: usize) -> Result<(), CommError> {
        let mut left = std::mem::take(&mut self.devices[device].on_their_way);
        while let Some(pending) = left.first() {
            match self.comm.test(pending) {
                Ok(true) => self.spare.push(self.comm.wait(left.remove(0))?),
                Ok(false) => break,
                Err(CommError::PeerLost { .. }) => self.comm.abandon(left.remove(0)),
                Err(error) => return Err(error),
            }
        }
        self.devices[device].on_their_way = left;
        Ok(())
    }

    /// Moves on what is on its way to anybody.
    pub fn push_on(&mut self) -> Result<(), CommError> {
        (0..self.len()).try_for_each(|device| self.collect(device))
    }

    /// Gives up the messages that nobody will take any more.
    pub fn give_up(&mut self) {
        let pending = self.devices.iter_mut().flat_map(|device| device.on_their_way.drain(..));
        pending.for_each(|pending| self.comm.abandon(pending));
    }

    /// Ranks that cannot take part in anything that all do together.
    pub fn gone(&self) -> Vec<usize> {
        (0..self.len()).filter(|device| !self.lives(*device)).map(|device| device + 1).collect()
    }
}
