//! Mistakes in env files, TOML files, variables and flags.

use super::{Case, case};
use crate::run::{Launch, Run};

const THREADS: Launch = Launch::Threads(3);
const MPI: Launch = Launch::Mpi(3);

pub(super) fn cases() -> Vec<Case> {
    let mut cases = env_files();
    cases.extend(other_files());
    cases.extend(command_lines());
    cases.extend(variables());
    cases
}

fn env(name: &str, bytes: impl AsRef<[u8]>, parts: &[&str]) -> Case {
    case(name, Run::new("--env bad.env").file("bad.env", bytes), 3, parts)
}

#[rustfmt::skip]
fn env_files() -> Vec<Case> {
    vec![
        env("env: unknown key", "seed=1\nlearingRate=0.1\n", &["bad.env:2", "learingRate", "did you mean learningRate?"]),
        env("env: unknown key", "seed=1\nlearingRate=0.1\n", &["bad.env:2", "did you mean learningRate?"]).on(THREADS),
        env("env: unknown key", "seed=1\nlearingRate=0.1\n", &["bad.env:2", "did you mean learningRate?"]).on(MPI),
        env("env: duplicate key", "seed=1\nseed=2\n", &["bad.env:2", "seed", "first in line 1", "keep one"]),
        env("env: negative", "\nbatchSize=-4\n", &["bad.env:2", "batchSize = -4", "negative", "1 or more"]),
        env("env: zero", "batchSize=0\n", &["bad.env:1", "zero", "1 or more"]),
        env("env: not a number", "numEpochs=many\n", &["bad.env:1", "not a number"]),
        env("env: decimal comma", "learningRate=0,01\n", &["bad.env:1", "comma", "use a dot: 0.01"]),
        env("env: NaN", "learningRate=NaN\n", &["bad.env:1", "not a number"]),
        env("env: empty", "learningRate=\n", &["bad.env:1", "empty"]),
        env("env: 1e300", "learningRate=1e300\n", &["bad.env:1", "too large"]),
        env("env: more than 64 bits", "batchSize=99999999999999999999999\n", &["bad.env:1", "too large"]),
        env("env: a layer of 10^9", "inputLayerNeurons=1000000000\n", &["bad.env:1", "parameters", "smaller"]),
        env("env: a layer of 10^9", "inputLayerNeurons=1000000000\n", &["bad.env:1", "smaller"]).on(MPI),
        env("env: other dimensions than the data", "inputdataDims=5\n", &["bad.env:1", "inputdataDims = 5", "iris has 4", "write inputdataDims=4"]),
        env("env: other dimensions than the data", "inputdataDims=5\n", &["bad.env:1", "iris has 4"]).on(THREADS),
        env("env: other dimensions than the data", "inputdataDims=5\n", &["bad.env:1", "iris has 4"]).on(MPI),
        env("env: other classes than the data", "outputLayerNeurons=4\nlabelOnehotDims=4\n", &["bad.env:1", "iris has 3 classes"]),
        env("env: one-hot and outputs differ", "labelOnehotDims=4\n", &["bad.env:1", "outputLayerNeurons = 3", "number of classes"]),
        env("env: a variable is not expanded", "dataDir=$HOME/data\n", &["bad.env:1", "not expanded"]),
        env("env: unclosed quote", "label='open\n", &["bad.env:1", "unclosed quote", "close it"]),
        env("env: no assignment", "just words\n", &["bad.env:1", "KEY=value"]),
        env("env: somebody else's variable", "LD_PRELOAD=evil.so\n", &["bad.env:1", "unknown key LD_PRELOAD"]),
        env("env: binary", b"seed=1\n\x7fELF\0\0\x01", &["bad.env", "binary", "line 2"]),
        env("env: UTF-16", b"\xff\xfes\0=\x001\0", &["bad.env", "UTF-16", "UTF-8"]),
        env("env: Latin 1", b"label=caf\xe9\n", &["bad.env", "not UTF-8 in line 1"]),
        case("env: missing", Run::new("--env none.env"), 3, &["none.env", "no such file", "--env"]),
        case("env: missing", Run::new("--env none.env"), 3, &["none.env", "no such file"]).on(MPI),
        case("env: a directory", Run::new("--env folder").file("folder/x", ""), 3, &["folder", "directory"]),
        case("env: .irisenv in the working directory", Run::new("").file(".irisenv", "batchSize=x\n"), 3, &[".irisenv:1", "batchSize"]),
    ]
}

#[rustfmt::skip]
fn other_files() -> Vec<Case> {
    let toml = |name: &str, text: &str, parts: &[&str]| case(name, Run::new("--config x.toml").file("x.toml", text), 3, parts);
    vec![
        toml("config: text for a number", "seed = 1\nlearningRate = \"0.01\"\n", &["x.toml:2", "text", "without quotes"]),
        toml("config: text for a number", "seed = 1\nlearningRate = \"0.01\"\n", &["x.toml:2", "without quotes"]).on(THREADS),
        toml("config: a number for a word", "optimizer = 3\n", &["x.toml:1", "optimizer", "double quotes"]),
        toml("config: unknown key", "lerningRate = 1\n", &["x.toml:1", "did you mean learningRate?"]),
        toml("config: no TOML", "seed == 1\n", &["x.toml:1", "not TOML"]),
        toml("config: a table", "[training]\nseed = 1\n", &["x.toml:1", "training"]),
        case("config: missing", Run::new("--config none.toml"), 3, &["none.toml", "no such file", "--config"]),
    ]
}

#[rustfmt::skip]
fn command_lines() -> Vec<Case> {
    let usage = |args: &str, parts: &[&str]| case(&format!("typed: {args}"), Run::new(args), 2, parts);
    vec![
        usage("--batch 0", &["--batch", "zero", "1 or more"]),
        usage("--batch 0", &["--batch", "zero", "1 or more"]).on(MPI),
        usage("--lr NaN", &["--lr", "not a number", "above 0"]),
        usage("--lr -1", &["--lr", "negative", "above 0"]),
        usage("--lr -1", &["--lr", "negative", "above 0"]).on(THREADS),
        usage("--epochs 0", &["--epochs", "zero"]),
        usage("--global-batch fulll", &["--global-batch", "or full"]),
        usage("--seed -1", &["--seed", "negative"]),
        usage("--momentum 1", &["--momentum", "too large", "below 1"]),
        usage("--mode allredcue", &["--mode", "sendrecv", "did you mean allreduce?"]).on(THREADS),
        usage("--mode allredcue", &["--mode", "did you mean allreduce?"]).on(MPI),
        usage("--mode offlaod", &["--mode", "did you mean offload?"]).on(THREADS),
        usage("--dataset irsi", &["no data set", "did you mean iris?"]),
        usage("--dataset irsi", &["no data set", "did you mean iris?"]).on(MPI),
        usage("--single irsi", &["no data set", "did you mean iris?"]).on(Launch::Plain),
        usage("--modee allreduce", &["unknown flag --modee", "did you mean --mode?"]),
        usage("--learning-rate 0.1", &["unknown flag --learning-rate", "--lr"]),
        usage("--modee allreduce", &["unknown flag --modee", "did you mean --mode?"]).on(MPI),
        usage("--modee allreduce", &["unknown flag --modee", "did you mean --mode?"]).on(THREADS),
        usage("trian", &["trian"]).on(Launch::Plain),
        usage("--set seed", &["--set", "no =", "KEY=VALUE"]),
        usage("--set lr=1", &["--set", "unknown key lr", "did you mean learningRate?"]),
        usage("--set seed=1 --set seed=2", &["seed", "second time"]),
        usage("--batch", &["--batch", "value is missing"]).on(Launch::Plain),
        usage("--folds 1", &["--folds", "2 or more"]),
        usage("--data-split 0.8/0.3/0.1", &["--data-split", "adds up to 1.2", "0.8/0.1/0.1"]),
        usage("--data-split 0/0.5/0.5", &["--data-split", "0.8/0.1/0.1"]),
        usage("--repeats 5", &["--repeats", "--folds"]),
        usage("--quiet --verbose", &["--quiet", "--verbose", "leave one"]),
        usage("--threads 65536", &["--threads", "too large", "from 0 to 1024"]),
        usage("--ranks 0", &["--ranks", "zero"]).on(Launch::Plain),
        usage("--ranks 100000", &["--ranks", "too large", "from 1 to 1024"]).on(Launch::Plain),
        usage("--ranks 4 --single", &["--single", "--ranks 4", "leave one"]).on(Launch::Plain),
        usage("--mode sendrecv --single", &["--single", "--mode sendrecv", "leave one"]).on(Launch::Plain),
        usage("--optimizer lbfgs", &["--optimizer", "sgd|momentum|adam"]),
    ]
}

fn variables() -> Vec<Case> {
    let variable = |name: &str, value: &str, parts: &[&str]| {
        case(&format!("variable: {name}={value}"), Run::new("").env(name, value), 3, parts)
    };
    vec![
        variable("GOAI_LEARNING_RAT", "1", &["GOAI_LEARNING_RAT", "did you mean GOAI_LEARNING_RATE?"]),
        variable("GOAI_LEARNING_RAT", "1", &["did you mean GOAI_LEARNING_RATE?"]).on(MPI),
        variable("GOAI_COLOUR", "1", &["GOAI_COLOUR", "unset it"]),
        variable("GOAI_SEED", "x", &["GOAI_SEED: seed = x", "whole number"]),
        variable("GOAI_SEED", "x", &["GOAI_SEED: seed = x"]).on(THREADS),
    ]
}
