//! Options of the commands beside training that look at data and at the machine.

use super::args::ranks;
use super::args_offload::OffloadBenchArgs;
use crate::data::synth::{Kind, MOST_PER_CLASS, PerClass};
use crate::units::Bytes;
use clap::{Args, Subcommand};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// What `data` is asked for.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum DataSub {
    /// Counts, classes, sizes and odd files of a data set
    Inspect(InspectArgs),
    /// Write a small synthetic set in the layout of a real one
    Synth(SynthArgs),
}

/// Options of `data inspect`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct InspectArgs {
    /// iris, img, cifar10, mnist, FILE.csv, FILE.npy, or a folder with a folder of pictures for each class
    #[arg(long, value_name = "NAME|FILE|DIR", default_value = "iris")]
    pub dataset: String,
    /// Folder in which data sets are looked for by name
    #[arg(long, value_name = "DIR", default_value = "datasets")]
    pub data_dir: PathBuf,
    /// Name of the column of a table that holds the right answers
    #[arg(long, value_name = "NAME")]
    pub label: Option<String>,
    /// Print one JSON object and nothing else
    #[arg(long)]
    pub json: bool,
}

/// Options of `data synth`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct SynthArgs {
    /// Whose layout: img, cifar10 or mnist
    #[arg(long, value_name = "NAME", value_parser = layout)]
    pub dataset: Kind,
    /// A new or empty folder to write it into
    #[arg(long, value_name = "DIR", value_parser = folder)]
    pub out: PathBuf,
    /// Another seed draws other pictures
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Pictures of each class to train and to test on [default: 120/30 of img, 200/40 of the others]
    #[arg(long, value_name = "TRAIN/TEST", value_parser = per_class)]
    pub per_class: Option<PerClass>,
}

/// What `bench` is asked for.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum BenchSub {
    /// Speed of every step of a network on one core, beside the most that the core can do
    Compute(ComputeArgs),
    /// Latency and bandwidth of what the modes do between ranks: run it as mpirun -n N goai-rs bench comm
    Comm(CommArgs),
    /// What splitting a network between devices and a server brings, by a device file: modelled, nothing is trained
    Split(SplitBenchArgs),
    /// What each policy makes of a network's tasks on devices, edge servers and cloud: modelled, nothing runs
    Offload(Box<OffloadBenchArgs>),
}

/// Options of `bench compute`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct ComputeArgs {
    /// A network by its name, or a model file
    #[arg(long, value_name = "NAME|FILE.toml", default_value = "img_cnn")]
    pub model: String,
    /// Samples of a step
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub batch: u32,
    /// Threads of the whole step; the table of steps is always one thread's work
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: u32,
    /// Print one JSON object and nothing else
    #[arg(long)]
    pub json: bool,
}

/// Options of `bench comm`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct CommArgs {
    /// Measure this many ranks as threads of this process, without MPI
    #[arg(long, value_name = "N", value_parser = ranks)]
    pub ranks: Option<NonZeroUsize>,
    /// The longest vector, as in 65536, 64k or 16M [default: 16M, with --quick 1M]
    #[arg(long, value_name = "BYTES", value_parser = size)]
    pub max: Option<Bytes>,
    /// One second instead of ten, and fewer sizes
    #[arg(long)]
    pub quick: bool,
    /// Print one JSON object and nothing else; goai-rs plan --network FILE reads it
    #[arg(long)]
    pub json: bool,
}

/// Options of `bench split`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct SplitBenchArgs {
    /// A device file, or one that comes along (ares, ares_wifi, ares_modes, ares_outage): rank 0 is the server
    #[arg(long, value_name = "FILE")]
    pub devices: String,
    /// The server and N-1 devices, the first ones of the file [default: all of them]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1024))]
    pub ranks: Option<u32>,
    /// A network by its name, or a model file
    #[arg(long, value_name = "NAME|FILE.toml", default_value = "vgg5")]
    pub model: String,
    /// Samples of a device's step
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub batch: u32,
    /// Steps of a device in a round
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub round_steps: u64,
    /// Rounds [default: 1; where conditions change, as many as it takes until they repeat]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rounds: Option<u32>,
    /// Weight of time against energy, from 0 to 1
    #[arg(long, value_name = "A", default_value_t = 0.6, value_parser = share, allow_negative_numbers = true)]
    pub alpha: f64,
    /// Rates of all links to compare, in Mbit/s [default: 5 to 100; none where the file's links change]
    #[arg(long, value_name = "R1,R2,...", value_delimiter = ',', value_parser = rate, allow_negative_numbers = true)]
    pub rates: Vec<f64>,
    /// Charge both directions only [default: this and the other, one after the other]
    #[arg(long)]
    pub both: bool,
    /// Charge the way up only, as in the model fitted to ARES's measurements
    #[arg(long)]
    pub uplink_only: bool,
    /// Waiting costs no energy, as ARES counted
    #[arg(long)]
    pub no_idle: bool,
    /// The fewest blocks a device keeps; with 0 it may send its samples to the server
    #[arg(long, value_name = "P", default_value_t = 1)]
    pub least_cut: u32,
    /// Print one JSON object and nothing else
    #[arg(long)]
    pub json: bool,
}

/// A number of bytes that is whole floats, with k, M or G for 2^10, 2^20, 2^30.
fn size(text: &str) -> Result<Bytes, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let bytes = digits.parse().ok().and_then(|count: u64| count.checked_mul(1 << shift));
    match bytes.filter(|bytes| (8..=1 << 30).contains(bytes)) {
        Some(bytes) => Ok(Bytes(bytes / 4 * 4)),
        None => Err("is no size for it; give 8 bytes to 1G, as in 65536, 64k or 16M".to_owned()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    number.ok_or_else(|| "is no weight; give a number from 0 (energy alone) to 1 (time alone)".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let number = text.trim().parse().ok().filter(|rate: &f64| *rate > 0.0 && rate.is_finite());
    number.ok_or_else(|| {
        "is no rate; give Mbit/s above 0, for example 5,20,100: at 0 a message takes for ever".to_owned()
    })
}

fn layout(text: &str) -> Result<Kind, String> {
    match text {
        "img" | "intel" | "images" => Ok(Kind::Img),
        "cifar10" => Ok(Kind::Cifar10),
        "mnist" => Ok(Kind::Mnist),
        _ => Err("is no layout that can be made; use one of img, cifar10, mnist".to_owned()),
    }
}

fn folder(text: &str) -> Result<PathBuf, String> {
    match text.is_empty() {
        true => Err("is no folder; name a new one".to_owned()),
        false => Ok(PathBuf::from(text)),
    }
}

fn per_class(text: &str) -> Result<PerClass, String> {
    let wrong = || format!("is not TRAIN/TEST; write two numbers from 1 to {MOST_PER_CLASS}, for example 120/30");
    let count = |text: &str| match text.parse() {
        Ok(count) if (1..=MOST_PER_CLASS).contains(&count) => Ok(count),
        _ => Err(wrong()),
    };
    let (train, test) = text.split_once('/').ok_or_else(wrong)?;
    Ok(PerClass { train: count(train)?, test: count(test)? })
}

#[cfg(test)]
mod tests {
    use crate::cli::args::{Command, parse};
    use crate::data::synth::{Kind, PerClass};
    use crate::units::Bytes;
    use std::ffi::OsString;

    fn typed(line: &str) -> Result<Command, String> {
        let words = std::iter::once("goai-rs").chain(line.split_whitespace());
        parse(words.map(OsString::from).collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_can_be_typed() {
        let Ok(Command::Data(super::DataSub::Synth(args))) =
            typed("data synth --dataset intel --out d --per-class 7/3 --seed 9")
        else {
            panic!("data synth");
        };
        assert_eq!((args.dataset, args.per_class, args.seed), (Kind::Img, Some(PerClass { train: 7, test: 3 }), 9));
        let Ok(Command::Data(super::DataSub::Inspect(args))) = typed("data inspect --dataset cifar10 --json") else {
            panic!("data inspect");
        };
        assert_eq!((args.dataset.as_str(), args.data_dir.to_str(), args.json), ("cifar10", Some("datasets"), true));
        let Ok(Command::Bench(super::BenchSub::Compute(args))) = typed("bench compute --batch 4") else {
            panic!("bench compute");
        };
        assert_eq!((args.model.as_str(), args.batch, args.threads), ("img_cnn", 4, 1));
        let Ok(Command::Bench(super::BenchSub::Comm(args))) = typed("bench comm --ranks 3 --max 64k --quick") else {
            panic!("bench comm");
        };
        let ranks = args.ranks.map(usize::from);
        assert_eq!((ranks, args.max, args.quick, args.json), (Some(3), Some(Bytes(65536)), true, false));
        let Ok(Command::Bench(super::BenchSub::Split(args))) = typed("bench split --devices ares --rates 5,20.5")
        else {
            panic!("bench split");
        };
        assert_eq!((args.model.as_str(), args.batch, args.round_steps, args.alpha), ("vgg5", 100, 50, 0.6));
        assert_eq!((args.rates, args.least_cut, args.rounds), (vec![5.0, 20.5], 1, None));
    }

    #[test]
    fn what_cannot_is_told_in_one_line() {
        for (line, expected) in [
            ("data", "data: a word is missing; write goai-rs data inspect or goai-rs data synth"),
            ("bench split", "--devices"),
            ("bench split --devices ares --alpha 1.5", "from 0 (energy alone) to 1 (time alone)"),
            ("bench split --devices ares --alpha -0.1", "from 0 (energy alone)"),
            ("bench split --devices ares --rates -5", "is no rate"),
            ("bench split --devices ares --alpha nan", "from 0 (energy alone)"),
            ("bench split --devices ares --rates 5,0,20", "is no rate; give Mbit/s above 0"),
            ("bench split --devices ares --rates 5,-2", "is no rate"),
            ("bench split --devices ares --rates inf", "is no rate"),
            ("bench split --devices ares --rates 5,,20", "is no rate"),
            ("bench split --devices ares --ranks 1", "--ranks: 1"),
            ("bench split --devices ares --round-steps 0", "--round-steps: 0"),
            ("bench split --devices ares --rate 5", "did you mean --rates?"),
            ("data synth --dataset img", "--out"),
            ("data synth --dataset iris --out d", "use one of img, cifar10, mnist"),
            ("data synth --dataset img --out d --per-class 5", "for example 120/30"),
            ("data synth --dataset img --out d --per-class 0/5", "from 1 to 10000"),
            ("data synth --dataset img --out d --per-class 5/10001", "from 1 to 10000"),
            ("data inspect img", "did you mean --dataset img?"),
            ("data inspekt", "did you mean data inspect?"),
            ("bench comm --max 4", "--max: 4 is no size for it; give 8 bytes to 1G"),
            ("bench comm --max 16X", "as in 65536, 64k or 16M"),
            ("bench comm --ranks 0", "--ranks: 0"),
            (
                "bench",
                "bench: a word is missing; write goai-rs bench compute or goai-rs bench comm or goai-rs bench split or goai-rs bench offload",
            ),
            ("bench com", "did you mean bench comm?"),
            ("bench compute --batch 0", "--batch: 0"),
            ("bench compute --bath 4", "did you mean --batch?"),
        ] {
            let error = typed(line).expect_err(line);
            assert!(error.contains(expected) && !error.contains('\n'), "{line}: {error}");
        }
    }
}
