//! What makes a training by split learning: who holds what, who trains on what, who decides.

use crate::plan::split::Objective;
use std::num::NonZeroU64;

/// Who holds which weights, and when they are averaged.
///
/// # References
/// Ares: Samikwa et al., *ARES: Adaptive Resource-Aware Split Learning for Internet of Things*, Computer Networks 218,
/// 2022; SplitFed: Thapa et al., *SplitFed: When Federated Learning Meets Split Learning*, AAAI 2022, arXiv:2004.12088;
/// sequential: Gupta and Raskar, *Distributed learning of deep neural network over multiple agents*, JNCA 116, 2018;
/// federated: McMahan et al., *Communication-efficient learning of deep networks from decentralized data*, AISTATS 2017.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Each device has a cut and a part on the server of its own; whole networks are averaged after a round.
    Ares,
    /// All devices share one part on the server, which follows the mean of their gradients step by step; the devices'
    /// parts are averaged after a round.
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

/// Where the devices hand over to the server.
#[derive(Debug, Clone, PartialEq)]
pub enum SplitCuts {
    /// Behind so many trunk blocks, by device: 0 leaves it nothing but its samples, all of them everything.
    Fixed(Vec<usize>),
    /// As found best, every round anew.
    Auto(Adaptive),
}

/// How cuts are found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adaptive {
    /// What is made small, within which limits.
    pub objective: Objective,
    /// Weight of the newest round in what is believed of links and devices, above 0 and up to 1.
    pub smoothing: f64,
    /// Share by which other cuts have to be better before they are taken, below 1.
    pub hysteresis: f64,
    /// Trunk blocks that a device keeps at least; with 0 it may send its samples as they are.
    pub least: usize,
}

/// How a network is split between devices and their server.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// Who holds what.
    pub protocol: Protocol,
    /// Where.
    pub cuts: SplitCuts,
    /// Steps of a device between two averagings; none: an epoch.
    pub round_steps: Option<NonZeroU64>,
    /// The samples of each device; none: those of each step's global batch are dealt to the devices, anew every epoch.
    pub shards: Option<Vec<Vec<u32>>>,
}
