//! What is planned for: the training, and the machine that it would run on.

use crate::cli::prepare::Settled;
use crate::cli::task::{self, Parts};
use crate::config::{Config, Origins};
use crate::device::Devices;
use crate::nn::Network;
use crate::plan::scale::Work;
use crate::strategy::{Hyper, bytes_per_exchange};
use crate::units::Bytes;

/// What is planned for.
pub struct Subject<'a> {
    /// The configuration; its mode does not matter.
    pub config: &'a Config,
    /// Where its values came from.
    pub origins: &'a Origins,
    /// The network to train.
    pub network: &'a Network,
    /// The data.
    pub parts: &'a Parts,
    /// The ranks that it is planned for.
    pub ranks: usize,
    /// Cores of a machine.
    pub cores: usize,
    /// Ranks that share a machine.
    pub per_node: usize,
    /// The machines that the ranks would emulate.
    pub devices: Option<&'a Devices>,
}

impl Subject<'_> {
    /// Samples of the training part.
    pub fn samples(&self) -> usize {
        self.parts.train.len()
    }

    /// How many of so many ranks share a machine.
    pub fn sharing(&self, ranks: usize) -> usize {
        self.per_node.clamp(1, ranks.max(1))
    }

    /// Threads of each of so many ranks: as they would get them.
    pub fn threads(&self, ranks: usize) -> usize {
        let most = self.config.parallelism.map_or(usize::MAX, usize::from).max(1);
        match self.config.threads {
            0 => (self.cores / self.sharing(ranks)).clamp(1, most),
            threads => threads,
        }
    }

    /// Ranks of so many that can run side by side without sharing cores.
    pub fn beside(&self, ranks: usize) -> usize {
        self.sharing(ranks).min(self.cores / self.threads(ranks)).max(1)
    }

    /// How many threads share a core.
    pub fn crowd(&self, ranks: usize) -> f64 {
        (self.sharing(ranks) * self.threads(ranks)) as f64 / self.cores.max(1) as f64
    }

    /// The numbers of a training in a mode.
    pub fn hyper(&self, settled: &Settled) -> Hyper {
        task::hyper(&settled.config, self.samples(), settled.trainers)
    }

    /// What an epoch of it has to do.
    pub fn work(&self, hyper: &Hyper) -> Work {
        let plain = Hyper { local: None, ..hyper.clone() };
        let payload = Bytes(bytes_per_exchange(self.network, &plain));
        Work { samples: self.samples(), global_batch: hyper.global_batch, payload }
    }
}
