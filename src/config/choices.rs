//! The settings that are one word out of a few: each an enum that knows its words.
//!
//! The words are written once, here: the table of keys, the messages, the files and the broadcast
//! use them.

use serde::{Deserialize, Serialize};

/// Makes an enum whose variants each have one word.
macro_rules! choices {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every word, in the order in which they are offered.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word of this choice.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// The choice of this word.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.word())
            }
        }
    };
}

choices! {
    /// How the ranks work together.
    Mode {
        /// One rank, no communication.
        Single = "single",
        /// Rank 0 collects the workers' gradients and sends the mean back.
        SendRecv = "sendrecv",
        /// Every rank trains; gradients are reduced over all ranks.
        AllReduce = "allreduce",
        /// A rank is a stage of the network.
        Pipeline = "pipeline",
        /// Rank 0 is a server; each other rank is a device that holds the network's first layers.
        Split = "split",
        /// The network's tasks run where a plan says; nothing is trained.
        Offload = "offload",
        /// What the plan finds fastest; settled before training.
        Auto = "auto",
    }
}
choices! {
    /// Who holds which weights in mode split, and when they are averaged.
    Protocol {
        /// Each device has its own cut and its own part on the server; all are averaged after a round.
        Ares = "ares",
        /// One part on the server follows the mean gradient of all devices; the devices' parts are averaged after a round.
        SplitFedV1 = "splitfed-v1",
        /// One part on the server follows each device's gradient in turn; the devices' parts are averaged after a round.
        SplitFedV2 = "splitfed-v2",
        /// Devices train one after the other, each with the weights that the one before left.
        Sequential = "sequential",
        /// Nothing is split: devices train the whole network, which is averaged after a round.
        Federated = "federated",
    }
}
choices! {
    /// Whose results make a step of mode sendrecv.
    Sync {
        /// Everybody's, in lock-step.
        Full = "full",
        /// The first K workers'; the others start anew.
        KSync = "k-sync",
        /// The first K mini-batches, from whoever is fast.
        KBatch = "k-batch",
        /// The first K workers'; the others go on with old weights.
        KAsync = "k-async",
        /// The first K mini-batches; nobody is called off.
        KBatchAsync = "k-batch-async",
        /// Every mini-batch is a step.
        Async = "async",
        /// All workers' but the slowest.
        Backup = "backup",
        /// K shards, each trained for itself.
        Shards = "shards",
    }
}
choices! {
    /// How the stages of a pipeline learn.
    Learn {
        /// Each on the loss of its own exit head.
        Local = "local",
        /// With gradients that flow back.
        Backprop = "backprop",
    }
}
choices! {
    /// The order in which a pipeline works on micro-batches when gradients flow back.
    PipelineSchedule {
        /// All forward, then all backward.
        Gpipe = "gpipe",
        /// One forward, one backward.
        OneForwardOneBackward = "1f1b",
        /// Gradients of weights fill the gaps.
        ZeroBubbleH1 = "zb-h1",
    }
}
choices! {
    /// What an exit threshold is compared with.
    ExitRule {
        /// The largest probability, from below.
        Confidence = "confidence",
        /// The entropy of the probabilities over its maximum, from above.
        Entropy = "entropy",
    }
}
choices! {
    /// How large the tasks are that a network is taken apart into.
    Granularity {
        /// Each layer is one.
        Layer = "layer",
        /// Each block of layers that belong together is one.
        Block = "block",
    }
}
choices! {
    /// Who says where the tasks of mode offload run.
    Policy {
        /// The best of all that is found in time.
        Auto = "auto",
        /// The rank that asks.
        Local = "local",
        /// The edge server that is best for all.
        Edge = "edge",
        /// The cloud.
        Cloud = "cloud",
        /// Chance.
        Random = "random",
        /// Heterogeneous earliest finish time.
        Heft = "heft",
        /// Critical path on a processor.
        Cpop = "cpop",
        /// Predict earliest finish time.
        Peft = "peft",
        /// Branch and bound, for small graphs.
        Exact = "exact",
        /// The chain's dynamic programme.
        Chain = "chain",
        /// The least cut between two sites.
        MinCut = "min-cut",
        /// Simulated annealing.
        Anneal = "anneal",
        /// The originals' greedy search.
        Sep = "sep",
        /// The same with edge servers that help each other.
        Gcc = "gcc",
        /// The fully polynomial approximation.
        Hermes = "hermes",
    }
}
choices! {
    /// What a plan makes small.
    PlanObjective {
        /// The time from request to answer.
        Time = "time",
        /// The joules of all ranks.
        Energy = "energy",
        /// Both, with alpha as the weight of time.
        Weighted = "weighted",
    }
}
choices! {
    /// What time emulated machines keep.
    ClockKind {
        /// Virtual: nobody waits.
        Virtual = "virtual",
        /// The ranks are slowed down to it.
        Real = "real",
    }
}
choices! {
    /// How pictures are varied while they train.
    AugmentKind {
        /// Not at all.
        None = "none",
        /// Every second one is mirrored left to right.
        Flip = "flip",
        /// Each is shifted within a margin.
        Crop = "crop",
        /// Both.
        CropFlip = "crop-flip",
    }
}

choices! {
    /// What becomes of a picture that cannot be read.
    BadImage {
        /// It ends the run.
        Fail = "fail",
        /// It is left out and counted.
        Skip = "skip",
    }
}

choices! {
    /// How a gradient becomes a step.
    OptimizerKind {
        /// Plain gradient descent.
        Sgd = "sgd",
        /// Gradient descent with momentum.
        Momentum = "momentum",
        /// Adam.
        Adam = "adam",
        /// Metropolis sampling: proposals, no gradient.
        Mcmc = "mcmc",
    }
}
choices! {
    /// How the learning rate changes over the epochs.
    Schedule {
        /// It stays.
        Constant = "constant",
        /// It is multiplied by stepFactor every stepEpochs epochs.
        Step = "step",
        /// It falls to zero along half a cosine.
        Cosine = "cosine",
    }
}
choices! {
    /// What training makes small.
    LossKind {
        /// Softmax and cross-entropy.
        CrossEntropy = "cross-entropy",
        /// Squared distance to the one-hot label.
        L2 = "l2",
    }
}
choices! {
    /// The function between two dense layers.
    Activation {
        /// 1 / (1 + e⁻ˣ).
        Sigmoid = "sigmoid",
        /// Hyperbolic tangent.
        Tanh = "tanh",
        /// max(0, x).
        Relu = "relu",
    }
}
choices! {
    /// How the first weights are drawn.
    Init {
        /// Glorot and Bengio 2010.
        Glorot = "glorot",
        /// He et al. 2015.
        He = "he",
        /// Uniform over ±1/√inputs.
        Uniform = "uniform",
    }
}
choices! {
    /// How the rate grows with the global batch.
    RateScaling {
        /// It does not.
        None = "none",
        /// With the square root of global batch / rateBatch.
        Sqrt = "sqrt",
        /// With global batch / rateBatch.
        Linear = "linear",
    }
}
choices! {
    /// How progress is shown.
    Progress {
        /// A bar alone on a terminal, lines under a launcher.
        Auto = "auto",
        /// A bar.
        Bar = "bar",
        /// Lines.
        Lines = "lines",
        /// Nothing.
        None = "none",
    }
}
choices! {
    /// How predictions are written.
    PredictFormat {
        /// For people.
        Text = "text",
        /// Comma-separated, with a header.
        Csv = "csv",
        /// One JSON object a line.
        JsonLines = "jsonl",
    }
}
choices! {
    /// What `eval` measures on.
    EvalPart {
        /// The rows that trained.
        Train = "train",
        /// The rows that chose between models.
        Validation = "validation",
        /// The rows that were kept for the end.
        Test = "test",
        /// Every row.
        All = "all",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_and_its_choice_belong_together() {
        for word in Mode::WORDS {
            let mode = Mode::from_word(word).unwrap();
            assert_eq!(&mode.word(), word);
            assert_eq!(serde_json::to_value(mode).unwrap(), *word);
        }
        assert_eq!(Mode::from_word("SendRecv"), None);
        assert_eq!(format!("{:>5}", OptimizerKind::Sgd), "  sgd");
    }
}
