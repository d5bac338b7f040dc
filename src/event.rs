//! What happens during a run, as data: strategies say it, the outside writes it down.

use serde::Serialize;

/// One thing that happened. `events.jsonl` holds one such object a line.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// Training begins.
    Started {
        /// Number of parameters.
        parameters: usize,
        /// Samples in the training part.
        train_samples: usize,
        /// Samples whose gradients make one step.
        global_batch: usize,
        /// Steps in an epoch.
        steps_per_epoch: u64,
        /// Payload bytes that one rank gives to the others in one step's exchange.
        bytes_per_exchange: u64,
    },
    /// An epoch ended; every rank has the same weights.
    Epoch(EpochRecord),
    /// A repeat of a cross-validation ended.
    Repeat {
        /// Which, from 1.
        repeat: usize,
        /// Of how many.
        repeats: usize,
        /// The accuracy on each held-out fold.
        accuracies: Vec<f64>,
    },
    /// Something the reader should know that is no error.
    Note {
        /// The sentence.
        text: String,
    },
}

/// One row of `metrics.csv`, with the rows of `ranks.csv` that belong to it. All times are measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct EpochRecord {
    /// Epochs finished, from 1.
    pub epoch: u64,
    /// Steps finished since the beginning of training.
    pub step: u64,
    /// Samples trained since the beginning of training.
    pub samples: u64,
    /// Mean loss over the epoch's training samples, each seen before its own step.
    pub train_loss: f64,
    /// Share of the epoch's training samples classified right, each seen before its own step.
    pub train_acc: f64,
    /// Mean loss on the validation part, absent when that part is empty.
    pub val_loss: Option<f64>,
    /// Accuracy on the validation part.
    pub val_acc: Option<f64>,
    /// Accuracy on the test part, measured after the last epoch only.
    pub test_acc: Option<f64>,
    /// Learning rate of the epoch's last step, after scaling and schedule.
    pub lr: f64,
    /// Seconds of the epoch's training loop, without evaluation: the slowest rank's.
    pub epoch_s: f64,
    /// Samples of the epoch / `epoch_s`.
    pub samples_per_s: f64,
    /// Seconds in forward, backward and update, mean over the ranks that train.
    pub compute_s: f64,
    /// Seconds in communication other than waiting, mean over all ranks.
    pub comm_s: f64,
    /// Seconds blocked until a peer's message was there, mean over all ranks.
    pub wait_s: f64,
    /// Bytes sent by all ranks together in the epoch, headers included.
    pub bytes_sent: u64,
    /// Joules, absent where nothing measures or models them.
    pub energy_j: Option<f64>,
    /// Hash of θ, equal on all ranks (checked). Sixteen hexadecimal digits in JSON, whose readers round large numbers.
    #[serde(serialize_with = "as_hex")]
    pub weights_hash: u64,
    /// One record a rank.
    pub ranks: Vec<RankRecord>,
}

fn as_hex<S: serde::Serializer>(hash: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{hash:016x}"))
}

/// What one rank did in one epoch: one row of `ranks.csv`. All times are measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RankRecord {
    /// The rank.
    pub rank: usize,
    /// Samples whose gradients this rank computed.
    pub samples: u64,
    /// Seconds in forward, backward and update.
    pub compute_s: f64,
    /// Seconds in communication other than waiting.
    pub comm_s: f64,
    /// Seconds blocked until a peer's message was there.
    pub wait_s: f64,
    /// Bytes sent, headers included.
    pub bytes_sent: u64,
    /// Bytes received, headers included.
    pub bytes_recv: u64,
    /// Resident memory, in MiB.
    pub rss_mb: f64,
}
