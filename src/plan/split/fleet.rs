//! Devices at a server, and by which rules they train.

use super::cost::Member;
use super::phases::{Idle, Phases};
use crate::device::Power;
use crate::units::{Bytes, Seconds};

/// Who holds which weights, and who waits for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// A part on the server for each device; batches are served as they come.
    Ares,
    /// One part on the server for all devices, in lock-step: the batches of a step as they come, all of them before any
    /// of the next.
    SplitFedV1,
    /// One part on the server for all devices: in each step, one device after the other.
    SplitFedV2,
    /// Devices train a round one after the other; the device's part passes from one to the next through the server.
    Sequential,
    /// Every device holds everything.
    Federated,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Ares, Self::SplitFedV1, Self::SplitFedV2, Self::Sequential, Self::Federated];

    /// Whether all devices share one part on the server, and so one cut.
    pub fn shares_server(self) -> bool {
        matches!(self, Self::SplitFedV1 | Self::SplitFedV2 | Self::Sequential)
    }
}

/// What the devices share.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Its speed and power over time; the costs of the cuts are for speed 1.
    pub phases: Phases,
    /// What fits into it.
    pub memory: Bytes,
    /// Whether it serves one batch after the other; else it has a core for each device, as ARES had it.
    pub contended: bool,
    /// Whether it has a transmitter for each device; else its messages go out one after the other.
    pub ports_each: bool,
}

impl Server {
    /// A server with endless memory that serves one batch after the other and sends over a transmitter for each device.
    pub fn new(power: Power) -> Self {
        Self { phases: Phases::constant(power), memory: Bytes(u64::MAX), contended: true, ports_each: true }
    }
}

/// Devices that train one network with a server.
#[derive(Debug, Clone, PartialEq)]
pub struct Fleet {
    /// The devices, in the order of their ranks; their lists of cuts are equally long.
    pub members: Vec<Member>,
    /// What they share.
    pub server: Server,
    /// By which rules.
    pub protocol: Protocol,
    /// Whether waiting costs energy.
    pub idle: Idle,
    /// Whether the server's energy counts among what a round costs.
    pub server_energy: bool,
}

impl Fleet {
    /// Devices at a server, waiting charged, the server's energy not.
    ///
    /// # Panics
    /// If there are no devices, or their lists of cuts differ in length.
    pub fn new(members: Vec<Member>, server: Server, protocol: Protocol) -> Self {
        let lengths = |member: &Member| member.cuts.len();
        assert!(members.first().is_some_and(|first| !first.cuts.is_empty()), "a fleet has devices, and they have cuts");
        assert!(members.iter().all(|member| lengths(member) == lengths(&members[0])), "all train the same network");
        Self { members, server, protocol, idle: Idle::Charged, server_energy: false }
    }

    /// Its trunk blocks L: cuts are 0..=L.
    pub fn blocks(&self) -> usize {
        self.members[0].cuts.len() - 1
    }

    /// The same fleet under the conditions of one moment: links and speeds as they are at that time, for ever.
    pub fn frozen(&self, at: Seconds) -> Self {
        let phase = super::Phase { from: Seconds(0.0), ..*self.server.phases.at(at) };
        let server = Server { phases: Phases::new(vec![phase]), ..self.server.clone() };
        let members = self.members.iter().map(|member| member.frozen(at)).collect();
        Self { members, server, ..self.clone() }
    }
}
