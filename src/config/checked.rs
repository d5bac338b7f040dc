//! Configuration as checked: typed, complete, free of contradictions. The rest of the program sees
//! only this.
//!
//! A field's serde name is its key's name, so the table of keys, the files, and the broadcast from
//! rank 0 (as JSON) need no list of their own.

use super::choices::{
    Activation, AugmentKind, BadImage, ClockKind, ExitRule, Granularity, Init, Learn, LossKind, Mode, OptimizerKind,
    PipelineSchedule, PlanObjective, Policy, Protocol, RateScaling, Schedule, Sync,
};
use super::keys::Fallback;
use super::lists::{Cuts, Every, Neighbourhood, Numbers, RankList, SplitPoints};
use super::values::{Arrivals, Dataset, GlobalBatch, ImageSize, Model};
use crate::data::split::Fractions;
use serde::{Deserialize, Serialize};
use std::num::{NonZeroU64, NonZeroUsize};

/// A checked configuration. What each field means is said in its row of [`super::keys::KEYS`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// `inputdataDims`: numbers per sample; none: as the data have.
    #[serde(rename = "inputdataDims")]
    pub input_dims: Option<NonZeroUsize>,
    /// `inputLayerNeurons`: width of the first dense layer.
    pub input_layer_neurons: NonZeroUsize,
    /// `hiddenLayerNeurons`: width of the second dense layer.
    pub hidden_layer_neurons: NonZeroUsize,
    /// `outputLayerNeurons`: one per class; none: as the data have.
    pub output_layer_neurons: Option<NonZeroUsize>,
    /// `labelOnehotDims`: equals `output_layer_neurons` when both are known.
    pub label_onehot_dims: Option<NonZeroUsize>,
    /// `numEpochs`.
    #[serde(rename = "numEpochs")]
    pub epochs: NonZeroU64,
    /// `learningRate`, before scaling and schedule.
    pub learning_rate: f64,
    /// `batchSize`, on each training rank.
    pub batch_size: NonZeroUsize,
    /// `parallelism`: upper bound of the threads of a rank.
    pub parallelism: Option<NonZeroUsize>,
    /// `mode`; none: single on one rank, allreduce on several.
    pub mode: Option<Mode>,
    /// `dataset`.
    pub dataset: Dataset,
    /// `dataDir`.
    pub data_dir: String,
    /// `label`; none: the column with a usual name.
    pub label: Option<String>,
    /// `dataSplit`; none: what fits the data.
    pub data_split: Option<Fractions>,
    /// `folds`; 0: no cross-validation, otherwise 2 or more.
    pub folds: usize,
    /// `repeats` of the cross-validation.
    pub repeats: NonZeroUsize,
    /// `imageSize` of the pictures in a folder; none: what most of them have.
    pub image_size: Option<ImageSize>,
    /// `augment`.
    pub augment: AugmentKind,
    /// `cropMargin`; none: an eighth of the shorter side.
    pub crop_margin: Option<NonZeroUsize>,
    /// `badImage`.
    pub bad_image: BadImage,
    /// `cacheDir` for decoded pictures; none: beside them.
    pub cache_dir: Option<String>,
    /// `model`.
    pub model: Model,
    /// `activation`.
    pub activation: Activation,
    /// `init`.
    pub init: Init,
    /// `standardizeHidden`.
    pub standardize_hidden: bool,
    /// `loss`.
    pub loss: LossKind,
    /// `globalBatch`.
    #[serde(default)]
    pub global_batch: GlobalBatch,
    /// `optimizer`.
    pub optimizer: OptimizerKind,
    /// `momentum`, for the optimiser of this name.
    pub momentum: f64,
    /// `weightDecay`.
    pub weight_decay: f64,
    /// `schedule`.
    pub schedule: Schedule,
    /// `stepEpochs`, for the schedule `step`.
    pub step_epochs: NonZeroU64,
    /// `stepFactor`, for the schedule `step`.
    pub step_factor: f64,
    /// `warmupEpochs`.
    pub warmup_epochs: u64,
    /// `rateScaling`.
    pub rate_scaling: RateScaling,
    /// `rateBatch`: the global batch at which `learning_rate` holds as written.
    pub rate_batch: NonZeroUsize,
    /// `sync`: whose results make a step in mode sendrecv.
    pub sync: Sync,
    /// `k` results make a step; none: what suits the rule.
    pub k: Option<NonZeroUsize>,
    /// `shards` of the training part, for the rule of this name.
    pub shards: NonZeroUsize,
    /// `localSteps` between two averagings of the weights.
    pub local_steps: NonZeroUsize,
    /// `localEpochs` between two averagings of the weights.
    pub local_epochs: Option<NonZeroUsize>,
    /// `stragglerFactor`; 0: shards are not given out twice for being slow.
    pub straggler_factor: f64,
    /// `maxContributors` to a step; none: all workers.
    pub max_contributors: Option<NonZeroUsize>,
    /// `delay` of emulated workers, as text.
    pub delay: Option<String>,
    /// `checkpointEvery`; none: only when a signal stops the run.
    pub checkpoint_every: Option<Every>,
    /// `requireCheckpoint`.
    pub require_checkpoint: bool,
    /// `heartbeat`: seconds; 0: nobody listens.
    pub heartbeat: f64,
    /// `stallWarn`: seconds; 0: never.
    pub stall_warn: f64,
    /// `stallAbort`: seconds; 0: never.
    pub stall_abort: f64,
    /// `learn`, of a pipeline.
    pub learn: Learn,
    /// `stages` of a pipeline; none: one a rank.
    pub stages: Option<NonZeroUsize>,
    /// `cuts`; none: balanced.
    pub cuts: Option<Cuts>,
    /// `pipelineSchedule`.
    pub pipeline_schedule: PipelineSchedule,
    /// `microBatches`; none: as many as suit the stages.
    pub micro_batches: Option<NonZeroUsize>,
    /// `window`: batches that may wait before a stage.
    pub window: NonZeroUsize,
    /// `preempt`.
    pub preempt: bool,
    /// `replay`: batches that a stage keeps.
    pub replay: usize,
    /// `exitRule`.
    pub exit_rule: ExitRule,
    /// `exitThreshold`; none: every sample goes to the end.
    pub exit_threshold: Option<Numbers>,
    /// `proposals` on each batch.
    pub proposals: NonZeroUsize,
    /// `mcmcLambda`.
    pub mcmc_lambda: Numbers,
    /// `proposalScale`, squared.
    pub proposal_scale: Numbers,
    /// `priorScale`, squared.
    pub prior_scale: Numbers,
    /// `neighbourhood`.
    pub neighbourhood: Neighbourhood,
    /// `layerProbability` of convolutions.
    pub layer_probability: f64,
    /// `protocol` of mode split.
    pub protocol: Protocol,
    /// `split`: trunk blocks on the devices.
    pub split: SplitPoints,
    /// `roundSteps`; none: an epoch.
    pub round_steps: Option<NonZeroU64>,
    /// `nonIid`: concentration of the Dirichlet law; none: samples are dealt anew every epoch.
    pub non_iid: Option<f64>,
    /// `alpha`: weight of time against energy.
    pub alpha: f64,
    /// `deadline` of a round or a request, in seconds.
    pub deadline: Option<f64>,
    /// `energyBudget` of all devices in a round or for a request, in joules.
    pub energy_budget: Option<f64>,
    /// `leastCut`: trunk blocks on a device at least.
    pub least_cut: usize,
    /// `smoothing` of what is measured.
    pub smoothing: f64,
    /// `hysteresis` of decisions; none: by how well things are known.
    pub hysteresis: Option<f64>,
    /// `graph` of mode offload; none: that of `model`.
    pub graph: Option<Model>,
    /// `granularity` of its tasks.
    pub granularity: Granularity,
    /// `policy`: who says where they run.
    pub policy: Policy,
    /// `requests` of all sources together.
    pub requests: NonZeroUsize,
    /// `arrivals` of requests at each source.
    pub arrivals: Arrivals,
    /// `sources`: ranks that ask.
    pub sources: RankList,
    /// `queue`: most unanswered requests of a source.
    pub queue: NonZeroUsize,
    /// `width`: factor of channels and neurons.
    pub width: f64,
    /// `fuse` neighbours on one rank.
    pub fuse: bool,
    /// `planTime` of policy auto, in seconds.
    pub plan_time: f64,
    /// `objective` of a plan.
    pub objective: PlanObjective,
    /// `budget`: highest price of a request.
    pub budget: Option<f64>,
    /// `replan` for requests that come later.
    pub replan: bool,
    /// `pictures`; none: synthetic ones.
    pub pictures: Option<String>,
    /// `devices`; none: the machines are themselves.
    pub devices: Option<String>,
    /// `clock` of emulated machines.
    pub clock: ClockKind,
    /// `powerSensor`; none: RAPL, where there is one.
    pub power_sensor: Option<String>,
    /// `seed`.
    pub seed: u64,
    /// `threads` of a rank; 0: as many as its cores allow.
    pub threads: usize,
    /// `deterministic`.
    pub deterministic: bool,
    /// `microChunk`: samples computed as one when `deterministic`.
    pub micro_chunk: NonZeroUsize,
}

impl Config {
    /// The whole configuration as the text of a flat TOML file; read back it gives an equal one.
    pub fn to_toml(&self) -> String {
        super::toml_file::write(self)
    }

    /// What the reader of a run's head should know about the configuration.
    pub fn notes(&self) -> Vec<String> {
        let parallelism = self
            .parallelism
            .map(|most| format!("parallelism = {most} bounds the threads per rank; the original never read it"));
        parallelism.into_iter().collect()
    }

    /// The widths of the network, input to output, for data with `dims` numbers a sample and
    /// `classes` classes.
    pub fn layer_widths(&self, dims: usize, classes: usize) -> [usize; 4] {
        [dims, self.input_layer_neurons.get(), self.hidden_layer_neurons.get(), classes]
    }

    /// Whether a key has the value that it has when nobody gives one, on any data. The configuration of a run, read back,
    /// gives every key: that says nothing about what its reader asks for.
    pub fn is_default(&self, key: &str) -> bool {
        let default = match super::keys::key(key).map(|key| key.default) {
            Some(Fallback::All(text)) => super::keys::key(key).and_then(|key| key.kind.parse(text).ok()),
            _ => None,
        };
        self.value(key) == default
    }

    /// Gives a key the value that it has when nobody gives one, where that is the same on any data.
    pub fn reset(&mut self, key: &str) {
        let default = match super::keys::key(key).map(|key| (key.kind, key.default)) {
            Some((kind, Fallback::All(text))) => kind.parse(text).ok(),
            _ => None,
        };
        let mut all = serde_json::to_value(&*self).expect("numbers, words and texts are JSON");
        all[key] = default.unwrap_or_default();
        *self = serde_json::from_value(all).expect("the table of keys and the fields of Config agree");
    }

    /// The value of a key as JSON, if it has one.
    pub(super) fn value(&self, key: &str) -> Option<serde_json::Value> {
        let all = serde_json::to_value(self).expect("numbers, words and texts are JSON");
        all.get(key).filter(|value| !value.is_null()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Raw, Sources, resolve};

    /// Each test value differs from the default, so a field that is lost shows.
    const CHANGED: &[&str] = &[
        "inputLayerNeurons=7",
        "hiddenLayerNeurons=6",
        "numEpochs=3",
        "learningRate=0.1234567890123",
        "batchSize=9",
        "parallelism=2",
        "mode=sendrecv",
        "dataset=a b\"c/\\x.csv",
        "dataDir=/d ä",
        "label=it's \"it\"",
        "dataSplit=0.7/0.2/0.1",
        "folds=10",
        "repeats=5",
        "imageSize=20x30",
        "augment=flip",
        "cropMargin=3",
        "badImage=skip",
        "cacheDir=/c",
        "model=img_mlp",
        "activation=relu",
        "init=he",
        "standardizeHidden=true",
        "loss=l2",
        "globalBatch=full",
        "optimizer=momentum",
        "momentum=0.5",
        "weightDecay=1e-7",
        "schedule=step",
        "stepEpochs=2",
        "stepFactor=0.25",
        "warmupEpochs=1",
        "rateScaling=linear",
        "rateBatch=8",
        "sync=k-batch",
        "k=3",
        "shards=7",
        "localSteps=2",
        "localEpochs=3",
        "stragglerFactor=2.5",
        "maxContributors=4",
        "delay=exp:1",
        "checkpointEvery=30s",
        "requireCheckpoint=true",
        "heartbeat=5",
        "stallWarn=7",
        "stallAbort=8",
        "learn=backprop",
        "stages=3",
        "cuts=1,3",
        "pipelineSchedule=zb-h1",
        "microBatches=6",
        "window=5",
        "preempt=true",
        "replay=4",
        "exitRule=entropy",
        "exitThreshold=0.5,0.9",
        "proposals=10",
        "mcmcLambda=3,4",
        "proposalScale=0.5",
        "priorScale=0.25",
        "neighbourhood=5,6",
        "layerProbability=0.75",
        "protocol=splitfed-v2",
        "split=1,3",
        "roundSteps=12",
        "nonIid=0.5",
        "alpha=0.25",
        "deadline=2.5",
        "energyBudget=12.5",
        "leastCut=2",
        "smoothing=0.5",
        "hysteresis=0.125",
        "graph=vgg5",
        "granularity=layer",
        "policy=min-cut",
        "requests=50",
        "arrivals=poisson:2.5",
        "sources=0,2",
        "queue=7",
        "width=0.125",
        "fuse=false",
        "planTime=0.5",
        "objective=weighted",
        "budget=0.75",
        "replan=true",
        "pictures=/p ö",
        "devices=greenai.toml",
        "clock=real",
        "powerSensor=/p",
        "seed=9223372036854775807",
        "threads=3",
        "deterministic=true",
        "microChunk=2",
        "inputdataDims=5",
        "outputLayerNeurons=2",
        "labelOnehotDims=2",
    ];

    fn resolved(sets: &[&str]) -> Config {
        let sources = Sources { sets: sets.iter().map(|set| set.to_string()).collect(), ..Sources::default() };
        resolve(&sources.gather().unwrap()).unwrap().0
    }

    #[test]
    fn toml_and_json_give_the_same_configuration_back() {
        for sets in [&[][..], &["globalBatch=80"], &["dataset=x.csv"], CHANGED] {
            let config = resolved(sets);
            let mut raw = Raw::default();
            super::super::toml_file::read("run.toml", &config.to_toml(), &mut raw).unwrap();
            assert_eq!(resolve(&raw).unwrap().0, config);
            let json = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
        }
    }

    #[test]
    fn every_key_reaches_its_field() {
        assert_eq!(CHANGED.len(), crate::config::keys::KEYS.len());
        let (default, changed) = (resolved(&[]), resolved(CHANGED));
        for key in crate::config::keys::KEYS {
            assert_ne!(default.value(key.name), changed.value(key.name), "{}", key.name);
        }
        assert_eq!(changed.global_batch, GlobalBatch::Full);
        assert_eq!(changed.label.as_deref(), Some("it's \"it\""));
    }

    #[test]
    fn parallelism_says_what_it_does() {
        assert!(resolved(&[]).notes()[0].contains("bounds the threads per rank"));
        assert_eq!(resolved(&[]).layer_widths(4, 3), [4, 30, 20, 3]);
    }
}
