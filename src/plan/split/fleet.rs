//! Devices at a server, and by which rules they train.

use super::cost::Member;
use super::phases::{Idle, Phases};
use crate::device::Power;
use crate::units::{Bytes, Seconds};

/// Who holds which weights, and when they are averaged.
///
/// # References
/// Ares: Samikwa et al., *ARES: Adaptive Resource-Aware Split Learning for Internet of Things*, Computer Networks 218,
/// 2022; SplitFed: Thapa et al., *SplitFed: When Federated Learning Meets Split Learning*, AAAI 2022, arXiv:2004.12088;
/// sequential: Gupta and Raskar, *Distributed learning of deep neural network over multiple agents*, JNCA 116, 2018;
/// federated: McMahan et al., *Communication-efficient learning of deep networks from decentralized data*, AISTATS 2017.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Each device has a cut and a part on the server of its own, which serves batches as they come; whole networks are
    /// averaged after a round.
    #[default]
    Ares,
    /// All devices share one part on the server, which follows the mean of their gradients in lock-step: all batches of a
    /// step, as they come, before any of the next; the devices' parts are averaged after a round.
    SplitFedV1,
    /// All devices share one part on the server, which follows the gradient of each device in turn; the devices' parts
    /// are averaged after a round.
    SplitFedV2,
    /// Devices train one after the other, each with the weights that the one before left. Nothing is averaged.
    Sequential,
    /// Devices hold the whole network, which is averaged after a round.
    Federated,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Ares, Self::SplitFedV1, Self::SplitFedV2, Self::Sequential, Self::Federated];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ares => "ares",
            Self::SplitFedV1 => "splitfed-v1",
            Self::SplitFedV2 => "splitfed-v2",
            Self::Sequential => "sequential",
            Self::Federated => "federated",
        }
    }

    /// Whether a round goes on without a device that has died: where each of them only adds to an average.
    pub fn outlives_devices(self) -> bool {
        self != Self::Sequential
    }

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
