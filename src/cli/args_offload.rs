//! Options of `bench offload`.
//!
//! Those that mode offload has too are keys, read as keys are: the same words for the same mistakes.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Whose costs count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CostModel {
    /// The device file's: speeds, links, messages that wait for each other, joules of waiting
    Devices,
    /// The published mobile-edge-cloud model, with the published planners over budgets
    Mec,
}

/// Options of `bench offload`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct OffloadBenchArgs {
    /// A device file, or one that comes along (mec, mec_changing)
    #[arg(long, value_name = "FILE", default_value = "mec")]
    pub devices: String,
    /// Networks by name, or model files; all: vgg16, vgg16_19, resnet50, openface
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', default_value = "all")]
    pub graphs: Vec<String>,
    /// Policies to compare, of those that --policy knows
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', default_value = "all")]
    pub policies: Vec<String>,
    /// How large the tasks are: layer or block [default: block]
    #[arg(long, value_name = "WORD")]
    granularity: Option<String>,
    /// Factor of the channels and neurons of the networks [default: 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    width: Option<String>,
    /// Requests of all sources together [default: 10]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    requests: Option<String>,
    /// When each source asks: at-once, poisson:RATE, periodic:SECONDS or trace:FILE.csv [default: at-once]
    #[arg(long, value_name = "LAW[:X]")]
    arrivals: Option<String>,
    /// Ranks that ask, in turn [default: 0]
    #[arg(long, value_name = "R[,R...]", allow_negative_numbers = true)]
    sources: Option<String>,
    /// Most unanswered requests of a source [default: 4]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    queue: Option<String>,
    /// What a plan makes small: time, energy or weighted [default: time]
    #[arg(long, value_name = "WORD")]
    objective: Option<String>,
    /// Weight of time against energy with --objective weighted [default: 0.6]
    #[arg(long, value_name = "A", allow_negative_numbers = true)]
    alpha: Option<String>,
    /// Most seconds of a request; those that take longer are counted
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    deadline: Option<String>,
    /// Most joules of a request
    #[arg(long, value_name = "J", allow_negative_numbers = true)]
    energy_budget: Option<String>,
    /// Highest price of a request
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    budget: Option<String>,
    /// Seconds that policy auto may look for plans [default: 2]
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    plan_time: Option<String>,
    /// Another seed draws other random plans and arrivals [default: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    seed: Option<String>,
    /// Whose costs count
    #[arg(long, value_name = "WORD", value_enum, default_value = "devices")]
    pub cost_model: CostModel,
    /// Budgets for --cost-model mec, in parts of what everything in the cloud costs [default: 0.3 to 1]
    #[arg(long, value_name = "X,...", value_delimiter = ',', value_parser = part, allow_negative_numbers = true)]
    pub budgets: Vec<f64>,
    /// Folder for a Gantt chart (SVG) and a Chrome trace (JSON) of each graph and policy
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print one JSON object and nothing else
    #[arg(long)]
    pub json: bool,
}

impl OffloadBenchArgs {
    /// Key, value and flag of every key that was given.
    pub fn keys(&self) -> Vec<(&'static str, String, String)> {
        let keys = [
            ("granularity", "--granularity", &self.granularity),
            ("width", "--width", &self.width),
            ("requests", "--requests", &self.requests),
            ("arrivals", "--arrivals", &self.arrivals),
            ("sources", "--sources", &self.sources),
            ("queue", "--queue", &self.queue),
            ("objective", "--objective", &self.objective),
            ("alpha", "--alpha", &self.alpha),
            ("deadline", "--deadline", &self.deadline),
            ("energyBudget", "--energy-budget", &self.energy_budget),
            ("budget", "--budget", &self.budget),
            ("planTime", "--plan-time", &self.plan_time),
            ("seed", "--seed", &self.seed),
        ];
        let given =
            |(key, flag, value): (&'static str, &str, &Option<String>)| Some((key, value.clone()?, flag.to_owned()));
        keys.into_iter().filter_map(given).collect()
    }
}

fn part(text: &str) -> Result<f64, String> {
    let number = text.trim().parse().ok().filter(|part: &f64| *part > 0.0 && part.is_finite());
    number.ok_or_else(|| "is no budget; give parts above 0, for example 0.4,0.7,1".to_owned())
}
