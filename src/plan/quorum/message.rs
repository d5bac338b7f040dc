//! What goes into a quorum and what comes out of it.

/// Something that happened. Workers count from 0; one that does not exist is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A result came in, with the version and attempt of its [`Action::Assign`].
    Arrived {
        /// Who computed it.
        worker: usize,
        /// The chunk.
        chunk: usize,
        /// The version of the weights it was computed with.
        version: u64,
        /// The attempt it was computed for.
        attempt: u32,
    },
    /// The closed step was applied: the version is one higher.
    Applied,
    /// The closed step must be computed again as it is (the scales of an order-free sum were too small): the same
    /// chunks, the same version, the next attempt.
    Again,
    /// A worker said that it leaves. What it still has is lost.
    Left {
        /// Who.
        worker: usize,
    },
    /// A worker died.
    Lost {
        /// Who.
        worker: usize,
    },
    /// Nothing is heard of a worker. It is not counted on until [`Event::Back`], or any result from it.
    Silent {
        /// Who.
        worker: usize,
    },
    /// A silent worker is heard again. Results of it that have arrived are handed in before this.
    Back {
        /// Who.
        worker: usize,
    },
    /// A worker is there (again) and has nothing.
    Joined {
        /// Who.
        worker: usize,
    },
    /// Time has passed: a straggler may be overdue (see [`Quorum::deadline`](super::Quorum::deadline)).
    Tick,
}

/// Something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Let a worker compute a chunk, with the present weights. It supersedes whatever the worker was doing; a
    /// superseded result may still come and is then dropped. The same assignment may come again when a worker is back.
    Assign {
        /// Who.
        worker: usize,
        /// What.
        chunk: usize,
        /// With which weights: always the newest.
        version: u64,
        /// How often this step was begun before.
        attempt: u32,
    },
    /// Keep the result that just arrived: it is part of the step being collected.
    Take {
        /// Who computed it.
        worker: usize,
        /// The chunk.
        chunk: usize,
        /// How many versions older than the weights it will be applied to it is.
        staleness: u32,
    },
    /// Throw away the result that just arrived: it was computed in vain.
    Drop {
        /// Who computed it.
        worker: usize,
        /// The chunk.
        chunk: usize,
        /// Why.
        why: Why,
    },
    /// Apply the results taken since the last close, then say [`Event::Applied`] or [`Event::Again`].
    Close {
        /// The version they make one higher.
        version: u64,
        /// How many they are.
        contributions: usize,
    },
    /// Every chunk is applied. Nobody has work until the next pass begins.
    PassOver,
    /// A worker has nothing to do now; it may stop what it is doing.
    Park {
        /// Who.
        worker: usize,
    },
    /// A pass runs, and nobody is live to work on it.
    NobodyLeft,
}

/// Why a result was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The step it was computed for has closed without it.
    Stale,
    /// Another result of the chunk came first.
    Duplicate,
    /// It was called off, though its version is the present one: an earlier attempt, or a worker that left.
    Cancelled,
    /// Nobody was asked for it.
    Unknown,
}
