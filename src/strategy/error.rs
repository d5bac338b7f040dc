//! How training can fail.

use super::JobError;
use crate::comm::CommError;
use crate::optim::metropolis::MetropolisError;
use crate::plan::quorum::TermsError;
use crate::plan::split::Infeasible;

/// Training that did not end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A message was lost or wrong.
    #[error(transparent)]
    Comm(#[from] CommError),
    /// The loss or a weight is no number any more. All ranks find it at the same step.
    #[error(
        "diverged: the loss or a weight is not finite at step {step} (epoch {epoch}, learning rate {rate:.3e}); lower --lr, or check the data for extreme values"
    )]
    Diverged {
        /// The epoch, from 1.
        epoch: u64,
        /// The step, from 1.
        step: u64,
        /// The learning rate.
        rate: f64,
    },
    /// Two ranks hold different weights. All ranks find it after the same epoch.
    #[error(
        "after epoch {epoch} rank {rank} holds other weights ({other:016x}) than rank 0 ({expected:016x}); ranks with different processors or binaries, or a bug of ours"
    )]
    Replicas {
        /// The epoch, from 1.
        epoch: u64,
        /// The rank that differs.
        rank: usize,
        /// Its hash.
        other: u64,
        /// Rank 0's.
        expected: u64,
    },
    /// A message of another step.
    #[error("rank {from} sent exchange {got} where {expected} was due; the ranks run different programs")]
    OutOfStep {
        /// The sender.
        from: usize,
        /// The number it wrote.
        got: u32,
        /// The number that was due.
        expected: u32,
    },
    /// A snapshot that does not fit. All ranks find it before the first step.
    #[error("cannot go on from this snapshot: {0}; it is of another network, optimizer or --deterministic")]
    Resume(String),
    /// Local steps together with what they cannot give. All ranks find it before the first step.
    #[error("local steps: {0}")]
    Local(String),
    /// A part of a network that is none.
    #[error(transparent)]
    Network(#[from] crate::nn::NetError),
    /// A sampler that does not fit its network.
    #[error(transparent)]
    Sampler(#[from] MetropolisError),
    /// A grid that cannot work.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// All workers of a grid are gone.
    #[error("after step {step} (epoch {epoch}) nobody is left to train: all workers have ended or left")]
    Deserted {
        /// The epoch, from 1.
        epoch: u64,
        /// The last step that was applied.
        step: u64,
    },
    /// A device of split learning is gone, and the protocol cannot do without it.
    #[error(
        "rank {rank} is lost in epoch {epoch}: its process ended, and with --protocol {protocol} its weights are those of all; go on from a checkpoint with --resume, or take --protocol ares"
    )]
    DeviceLost {
        /// The rank.
        rank: usize,
        /// The epoch, from 1.
        epoch: u64,
        /// The protocol.
        protocol: &'static str,
    },
    /// A rank that had tasks of offloaded requests is gone, and nobody plans without it.
    #[error("rank {rank} is lost, and no plan answers the requests of rank {source_rank} without it")]
    Stranded {
        /// The rank.
        rank: usize,
        /// Whose requests had tasks there.
        source_rank: usize,
    },
    /// No cuts are within the limits.
    #[error("no split is within the limits: {0}")]
    Infeasible(#[from] Infeasible),
    /// The outside could not do what was asked of it.
    #[error(transparent)]
    Job(#[from] JobError),
}

impl TrainError {
    /// Whether every rank has this error at the same point, so that all can end in order.
    pub fn is_agreed(&self) -> bool {
        use TrainError::*;
        matches!(self, Diverged { .. } | Replicas { .. } | Resume(_) | Local(_))
    }
}
