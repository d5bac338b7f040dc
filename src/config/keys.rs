//! The table of keys: everything that can be configured, once.
//!
//! Flags, GOAI_ variables, both file formats, messages, `config keys` and the defaults derive from
//! this table. A new key is one row here and one field in [`super::Config`].

use super::choices::{
    Activation, AugmentKind, BadImage, ClockKind, ExitRule, Granularity, Init, Learn, LossKind, Mode, OptimizerKind,
    PipelineSchedule, PlanObjective, Policy, Protocol, RateScaling, Schedule, Sync,
};
use super::kind::{Kind, MOST_ELEMENTS};
use super::suggest::suggest;
use super::values::{Dataset, Model};
use For::{Chain, Cifar10, Cnn, Folder, Img, ImgCnn, Iris, Mnist, PictureMlp, Rest, Sampled, SampledChain};

/// One thing that can be configured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Key {
    /// Its name in files and after `--set`.
    pub name: &'static str,
    /// Its flag with the dashes, or nothing when it has none.
    pub flag: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// Its value when nobody gives one.
    pub default: Fallback,
    /// What it does, in one line.
    pub doc: &'static str,
}

/// The value of a key when nobody gives one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fallback {
    /// None: what happens then is said in the key's line.
    Unset,
    /// The same everywhere.
    All(&'static str),
    /// The first row that fits; none where none does: the data say it.
    First(&'static [(For, &'static str)]),
}

/// Where a default holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// For iris.
    Iris,
    /// For the photographs of scenes.
    Img,
    /// For CIFAR-10 on a chain of devices that learn each for itself.
    Chain,
    /// For CIFAR-10.
    Cifar10,
    /// For MNIST.
    Mnist,
    /// For any other folder of pictures.
    Folder,
    /// For learning by proposals on such a chain.
    SampledChain,
    /// For learning by proposals.
    Sampled,
    /// For networks of convolutions on the photographs of scenes.
    ImgCnn,
    /// For networks of convolutions, and those in files for pictures.
    Cnn,
    /// For dense networks that read pictures.
    PictureMlp,
    /// Everywhere else.
    Rest,
}

impl For {
    /// What a list of defaults calls it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Iris => "iris",
            Self::Img => "img",
            Self::Chain => "cifar10 under pipeline",
            Self::Cifar10 => "cifar10",
            Self::Mnist => "mnist",
            Self::Folder => "a folder of pictures",
            Self::SampledChain => "mcmc on cifar10 under pipeline",
            Self::Sampled => "mcmc",
            Self::ImgCnn => "a CNN on img",
            Self::Cnn => "a CNN",
            Self::PictureMlp => "an MLP on pictures",
            Self::Rest => "else",
        }
    }

    fn fits(self, preset: Preset) -> bool {
        match self {
            Self::Iris => preset.data == Data::Iris,
            Self::Img => preset.data == Data::Img,
            Self::Chain => preset.data == Data::Cifar10 && preset.chain,
            Self::Cifar10 => preset.data == Data::Cifar10,
            Self::Mnist => preset.data == Data::Mnist,
            Self::Folder => preset.data == Data::Folder,
            Self::SampledChain => Self::Chain.fits(preset) && preset.sampled,
            Self::Sampled => preset.sampled,
            Self::ImgCnn => preset.data == Data::Img && preset.net == Net::Cnn,
            Self::Cnn => preset.net == Net::Cnn,
            Self::PictureMlp => preset.net == Net::Mlp && !matches!(preset.data, Data::Iris | Data::Table),
            Self::Rest => true,
        }
    }
}

/// The kinds of data that have defaults of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// Iris.
    Iris,
    /// Photographs of scenes.
    Img,
    /// CIFAR-10.
    Cifar10,
    /// MNIST.
    Mnist,
    /// Any other table, and numpy arrays.
    Table,
    /// Any other folder of pictures.
    Folder,
}

/// The kinds of networks that have defaults of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Net {
    /// Dense layers alone.
    Mlp,
    /// Convolutions.
    Cnn,
}

/// The defaults that go with a data set and a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// The data.
    pub data: Data,
    /// The network.
    pub net: Net,
    /// Whether the ranks are a chain of devices that learn each for itself.
    pub chain: bool,
    /// Whether learning is by proposals.
    pub sampled: bool,
}

impl Preset {
    /// Of iris and its network.
    pub const IRIS: Self = Self { data: Data::Iris, net: Net::Mlp, chain: false, sampled: false };
    /// Of the photographs and the original's network.
    pub const IMG: Self = Self { data: Data::Img, net: Net::Mlp, chain: false, sampled: false };

    /// Of a data set and a network; of a network in a file the data decide what it may be.
    pub fn of(dataset: &Dataset, model: &Model, chain: bool, sampled: bool) -> Self {
        let data = Data::of(dataset);
        let net = match model {
            model if model.is_mlp() => Net::Mlp,
            Model::File(_) if matches!(data, Data::Iris | Data::Table) => Net::Mlp,
            _ => Net::Cnn,
        };
        Self { data, net, chain, sampled }
    }
}

impl Data {
    /// The kind of a data set.
    pub fn of(dataset: &Dataset) -> Self {
        match dataset {
            Dataset::Iris => Self::Iris,
            Dataset::Img => Self::Img,
            Dataset::Cifar10 => Self::Cifar10,
            Dataset::Mnist => Self::Mnist,
            Dataset::Csv(_) | Dataset::Npy(_) => Self::Table,
            Dataset::Folder(_) => Self::Folder,
        }
    }

    /// The network that goes with it when none is named; `chain` as in [`Preset`].
    pub fn model(self, chain: bool) -> &'static str {
        match self {
            Self::Cifar10 if chain => "greenai_chain",
            Self::Iris | Self::Table => "iris_mlp",
            Self::Img => "img_mlp",
            Self::Cifar10 => "vgg5",
            Self::Mnist => "mnist_cnn",
            Self::Folder => "img_cnn",
        }
    }
}

impl Key {
    /// The default for a preset.
    pub fn default_for(&self, preset: Preset) -> Option<&'static str> {
        match self.default {
            Fallback::Unset => None,
            Fallback::All(text) => Some(text),
            Fallback::First(rows) => rows.iter().find(|(place, _)| place.fits(preset)).map(|(_, text)| *text),
        }
    }

    /// All defaults in words: `0.01 (img: 0.004)`.
    pub fn defaults(&self) -> String {
        match self.default {
            Fallback::Unset => "unset".to_owned(),
            Fallback::All(text) => text.to_owned(),
            Fallback::First(rows) => {
                let last = rows.iter().find(|(place, _)| *place == For::Rest).map_or("unset", |(_, text)| text);
                let others = rows.iter().filter(|(place, _)| *place != For::Rest);
                let others: Vec<String> = others.map(|(place, text)| format!("{}: {text}", place.word())).collect();
                format!("{last} ({})", others.join(", "))
            }
        }
    }

    /// The environment variable: `learningRate` is GOAI_LEARNING_RATE.
    pub fn variable(&self) -> String {
        let mut name = VARIABLE_PREFIX.to_owned();
        for c in self.name.chars() {
            if c.is_ascii_uppercase() {
                name.push('_');
            }
            name.push(c.to_ascii_uppercase());
        }
        name
    }
}

/// What the environment variables of all keys begin with.
pub const VARIABLE_PREFIX: &str = "GOAI_";

/// Variables with the prefix that are no keys: `GOAI_FAULT` and everything under `GOAI_TEST_`
/// steer the tests (faults injected into a rank). They are not configuration and are left alone.
pub fn is_other_variable(name: &str) -> bool {
    name == "GOAI_FAULT" || name.starts_with("GOAI_TEST_")
}

/// The key of this name.
pub fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The key that a mistyped name means, if one is near: by its name, else by its flag (`lr`).
pub fn nearest(name: &str) -> Option<&'static str> {
    let by_flag = || {
        let flags = KEYS.iter().filter(|key| !key.flag.is_empty());
        let flag = suggest(name, flags.map(|key| key.flag))?;
        KEYS.iter().find(|key| key.flag == flag).map(|key| key.name)
    };
    suggest(name, KEYS.iter().map(|key| key.name)).or_else(by_flag)
}

const ONE_UP: Kind = count(1, MOST_ELEMENTS);
const RATE: Kind = interval(0.0, false, 1000.0, true);
// TOML integers end here.
const SEED: Kind = count(0, i64::MAX as u64);

const fn count(least: u64, most: u64) -> Kind {
    Kind::Count { least, most }
}

const fn interval(least: f64, least_in: bool, most: f64, most_in: bool) -> Kind {
    Kind::Number { least, least_in, most, most_in }
}

const fn row(name: &'static str, flag: &'static str, kind: Kind, default: Fallback, doc: &'static str) -> Key {
    Key { name, flag, kind, default, doc }
}

const fn all(text: &'static str) -> Fallback {
    Fallback::All(text)
}

const fn by(rows: &'static [(For, &'static str)]) -> Fallback {
    Fallback::First(rows)
}

/// Keys that mean something in mode offload alone.
pub const OFFLOAD_KEYS: &[&str] = &[
    "graph",
    "granularity",
    "policy",
    "requests",
    "arrivals",
    "sources",
    "queue",
    "width",
    "fuse",
    "planTime",
    "objective",
    "budget",
    "replan",
    "pictures",
];

/// Every key, in the order in which files and tables show them: the original's nine first.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    row("inputdataDims", "", ONE_UP, by(&[(Iris, "4"), (Img, "67500")]),
        "Numbers per sample; unset: as the data have"),
    row("inputLayerNeurons", "", ONE_UP, by(&[(PictureMlp, "40"), (Rest, "30")]),
        "Width of the first dense layer"),
    row("hiddenLayerNeurons", "", ONE_UP, by(&[(PictureMlp, "10"), (Rest, "20")]),
        "Width of the second dense layer"),
    row("outputLayerNeurons", "", ONE_UP, by(&[(Iris, "3"), (Img, "6")]),
        "Width of the output, one per class; unset: as the data have"),
    row("labelOnehotDims", "", ONE_UP, by(&[(Iris, "3"), (Img, "6")]),
        "Length of a one-hot label; equals outputLayerNeurons"),
    row("numEpochs", "--epochs", ONE_UP, by(&[(Img, "10"), (Cifar10, "30"), (Mnist, "10"), (Folder, "10"), (Rest, "100")]),
        "Passes over the training part"),
    row("learningRate", "--lr", RATE, by(&[(Img, "0.004"), (Cnn, "0.02"), (PictureMlp, "0.001"), (Rest, "0.01")]),
        "Scale of every step, before rateScaling and schedule"),
    row("batchSize", "--batch", ONE_UP, by(&[(Sampled, "2000"), (Cifar10, "64"), (Mnist, "64"), (Folder, "32"), (Rest, "4")]),
        "Samples of a step on each training rank"),
    row("parallelism", "", count(1, 65_536), all("8"),
        "Upper bound of the threads of a rank"),

    row("mode", "--mode", Kind::Choice(Mode::WORDS), Fallback::Unset,
        "How ranks work together; auto: what the plan finds fastest; unset: single on one rank, allreduce on several"),
    row("dataset", "--dataset", Kind::Dataset, all("iris"),
        "What to learn: a data set by name, a table, numpy arrays, or a folder of pictures"),
    row("dataDir", "--data-dir", Kind::Text, all("datasets"),
        "Folder in which data sets are looked for"),
    row("label", "--label", Kind::Text, Fallback::Unset,
        "Name of the column to predict; unset: variety, label, class, species or target"),
    row("dataSplit", "--data-split", Kind::Shares, Fallback::Unset,
        "Shares to train, validate and test on; unset: 0.8/0.1/0.1, or 0.9/0.1 beside a test set of its own"),
    row("folds", "--folds", count(0, 1_000_000), all("0"),
        "Parts of a cross-validation, 2 or more; 0: none"),
    row("repeats", "--repeats", count(1, 1_000_000), all("1"),
        "Times the cross-validation is repeated with other folds"),

    row("imageSize", "--image-size", Kind::Size, by(&[(Img, "150x150")]),
        "Size that pictures of a folder are brought to; unset: the one that most of them have"),
    row("augment", "--augment", Kind::Choice(AugmentKind::WORDS), by(&[(Mnist, "none"), (Cnn, "crop-flip"), (Rest, "none")]),
        "How pictures are varied while they train"),
    row("cropMargin", "--crop-margin", count(1, 4096), Fallback::Unset,
        "Pixels by which a crop may shift a picture; unset: an eighth of its shorter side"),
    row("badImage", "--bad-image", Kind::Choice(BadImage::WORDS), all("fail"),
        "What becomes of a picture that cannot be read; skip leaves out at most 1 % of them"),
    row("cacheDir", "--cache-dir", Kind::Text, Fallback::Unset,
        "Folder for the file of decoded pictures; unset: .goai-cache beside them"),

    row("model", "--model", Kind::Model, by(&[(Img, "img_mlp"), (Chain, "greenai_chain"), (Cifar10, "vgg5"), (Mnist, "mnist_cnn"), (Folder, "img_cnn"), (Rest, "iris_mlp")]),
        "The network; widths of an MLP are inputLayerNeurons and hiddenLayerNeurons"),
    row("activation", "--activation", Kind::Choice(Activation::WORDS), all("sigmoid"),
        "Function between dense layers"),
    row("init", "--init", Kind::Choice(Init::WORDS), by(&[(Cnn, "he"), (Rest, "glorot")]),
        "How the first weights are drawn"),
    row("standardizeHidden", "--standardize-hidden", Kind::Switch, by(&[(PictureMlp, "true"), (Rest, "false")]),
        "Standardise every sample between layers, which the original meant to do"),
    row("loss", "--loss", Kind::Choice(LossKind::WORDS), all("cross-entropy"),
        "What training makes small"),

    row("globalBatch", "--global-batch", Kind::Batch, Fallback::Unset,
        "Samples of a step on all ranks together; unset: batchSize on each rank that trains; 1: one-sample SGD"),
    row("optimizer", "--optimizer", Kind::Choice(OptimizerKind::WORDS), by(&[(ImgCnn, "sgd"), (Cnn, "momentum"), (Rest, "adam")]),
        "How a gradient becomes a step"),
    row("momentum", "--momentum", interval(0.0, true, 1.0, false), all("0.9"),
        "Share of the last step kept, for optimizer momentum"),
    row("weightDecay", "--weight-decay", interval(0.0, true, 1.0, true), by(&[(Cnn, "0.005"), (Rest, "0")]),
        "Share of a weight that each unit of learning rate takes away"),
    row("schedule", "--schedule", Kind::Choice(Schedule::WORDS), all("cosine"),
        "How the learning rate changes over the epochs"),
    row("stepEpochs", "", ONE_UP, all("30"),
        "Epochs between two cuts of the rate, for schedule step"),
    row("stepFactor", "", interval(0.0, false, 1.0, true), all("0.1"),
        "What a cut multiplies the rate with, for schedule step"),
    row("warmupEpochs", "", count(0, MOST_ELEMENTS), all("0"),
        "Epochs over which the rate rises to its full height"),
    row("rateScaling", "--rate-scaling", Kind::Choice(RateScaling::WORDS), all("sqrt"),
        "How the rate grows with the global batch"),
    row("rateBatch", "", ONE_UP, by(&[(Cifar10, "64"), (Mnist, "64"), (Folder, "32"), (Rest, "4")]),
        "The global batch at which learningRate holds as written; in mode split the batch of a device"),

    row("sync", "--sync", Kind::Choice(Sync::WORDS), all("full"),
        "Whose results make a step in mode sendrecv"),
    row("k", "--k", ONE_UP, Fallback::Unset,
        "Results that make a step; unset: one from each worker, with sync backup from all but one, with async 1"),
    row("shards", "--shards", ONE_UP, all("15"),
        "Pieces of the training part for sync shards; each is one task"),
    row("localSteps", "--local-steps", ONE_UP, all("1"),
        "Steps that each rank takes by itself between two averagings of the weights, in mode allreduce"),
    row("localEpochs", "--local-epochs", ONE_UP, Fallback::Unset,
        "Passes over its samples between two averagings, with sync shards (unset: 1) or in mode allreduce"),
    row("stragglerFactor", "--straggler-factor", interval(0.0, true, 1e6, true), all("1.5"),
        "Times the fastest shard's seconds after which a shard is given to another worker too; 0: never"),
    row("maxContributors", "--max-contributors", ONE_UP, Fallback::Unset,
        "Most workers on one step with sync shards; unset: all"),
    row("delay", "--delay", Kind::Text, Fallback::Unset,
        "Seconds that emulated workers lose on each task: exp:1.0, shifted-exp:0.5,1, pareto:1,2.5, const:1, trace:FILE.csv, or by rank 2=x10;*=exp:1"),
    row("checkpointEvery", "--checkpoint-every", Kind::Every, Fallback::Unset,
        "Steps, or with an s behind it seconds, between two checkpoints; unset: only when a signal stops the run"),
    row("requireCheckpoint", "--require-checkpoint", Kind::Switch, all("false"),
        "A checkpoint that cannot be written ends the run"),
    row("heartbeat", "--heartbeat", interval(0.0, true, 3600.0, true), all("2"),
        "Seconds without a sign of life after which a rank counts as frozen; 0: nobody listens"),
    row("stallWarn", "--stall-warn", interval(0.0, true, 1e6, true), all("60"),
        "Seconds without a step after which the missing ranks are named; 0: never"),
    row("stallAbort", "--stall-abort", interval(0.0, true, 1e6, true), all("0"),
        "Seconds without a step after which the run ends; 0: never"),

    row("learn", "--learn", Kind::Choice(Learn::WORDS), all("local"),
        "How the stages of a pipeline learn: each by its own exit head, or with gradients flowing back"),
    row("stages", "--stages", ONE_UP, Fallback::Unset,
        "Stages of a pipeline; unset: one a rank; fewer than ranks: each stage has replicas"),
    row("cuts", "--cuts", Kind::Cuts, Fallback::Unset,
        "Trunk blocks before each cut of the network, as 1,3,4; unset: balanced by cost"),
    row("pipelineSchedule", "--pipeline-schedule", Kind::Choice(PipelineSchedule::WORDS), all("1f1b"),
        "Order of micro-batches when gradients flow back; --schedule takes these words too"),
    row("microBatches", "--micro-batches", ONE_UP, Fallback::Unset,
        "Pieces of a replica's batch when gradients flow back; unset: up to four a stage"),
    row("window", "--window", count(1, 4096), all("2"),
        "Batches that may wait before a stage until the one before it has to wait"),
    row("preempt", "--preempt", Kind::Switch, all("false"),
        "A newer batch ends a stage's remaining proposals"),
    row("replay", "--replay", count(0, 4096), all("0"),
        "Batches that the stages after the first keep; after each new one they learn a kept one again"),
    row("exitRule", "--exit-rule", Kind::Choice(ExitRule::WORDS), all("confidence"),
        "What an exit head's threshold is compared with"),
    row("exitThreshold", "--exit-threshold", Kind::Numbers { most: 1.0 }, Fallback::Unset,
        "Where a sample leaves early, one number or one a stage but the last; unset: nowhere"),
    row("proposals", "--proposals", ONE_UP, all("200"),
        "Proposals on each batch, for optimizer mcmc"),
    row("mcmcLambda", "--mcmc-lambda", Kind::Numbers { most: 1e12 }, by(&[(SampledChain, "1e4"), (Rest, "1e5")]),
        "Inverse temperature, one number or two (convolutions, dense layers)"),
    row("proposalScale", "--proposal-scale", Kind::Numbers { most: 1e6 }, by(&[(SampledChain, "1e-9,1e-7"), (Rest, "1e-7")]),
        "Squared scale of the Student proposals, one number or two"),
    row("priorScale", "--prior-scale", Kind::Numbers { most: 1e6 }, all("1e-3"),
        "Squared scale of the Student prior, one number or two"),
    row("neighbourhood", "--neighbourhood", Kind::Neighbourhood, by(&[(SampledChain, "filter,64"), (Rest, "filter,363")]),
        "Weights of a proposal: filter or a number in convolutions, a number in dense layers"),
    row("layerProbability", "--layer-probability", interval(0.0, true, 1.0, true), all("0.5"),
        "Share of the proposals that change convolutions where a stage has dense layers too"),
    row("protocol", "--protocol", Kind::Choice(Protocol::WORDS), all("ares"),
        "Who holds which weights in mode split, and when they are averaged"),
    row("split", "--split", Kind::Split, all("auto"),
        "Trunk blocks on the devices in mode split, the rest on rank 0: auto chooses every round, none leaves all on the devices, else one number or one a device; 0 sends the samples up"),
    row("roundSteps", "--round-steps", ONE_UP, Fallback::Unset,
        "Steps of a device between two averagings in mode split; unset: an epoch"),
    row("nonIid", "--non-iid", interval(0.0, false, 1e6, true), Fallback::Unset,
        "Concentration of the Dirichlet law by which each device in mode split gets its share of every class; unset: samples are dealt anew every epoch"),
    row("alpha", "--alpha", interval(0.0, true, 1.0, true), all("0.6"),
        "Weight of time against energy when splits are chosen, or with objective weighted; 1: time alone"),
    row("deadline", "--deadline", interval(0.0, false, 1e9, true), Fallback::Unset,
        "Most seconds of a round when splits are chosen; in mode offload of a request"),
    row("energyBudget", "--energy-budget", interval(0.0, false, 1e12, true), Fallback::Unset,
        "Most joules of all devices in a round when splits are chosen; in mode offload for a request"),
    row("leastCut", "--least-cut", count(0, 4095), all("1"),
        "Trunk blocks that a device keeps at least when splits are chosen; 0 lets it send its samples as they are"),
    row("smoothing", "--smoothing", interval(0.0, false, 1.0, true), all("0.7"),
        "Weight of the newest round in what is believed of links and devices; 1: only the newest counts"),
    row("hysteresis", "--hysteresis", interval(0.0, true, 1.0, false), Fallback::Unset,
        "Share by which other splits have to be better before they are taken; unset: 0.02 where devices are emulated, else 0.1"),
    row("graph", "--graph", Kind::Graph, Fallback::Unset,
        "The network whose tasks mode offload places, by name, in a model file, or trained; unset: model"),
    row("granularity", "--granularity", Kind::Choice(Granularity::WORDS), all("block"),
        "How large its tasks are"),
    row("policy", "--policy", Kind::Choice(Policy::WORDS), all("auto"),
        "Who says where they run; auto: the best found within planTime"),
    row("requests", "--requests", count(1, 1_000_000), all("10"),
        "Pictures that the network is asked about, of all sources together"),
    row("arrivals", "--arrivals", Kind::Arrivals, all("at-once"),
        "When each source asks: at-once, poisson:2.0 (requests a second), periodic:0.5 (seconds between two), or trace:FILE.csv with a column time_s"),
    row("sources", "--sources", Kind::Ranks, all("0"),
        "Ranks that ask, in turn, as 0,2"),
    row("queue", "--queue", count(1, 4096), all("4"),
        "Most unanswered requests of a source; the others wait"),
    row("width", "--width", interval(0.0, false, 4.0, true), all("1"),
        "Factor of the channels and neurons of vgg16, vgg16_19, resnet50 and openface"),
    row("fuse", "--fuse", Kind::Switch, all("true"),
        "Neighbouring tasks on one rank run as one"),
    row("planTime", "--plan-time", interval(0.0, false, 3600.0, true), all("2"),
        "Seconds that policy auto may look for plans"),
    row("objective", "--objective", Kind::Choice(PlanObjective::WORDS), all("time"),
        "What a plan makes small"),
    row("budget", "--budget", interval(0.0, false, 1e12, true), Fallback::Unset,
        "Highest price of a request, in the money of the device file; unset: any"),
    row("replan", "--replan", Kind::Switch, all("false"),
        "Requests that come after links, queues or ranks have changed get plans for how they are then"),
    row("pictures", "--pictures", Kind::Text, Fallback::Unset,
        "Folder of the pictures that are asked about; unset: synthetic ones"),
    row("devices", "--devices", Kind::Text, Fallback::Unset,
        "File of the machines that the ranks emulate: a path, or one that comes along (ares, greenai, mec, …)"),
    row("clock", "--clock", Kind::Choice(ClockKind::WORDS), all("virtual"),
        "Whether emulated machines keep virtual time, or slow the ranks down to their pace"),
    row("powerSensor", "--power-sensor", Kind::Text, Fallback::Unset,
        "File that shows this machine's power in milliwatts; unset: RAPL where there is one"),

    row("seed", "--seed", SEED, all("1"),
        "Number that all random draws derive from"),
    row("threads", "--threads", count(0, 1024), all("0"),
        "Threads of a rank; 0: as many as its cores allow"),
    row("deterministic", "--deterministic", Kind::Switch, all("false"),
        "The same bits at any number of ranks and threads"),
    row("microChunk", "--micro-chunk", ONE_UP, all("4"),
        "Samples computed as one under --deterministic"),
];

#[cfg(test)]
mod tests;
