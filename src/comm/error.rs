//! What can go wrong between ranks.

use super::{Kind, Tag};

/// A message that did not arrive as it should.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CommError {
    /// The peer ended and left no message.
    #[error("rank {rank} is gone (waiting for {tag:?}); its own message, above or in its log, says why")]
    PeerLost {
        /// The lost rank.
        rank: usize,
        /// The channel that was waited on.
        tag: Tag,
    },
    /// MPI knows that ranks have ended; which ones it does not say here.
    #[error("{call}: a rank has ended")]
    RanksLost {
        /// The MPI function that said so.
        call: &'static str,
    },
    /// Nothing came in time.
    #[error("rank {rank} waited {seconds} s for {tag:?} from {from}; a peer is stuck or the protocol is wrong")]
    Deadline {
        /// Who waited.
        rank: usize,
        /// On whom.
        from: String,
        /// On which channel.
        tag: Tag,
        /// How long.
        seconds: u64,
    },
    /// The message is not of the expected kind or length.
    #[error(
        "{tag:?} from rank {from}: {got_kind:?} x {got_len} arrived where {kind:?} x {len} was expected; the ranks run different programs or configurations"
    )]
    Mismatch {
        /// The sender.
        from: usize,
        /// The channel.
        tag: Tag,
        /// Expected element type.
        kind: Kind,
        /// Expected number of elements.
        len: usize,
        /// What came.
        got_kind: Kind,
        /// How many came.
        got_len: usize,
    },
    /// A message did not fit into the receive that was under way for it; what it held is lost.
    #[error(
        "{tag:?} from rank {from}: more than {kind:?} x {len} arrived; the ranks run different programs or configurations"
    )]
    Longer {
        /// The sender.
        from: usize,
        /// The channel.
        tag: Tag,
        /// Expected element type.
        kind: Kind,
        /// Expected number of elements.
        len: usize,
    },
    /// The bytes are no message of ours.
    #[error("{tag:?} from rank {from}: the header is not goai-rs' ({why}); the ranks run different versions")]
    Garbage {
        /// The sender.
        from: usize,
        /// The channel.
        tag: Tag,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A rank that does not exist, or oneself.
    #[error("rank {rank} of {size} cannot exchange {tag:?} with rank {peer}")]
    NoSuchRank {
        /// The caller.
        rank: usize,
        /// Number of ranks.
        size: usize,
        /// Whom it named.
        peer: usize,
        /// The channel.
        tag: Tag,
    },
    /// A message came from outside the group that waited for any of its own.
    #[error(
        "rank {rank} waited for {tag:?} of any rank of its group, but rank {from}, which is not in it, sent first; the ranks run different programs or configurations"
    )]
    Stranger {
        /// Who waited.
        rank: usize,
        /// The sender.
        from: usize,
        /// The channel.
        tag: Tag,
    },
    /// A message longer than the transport takes in one piece.
    #[error(
        "a message of {bytes} bytes is more than MPI takes at once (2^31 - 1); use a smaller network or more parts"
    )]
    TooLong {
        /// Its size.
        bytes: usize,
    },
    /// The MPI library reported an error.
    #[error("{call} failed: {text} (MPI error {code})")]
    Mpi {
        /// The MPI function.
        call: &'static str,
        /// Its return code.
        code: i32,
        /// The library's own words.
        text: String,
    },
    /// MPI could not be started as needed.
    #[error("{0}")]
    Start(String),
}

impl CommError {
    /// Whether the end of another rank is the cause.
    pub fn is_death(&self) -> bool {
        matches!(self, Self::PeerLost { .. } | Self::RanksLost { .. })
    }
}
