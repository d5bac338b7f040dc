//! What happens during a run, as data: strategies say it, the outside writes it down.

use serde::{Deserialize, Serialize};

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
    /// The stages of a pipeline after an epoch.
    Stages {
        /// The epoch, from 1.
        epoch: u64,
        /// One record a rank.
        stages: Vec<StageRecord>,
    },
    /// What emulated machines took and used in a phase: modelled, all of it.
    Energy {
        /// The epoch, from 1.
        epoch: u64,
        /// `train`, or `measure` for what follows the epoch.
        phase: &'static str,
        /// One record a rank.
        machines: Vec<MachineRecord>,
    },
    /// How every exit head did on a part of the data, and what exit thresholds would do there.
    Exits {
        /// Which part.
        part: &'static str,
        /// How many samples it has.
        samples: u64,
        /// One record a stage that has a head.
        heads: Vec<HeadRecord>,
        /// One row a threshold; empty where not every stage has a head.
        sweep: Vec<SweepRow>,
    },
    /// A step of a grid was applied: a few rows of `ledger.csv`.
    Applied(Applied),
    /// A round of split learning ended: one record a device.
    Round {
        /// The round, from 1.
        round: u64,
        /// One record a device.
        devices: Vec<SplitRecord>,
    },
    /// How this rank's stage does, about once a second; heard on every rank.
    Live(StageLive),
    /// Training goes on from a checkpoint; what stands before this line happened before.
    Resumed {
        /// The checkpoint's file.
        from: String,
        /// Its epoch, from 0.
        epoch: u64,
        /// Its step.
        step: u64,
    },
    /// A checkpoint is on the disk.
    Checkpoint {
        /// Its file.
        path: String,
        /// Its step.
        step: u64,
        /// Its length.
        bytes: u64,
        /// How long it took to write. Measured.
        seconds: f64,
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
    /// Joules of all nodes together, measured; absent where nothing measures them.
    pub energy_j: Option<f64>,
    /// Seconds of the epoch on emulated machines, modelled; absent where none are emulated.
    pub modelled_epoch_s: Option<f64>,
    /// Joules of the epoch on emulated machines, modelled.
    pub modelled_energy_j: Option<f64>,
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
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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
    /// What became of its results, where it is a worker of a grid.
    #[serde(default)]
    pub grid: Option<GridRecord>,
}

/// What became of a worker's results in one epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct GridRecord {
    /// Results that became part of a step.
    pub taken: u64,
    /// Results that came when their step was over.
    pub stale: u64,
    /// Results of chunks that another worker had delivered first.
    pub duplicate: u64,
    /// Tasks that were called off.
    pub cancelled: u64,
    /// Tasks that had been given out before.
    pub repeated: u64,
    /// How many steps old the weights of the taken results were, in the mean.
    pub staleness: f64,
    /// The most so far.
    pub staleness_max: u32,
}

/// Which results made a step of a grid.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Applied {
    /// The epoch, from 1.
    pub epoch: u64,
    /// The step, from 1.
    pub step: u64,
    /// Chunk of the epoch, rank, and staleness of each, in the order of the chunks.
    pub contributions: Vec<(usize, usize, u32)>,
}

/// What a device of split learning did in a round, and what was decided for the next: one row of `splits.csv`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SplitRecord {
    /// The rank.
    pub rank: usize,
    /// The machine that it emulates; empty where it is itself.
    pub device: String,
    /// The epoch in which the round ended, from 1.
    pub epoch: u64,
    /// Trunk blocks on the device in this round.
    pub cut: usize,
    /// Trunk blocks on the device in the next round.
    pub next_cut: usize,
    /// Steps in the round.
    pub steps: u64,
    /// Samples in the round.
    pub samples: u64,
    /// Bytes of activations, labels and weights sent to the server, headers included.
    pub bytes_up: u64,
    /// Bytes of gradients and weights sent to the device, headers included.
    pub bytes_down: u64,
    /// What the round took, measured.
    pub measured: SplitTimes,
    /// What it took on emulated machines; absent where none are emulated.
    pub modelled: Option<SplitTimes>,
    /// Joules of the emulated device in the round.
    pub modelled_j: Option<f64>,
    /// Seconds of the round that the planner had predicted.
    pub predicted_s: Option<f64>,
    /// Joules of the device that the planner had predicted.
    pub predicted_j: Option<f64>,
    /// Why this round's cut was chosen.
    pub reason: String,
    /// Why the next round's is.
    pub next_reason: String,
}

/// Where a device's time in a round went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct SplitTimes {
    /// Seconds from the round's beginning until the server had this device's part.
    pub round_s: f64,
    /// Seconds of computing on the device.
    pub device_s: f64,
    /// Seconds of computing on the server for this device.
    pub server_s: f64,
    /// Seconds from sending activations until their gradients were there.
    pub wait_s: f64,
    /// What was seen of the link to the server, where something was.
    pub up_mbit_per_s: Option<f64>,
    /// What was seen of the link from the server, where something was.
    pub down_mbit_per_s: Option<f64>,
}

/// What one rank's stage did in one epoch: one row of `stages.csv`. Times without another word are measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    /// The stage, from 0.
    pub stage: usize,
    /// Which of its replicas.
    pub replica: usize,
    /// The rank.
    pub rank: usize,
    /// Its first and last layer.
    pub layers: String,
    /// The machine that it emulates; empty where it is itself.
    pub device: String,
    /// Batches that it learned from.
    pub batches: u64,
    /// Samples that it learned from.
    pub samples: u64,
    /// Mean loss of its own outputs, absent where it has none.
    pub train_loss: Option<f64>,
    /// Share of right answers of its own head.
    pub train_acc: Option<f64>,
    /// Mean loss of its own head on the validation samples that came to it.
    pub val_loss: Option<f64>,
    /// Share of right answers of its own head on them.
    pub val_acc: Option<f64>,
    /// Share of all validation samples that left here.
    pub exit_share: Option<f64>,
    /// Proposals that it made.
    pub proposals: u64,
    /// Share of the proposals on convolutions that were accepted.
    pub acceptance_conv: Option<f64>,
    /// Share of the proposals on dense layers that were accepted.
    pub acceptance_dense: Option<f64>,
    /// Seconds in forward, backward, proposals and update.
    pub busy_s: f64,
    /// Seconds for activations, gradients or credits.
    pub wait_s: f64,
    /// 1 - busy / the epoch's seconds.
    pub bubble: f64,
    /// Bytes of activations and labels sent down, headers included.
    pub bytes_down: u64,
    /// Bytes of gradients sent up, headers included.
    pub bytes_up: u64,
    /// Bytes of credits sent up, headers included.
    pub bytes_control: u64,
    /// Seconds of the epoch on the emulated machine.
    pub modelled_epoch_s: Option<f64>,
    /// Seconds of it spent computing.
    pub modelled_busy_s: Option<f64>,
    /// 1 - modelled busy / modelled epoch.
    pub modelled_bubble: Option<f64>,
}

/// What an emulated machine took and used in a phase: one row of `energy.csv`. Modelled, but for `measured_j`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MachineRecord {
    /// The rank.
    pub rank: usize,
    /// The machine; empty where the rank is itself.
    pub device: String,
    /// Seconds of the phase.
    pub modelled_s: Option<f64>,
    /// Seconds spent computing.
    pub modelled_compute_s: Option<f64>,
    /// Seconds spent sending.
    pub modelled_send_s: Option<f64>,
    /// Seconds spent receiving.
    pub modelled_receive_s: Option<f64>,
    /// Joules for computing.
    pub modelled_compute_j: Option<f64>,
    /// Joules for waiting.
    pub modelled_idle_j: Option<f64>,
    /// Joules for sending, above idling.
    pub modelled_send_j: Option<f64>,
    /// Joules for receiving, above idling.
    pub modelled_receive_j: Option<f64>,
    /// Joules of the rank's node, measured; on one rank a node, where something measures them.
    pub measured_j: Option<f64>,
}

impl MachineRecord {
    /// All modelled joules.
    pub fn modelled_j(&self) -> Option<f64> {
        let parts = [self.modelled_compute_j, self.modelled_idle_j, self.modelled_send_j, self.modelled_receive_j];
        parts.into_iter().sum()
    }
}

/// How an exit head did on a part of the data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeadRecord {
    /// The stage, from 0.
    pub stage: usize,
    /// Mean loss over all samples of the part.
    pub loss: Option<f64>,
    /// Share of right answers over all samples of the part.
    pub accuracy: Option<f64>,
    /// Share of the samples that left here under the run's own thresholds.
    pub exit_share: f64,
    /// Seconds until this head answers a sample that is alone in the chain, modelled.
    pub latency_s: Option<f64>,
    /// Joules of computing, sending and receiving until then, modelled.
    pub energy_j: Option<f64>,
}

/// What a threshold does: one row of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SweepRow {
    /// The threshold, the same at all stages.
    pub threshold: f64,
    /// Share of right answers, each where its sample left.
    pub accuracy: f64,
    /// Share of the samples that left at each stage.
    pub exit_shares: Vec<f64>,
    /// `E[T] = Σ exitᵢ · time to i`, modelled; absent where no machine is emulated.
    pub latency_s: Option<f64>,
    /// The same of joules.
    pub energy_j: Option<f64>,
}

/// How a stage does while it works. Measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageLive {
    /// The stage, from 0.
    pub stage: usize,
    /// The running epoch, from 1.
    pub epoch: u64,
    /// Batches of it that are done.
    pub batches: u64,
    /// Mean loss over them.
    pub loss: Option<f64>,
    /// Share of right answers over them.
    pub accuracy: Option<f64>,
    /// Batches sent on that the next stage has not taken up.
    pub queue: usize,
    /// Seconds from batch to batch, mean over the epoch so far.
    pub latency_s: f64,
    /// Of these, seconds of waiting.
    pub wait_s: f64,
    /// Proposals a second since the last look.
    pub proposals_per_s: Option<f64>,
    /// Share of accepted proposals on convolutions.
    pub acceptance_conv: Option<f64>,
    /// Share of accepted proposals on dense layers.
    pub acceptance_dense: Option<f64>,
    /// Share of the validation samples of the last epoch that left here.
    pub exit_share: Option<f64>,
}
