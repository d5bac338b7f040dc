//! The command line: what can be typed, and nothing about what it does.
//!
//! The flags of configuration keys come from the table of keys and carry text, so that a bad value
//! gets the same one-line message from every source. clap's own messages are turned into one line
//! in `usage.rs`.

use super::resume::AUTO;
use super::usage::one_line;
use crate::comm::launcher::Launcher;
use crate::config::keys::{self, KEYS, Key};
use crate::config::{EvalPart, Kind, Learn, Mode, PipelineSchedule, PredictFormat, Progress, Schedule, Sources};
use crate::report::terminal;
use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

pub use super::args_offload::{CostModel, OffloadBenchArgs};
pub use super::args_tools::{BenchSub, CommArgs, ComputeArgs, DataSub, InspectArgs, SplitBenchArgs, SynthArgs};
pub use super::leaving::ExitArgs;
pub use super::usage::UsageError;

/// What a command line asks for.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Command {
    /// Train.
    Train(Box<TrainArgs>),
    /// Measure a trained model.
    Eval(EvalArgs),
    /// Label new samples.
    Predict(PredictArgs),
    /// Look at MPI, ranks, binding and threads.
    Doctor(DoctorArgs),
    /// Print every value and where it came from.
    ConfigShow(Box<TrainArgs>),
    /// Print every key and what it does.
    ConfigKeys,
    /// Print the state of a run.
    State {
        /// The run directory.
        run: PathBuf,
    },
    /// Compare runs.
    Report(ReportArgs),
    /// Look at a data set, or make one.
    Data(DataSub),
    /// Predict what a training would take.
    Plan(Box<PlanArgs>),
    /// Measure this machine.
    Bench(BenchSub),
    /// Print this text, a help or the version, and succeed.
    Print(String),
}

/// Reads a command line; the first argument is the program's name.
///
/// # Errors
/// [`UsageError`]: one line, exit code 2.
pub fn parse(args: Vec<OsString>) -> Result<Command, UsageError> {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => return Err(one_line(&error)),
        Err(help) => return Ok(Command::Print(help.to_string())),
    };
    Ok(match cli.command {
        None => Command::Train(Box::new(cli.train.consistent()?.startable()?)),
        Some(Sub::Eval(args)) => Command::Eval(args),
        Some(Sub::Predict(args)) => Command::Predict(args),
        Some(Sub::Doctor(args)) => Command::Doctor(args),
        Some(Sub::Config(ConfigSub::Show(args))) => Command::ConfigShow(Box::new(args.consistent()?)),
        Some(Sub::Config(ConfigSub::Keys)) => Command::ConfigKeys,
        Some(Sub::State { run }) => Command::State { run },
        Some(Sub::Report(args)) => Command::Report(args),
        Some(Sub::Data(what)) => Command::Data(what),
        Some(Sub::Plan(args)) => {
            let PlanArgs { train, network, per_node } = args;
            Command::Plan(Box::new(PlanArgs { train: train.consistent()?, network, per_node }))
        }
        Some(Sub::Bench(what)) => Command::Bench(what),
    })
}

/// Trains one neural network every way an MPI cluster can, and says what each way costs.
#[derive(Debug, Parser)]
#[command(
    name = "goai-rs",
    bin_name = "goai-rs",
    version,
    args_conflicts_with_subcommands = true,
    override_usage = "goai-rs [TRAIN OPTIONS]\n       mpirun -n N goai-rs [TRAIN OPTIONS]\n       \
                      goai-rs COMMAND [OPTIONS]"
)]
pub(super) struct Cli {
    #[command(flatten)]
    train: TrainArgs,
    #[command(subcommand)]
    command: Option<Sub>,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Loss, accuracy, confusion matrix and per-class figures of a trained model
    Eval(EvalArgs),
    /// Label and probability for each picture, or row of CSV files
    Predict(PredictArgs),
    /// Look at a data set; make a small one in the layout of a real one
    #[command(subcommand)]
    Data(DataSub),
    /// What each mode would take, before anything runs: time, bytes, memory, energy
    Plan(PlanArgs),
    /// Measure this machine
    #[command(subcommand)]
    Bench(BenchSub),
    /// MPI, ranks, binding and threads under this launcher: what is wrong, and the cure
    Doctor(DoctorArgs),
    /// Every key, its value and where it came from
    #[command(subcommand)]
    Config(ConfigSub),
    /// The state of a run, one word
    State {
        /// Run directory
        run: PathBuf,
    },
    /// Speed-up table of several runs
    #[command(hide = true)]
    Report(ReportArgs),
}

#[derive(Debug, Subcommand)]
enum ConfigSub {
    /// Every key with the value that holds and where it came from
    Show(TrainArgs),
    /// Every key with its flag, variable, values, default and meaning
    Keys,
}

/// Options of training.
#[derive(Debug, Clone, PartialEq, Default, Args)]
#[command(next_help_heading = "Training", allow_negative_numbers = true)]
pub struct TrainArgs {
    /// Train on one rank without MPI, on this data set
    #[arg(long, value_name = "DATASET", num_args = 0..=1, default_missing_value = "")]
    single: Option<String>,
    /// Run this many ranks as threads of this process, without MPI
    #[arg(long, value_name = "N", value_parser = trained)]
    pub ranks: Option<NonZeroUsize>,
    #[command(flatten)]
    keys: KeyFlags,
    /// Env file to read instead of .irisenv or .imgenv
    #[arg(long, value_name = "FILE", help_heading = "Configuration")]
    pub env: Option<PathBuf>,
    /// Give any key a value; see goai-rs config keys
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Configuration")]
    pub set: Vec<String>,
    /// TOML file with keys, like the config.toml of a run
    #[arg(long, value_name = "FILE.toml", help_heading = "Configuration")]
    pub config: Option<PathBuf>,
    /// Directory for the results instead of a new one under runs/
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub run_dir: Option<PathBuf>,
    /// Go on from a checkpoint: a run directory, a checkpoint, or auto for the newest in --run-dir, else from the start
    #[arg(long, value_name = "DIR|auto", help_heading = "Output")]
    pub resume: Option<PathBuf>,
    /// How progress is shown: auto|bar|lines|none
    #[arg(long, value_name = "HOW", value_parser = progress, help_heading = "Output")]
    progress: Option<Progress>,
    /// Print run.json at the end and nothing else
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Print errors only
    #[arg(short, long, help_heading = "Output", conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more: the hash of the weights with every epoch, notes on settings
    #[arg(short, long, action = ArgAction::Count, help_heading = "Output")]
    pub verbose: u8,
}

impl TrainArgs {
    /// Key, value and flag of every key that the command line gives.
    pub fn flag_values(&self) -> Vec<(&'static str, String, String)> {
        let mut values = self.keys.0.clone();
        let mut single = |key, value: &str| {
            if !values.iter().any(|(given, ..)| *given == key) {
                values.push((key, value.to_owned(), "--single".to_owned()));
            }
        };
        if let Some(dataset) = &self.single {
            single("mode", Mode::Single.word());
            if !dataset.is_empty() {
                single("dataset", dataset);
            }
        }
        values
    }

    /// Whether `--single` was given: MPI is not to be touched.
    pub fn is_single(&self) -> bool {
        self.single.is_some()
    }

    /// How progress is to be shown.
    pub fn progress(&self) -> Progress {
        self.progress.unwrap_or(Progress::Auto)
    }

    /// How progress is shown under this launcher; not at all where nothing is to be printed.
    pub fn shown(&self, launcher: &Launcher) -> terminal::Progress {
        match self.quiet || self.json {
            true => terminal::Progress::None,
            false => terminal::choose(self.progress().word(), launcher.name.is_some(), std::io::stderr().is_terminal()),
        }
    }

    /// The configuration sources that this command line names; without those of the process.
    pub fn sources(&self) -> Sources {
        Sources {
            flags: self.flag_values(),
            sets: self.set.clone(),
            config_file: self.config.clone(),
            env_file: self.env.clone(),
            ..Sources::default()
        }
    }

    /// Refuses more ranks than one process can have.
    fn startable(self) -> Result<Self, UsageError> {
        let Some(ranks) = self.ranks else { return Ok(self) };
        match self::ranks(&ranks.to_string()) {
            Ok(_) => Ok(self),
            Err(why) => Err(UsageError::new(format!("--ranks: {why}"))),
        }
    }

    /// Refuses options that are fine alone and impossible together.
    fn consistent(self) -> Result<Self, UsageError> {
        let auto = self.resume.as_ref().is_some_and(|word| word == Path::new(AUTO));
        if auto && self.run_dir.is_none() {
            return Err(UsageError::new(
                "--resume auto needs to know where to look; add --run-dir DIR, or write --resume DIR".to_owned(),
            ));
        }
        let Some(dataset) = &self.single else {
            return Ok(self);
        };
        if let Some(ranks) = self.ranks.filter(|ranks| ranks.get() > 1) {
            return Err(UsageError::new(format!(
                "--single and --ranks {ranks} contradict each other; leave one of them out"
            )));
        }
        if let Some(mode) = self.keys.get("mode") {
            return Err(UsageError::new(format!(
                "--single and --mode {mode} contradict each other; leave one of them out"
            )));
        }
        if let Some(other) = self.keys.get("dataset") {
            let same = Kind::Dataset.parse(dataset) == Kind::Dataset.parse(other);
            if !dataset.is_empty() && !same {
                return Err(UsageError::new(format!(
                    "--single {dataset} and --dataset {other} contradict each other; name one data set"
                )));
            }
        }
        Ok(self)
    }
}

/// The flags of keys, made from the table of keys: key, value and flag of each that was given.
#[derive(Debug, Clone, PartialEq, Default)]
struct KeyFlags(Vec<(&'static str, String, String)>);

impl KeyFlags {
    fn get(&self, key: &str) -> Option<&str> {
        let found = self.0.iter().find(|(given, ..)| *given == key);
        found.map(|(_, value, _)| value.as_str())
    }

    fn arg(key: &Key) -> Arg {
        let value = match key.kind {
            Kind::Count { .. } => "N",
            Kind::Number { .. } => "X",
            Kind::Choice(_) => "WORD",
            Kind::Switch => "true|false",
            Kind::Text if key.name.ends_with("Dir") || key.name == "pictures" => "DIR",
            Kind::Text => "NAME",
            Kind::Shares => "A/B/C",
            Kind::Batch => "N|full",
            Kind::Dataset => "NAME|FILE|DIR",
            Kind::Model => "NAME|FILE.toml",
            Kind::Graph => "NAME|FILE",
            Kind::Size => "N|HxW",
            Kind::Numbers { .. } => "X[,X...]",
            Kind::Cuts => "N,N,...",
            Kind::Neighbourhood => "N,N",
            Kind::Split => "auto|none|P|P1,P2",
            Kind::Ranks => "R[,R...]",
            Kind::Arrivals => "LAW[:X]",
            Kind::Every => "N|Ns",
        };
        let mut help = key.doc.to_owned();
        if let Kind::Choice(words) = key.kind {
            help.push_str(&format!(" [one of: {}]", words.join("|")));
        }
        if let Some(text) = key.default_for(keys::Preset::IRIS) {
            help.push_str(&format!(" [default: {text}]"));
        }
        let arg = Arg::new(key.name)
            .long(key.flag.trim_start_matches('-'))
            .help(help)
            .value_name(value)
            .help_heading("Keys (all of them, also for files and variables: goai-rs config keys)");
        match key.kind {
            Kind::Switch => arg.num_args(0..=1).default_missing_value("true"),
            _ => arg,
        }
    }
}

impl Args for KeyFlags {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.args(KEYS.iter().filter(|key| !key.flag.is_empty()).map(Self::arg))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for KeyFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.clear();
        for key in KEYS.iter().filter(|key| !key.flag.is_empty()) {
            if let Some(value) = matches.get_one::<String>(key.name) {
                let name = if key.name == "schedule" { schedule(matches, value) } else { key.name };
                self.0.push((name, value.clone(), key.flag.to_owned()));
            }
        }
        Ok(())
    }
}

/// Which key `--schedule` means: it takes the words of both kinds of schedule. A word that is neither is taken for a
/// mistyped one of the kind that the rest of the line is about.
fn schedule(matches: &ArgMatches, word: &str) -> &'static str {
    let backprop = matches.get_one::<String>("learn").is_some_and(|learn| learn == Learn::Backprop.word());
    match word {
        word if PipelineSchedule::WORDS.contains(&word) => "pipelineSchedule",
        word if Schedule::WORDS.contains(&word) || !backprop => "schedule",
        _ => "pipelineSchedule",
    }
}

/// Options of `eval`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct EvalArgs {
    /// Run directory, checkpoint or model file
    #[arg(value_name = "RUN|CKPT")]
    pub run: PathBuf,
    /// Part to measure on: train, validation, test or all; by default the first of test, validation
    /// and train that is not empty, and all rows of another --dataset
    #[arg(long, value_name = "PART", value_parser = part)]
    pub part: Option<EvalPart>,
    /// Other data than the model was trained on: a data set by name, a file, or a folder
    #[arg(long, value_name = "DATASET")]
    pub dataset: Option<String>,
    /// Name of the column that holds the right answers, where it is not the one used in training
    #[arg(long, value_name = "NAME")]
    pub label: Option<String>,
    /// Directory to look for the data in, instead of the one used in training
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// When samples leave early
    #[command(flatten)]
    pub exits: ExitArgs,
    /// What exit thresholds would do: accuracy and the share that leaves at each head
    #[arg(long)]
    pub exit_sweep: bool,
    /// Device file with a device a head: adds the latency and energy of a lone sample, modelled
    #[arg(long, value_name = "FILE")]
    pub devices: Option<String>,
    /// Print one JSON object and nothing else
    #[arg(long)]
    pub json: bool,
}

/// Options of `predict`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct PredictArgs {
    /// Run directory, checkpoint or model file
    #[arg(value_name = "RUN|CKPT")]
    pub run: PathBuf,
    /// Pictures, or CSV files with the columns that the model was trained on
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// When samples leave early
    #[command(flatten)]
    pub exits: ExitArgs,
    /// text, csv or jsonl
    #[arg(long, value_name = "HOW", value_parser = format, default_value = "text")]
    pub format: PredictFormat,
}

/// Options of `doctor`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct DoctorArgs {
    /// Print one JSON object and nothing else
    #[arg(long)]
    pub json: bool,
}

/// Options of `report`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct ReportArgs {
    /// Run directories
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<PathBuf>,
    /// Also draw the speed-up into this SVG file
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Options of `plan`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct PlanArgs {
    /// What would be trained.
    #[command(flatten)]
    pub train: TrainArgs,
    /// Network between the ranks: a name (shm, 1gbe, 10gbe, 25gbe, hdr100, ...) or a file of bench comm --json; unset: what
    /// threads of this machine measure
    #[arg(long, value_name = "NAME|FILE", help_heading = "Planning")]
    pub network: Option<String>,
    /// Ranks that share a machine like this one [default: 1 with --network, else all]
    #[arg(long, value_name = "N", value_parser = planned, help_heading = "Planning")]
    pub per_node: Option<NonZeroUsize>,
}

/// Most ranks as threads of one process: each has a stack and a copy of the data's indices.
const MOST_RANKS: u64 = 1024;

/// Most ranks that can be planned for.
const MOST_PLANNED: u64 = 1_000_000;

/// Ranks that are to be started.
pub(super) fn ranks(text: &str) -> Result<NonZeroUsize, String> {
    counted(text, MOST_RANKS)
}

/// Ranks of a training or of a plan; whether as many can be started is seen when they are to be.
fn trained(text: &str) -> Result<NonZeroUsize, String> {
    planned(text).or_else(|_| ranks(text))
}

fn planned(text: &str) -> Result<NonZeroUsize, String> {
    counted(text, MOST_PLANNED)
}

fn counted(text: &str, most: u64) -> Result<NonZeroUsize, String> {
    let count = Kind::Count { least: 1, most }.parse(text).map_err(|p| format!("{}; {}", p.why, p.cure))?;
    serde_json::from_value(count).map_err(|error| error.to_string())
}

fn progress(text: &str) -> Result<Progress, String> {
    word(text, Progress::WORDS, Progress::from_word)
}

fn format(text: &str) -> Result<PredictFormat, String> {
    word(text, PredictFormat::WORDS, PredictFormat::from_word)
}

fn part(text: &str) -> Result<EvalPart, String> {
    word(text, EvalPart::WORDS, EvalPart::from_word)
}

fn word<T>(text: &str, words: &'static [&'static str], find: impl Fn(&str) -> Option<T>) -> Result<T, String> {
    find(text).ok_or_else(|| match Kind::Choice(words).parse(text) {
        Err(problem) => format!("{}; {}", problem.why, problem.cure),
        Ok(_) => String::new(),
    })
}
