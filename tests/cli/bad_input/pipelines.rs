//! Mistakes with pipelines: stages, cuts, ways of learning, exits, and the machines that they run on.

use super::{Case, case};
use crate::pictures::with_set;
use crate::run::{Launch, Run};
use goai::data::synth::Kind;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = stages();
    cases.extend(learning());
    cases.extend(elsewhere());
    cases.extend(machines());
    cases.extend(traces());
    cases
}

/// A pipeline on so many threads.
fn chain(args: &str, ranks: usize, code: i32, parts: &[&str]) -> Case {
    let name = format!("pipeline on {ranks}: {args}");
    case(&name, Run::new(&format!("--mode pipeline {args}")), code, parts).on(Launch::Threads(ranks))
}

#[rustfmt::skip]
fn stages() -> Vec<Case> {
    let cifar = |args: &str, ranks, parts: &[&str]| {
        let line = format!("--mode pipeline --dataset cifar10 --data-dir d --learn backprop {args}");
        case(&format!("pipeline: {args}"), with_set(Run::new(&line), Kind::Cifar10, 2, 1), 2, parts).on(Launch::Threads(ranks))
    };
    vec![
        chain("--stages 3", 2, 2, &["--stages", "3 stages, but only 2 ranks", "start 3 ranks", "fewer stages"]),
        case("pipeline: fewer ranks", Run::new("--mode pipeline --stages 3"), 2, &["--stages", "only 2 ranks"]).on(Launch::Mpi(2)),
        chain("--cuts 1,2", 2, 2, &["--cuts", "3 stages, but only 2 ranks", "start 3 ranks"]),
        chain("--stages 2", 3, 2, &["--stages", "2 stages on 3 ranks", "no replicas", "--learn backprop"]),
        chain("--learn backprop --stages 2", 3, 2, &["--stages", "3 ranks are no whole number of chains of 2 stages", "start 2 or 4 ranks"]),
        chain("", 4, 2, &["4 ranks make 4 stages, but iris_mlp has 3 trunk blocks", "start 3 ranks or fewer"]),
        case("pipeline: more ranks than layers", Run::new("--mode pipeline"), 2, &["4 ranks make 4 stages", "3 trunk blocks"]).on(Launch::Mpi(4)),
        chain("--stages 5", 5, 2, &["--stages", "5 stages, but iris_mlp has 3 trunk blocks"]),
        chain("--stages 0", 2, 2, &["--stages", "zero", "1 or more"]),
        chain("--stages 2 --cuts 1,2", 3, 2, &["--stages", "stages = 2, but the cuts make 3 stages", "leave one of the two out"]),
        chain("--cuts 2,1", 3, 2, &["--cuts", "not ascending from 1"]),
        chain("--cuts 1,1", 3, 2, &["--cuts", "not ascending from 1"]),
        chain("--cuts 0,1", 3, 2, &["--cuts", "not ascending from 1"]),
        chain("--cuts 1,x", 3, 2, &["--cuts", "'x' that is not a whole number", "ascending"]),
        chain("--cuts -1", 2, 2, &["--cuts"]),
        chain("--cuts 5", 2, 2, &["--cuts", "behind block 5, but iris_mlp has 3 trunk blocks", "from 1 to 2"]),
        chain("--cuts 3", 2, 2, &["--cuts", "behind block 3", "from 1 to 2"]),
        case("pipeline: cuts in an env file", Run::new("--mode pipeline --env x.env").file("x.env", "seed=1\ncuts=2,1\n"), 3, &["x.env:2", "not ascending"]).on(Launch::Threads(3)),
        cifar("--model vgg5 --deterministic --cuts 1", 2, &["--cuts", "behind block 1 parts a convolution from its pooling", "cut behind block 2"]),
        cifar("--model vgg5 --deterministic", 7, &["--deterministic", "7 stages, but vgg5 has only", "fewer ranks"]),
    ]
}

#[rustfmt::skip]
fn learning() -> Vec<Case> {
    vec![
        chain("--learn backprop --global-batch 12 --micro-batches 5", 2, 2, &["--micro-batches", "microBatches = 5 does not divide a chain's batch of 12", "write 4"]),
        chain("--learn backprop --stages 2 --global-batch 12 --micro-batches 4", 4, 2, &["4 does not divide a chain's batch of 6", "write 3"]),
        chain("--learn backprop --micro-batches 0", 2, 2, &["--micro-batches", "zero"]),
        chain("--learn backprop --deterministic --micro-batches 4", 2, 2, &["--micro-batches", "micro-chunks", "--micro-chunk"]),
        chain("--learn backwards", 2, 2, &["--learn", "local", "backprop"]),
        chain("--learn backprop --schedule 2f2b", 2, 2, &["--schedule", "2f2b is none of gpipe|1f1b|zb-h1"]),
        chain("--micro-batches 4", 2, 2, &["--micro-batches", "gradients that flow back", "--learn backprop"]),
        chain("--schedule gpipe", 2, 2, &["gradients that flow back", "--learn backprop"]),
        chain("--deterministic", 2, 2, &["--deterministic", "local learning", "leave it out"]),
        chain("--learn backprop --window 3", 2, 2, &["--window", "for local learning"]),
        chain("--learn backprop --replay 3", 2, 2, &["--replay", "for local learning"]),
        chain("--window 0", 2, 2, &["--window", "zero"]),
        chain("--learn backprop --optimizer mcmc", 2, 2, &["--optimizer", "follows no gradients", "leave --learn backprop out"]),
        chain("--preempt", 2, 2, &["--preempt", "no proposals", "--optimizer mcmc"]),
        chain("--folds 5", 2, 2, &["--folds", "folds in a pipeline", "--mode allreduce"]),
        chain("--exit-threshold 1.5", 3, 2, &["--exit-threshold", "1.5", "above 1"]),
        chain("--exit-threshold 0.5,-0.1", 3, 2, &["--exit-threshold", "-0.1", "negative"]),
        chain("--exit-threshold 0.5,many", 3, 2, &["--exit-threshold", "many", "not a number"]),
        chain("--exit-threshold NaN", 3, 2, &["--exit-threshold"]),
        chain("--exit-threshold 0.5,0.6,0.7", 3, 2, &["--exit-threshold", "3 exit thresholds for 3 stages", "write one, or 2"]),
        chain("--learn backprop --exit-threshold 0.5", 3, 2, &["--exit-threshold", "not every stage has an exit head", "leave --learn backprop out"]),
        chain("--exit-rule sureness", 3, 2, &["--exit-rule", "confidence", "entropy"]),
    ]
}

/// Keys of pipelines in another mode, and samplers where there is nothing to sample.
#[rustfmt::skip]
fn elsewhere() -> Vec<Case> {
    let keys = [
        ("--learn backprop", "learn"), ("--stages 1", "stages"), ("--cuts 1", "cuts"), ("--schedule gpipe", "pipelineSchedule"),
        ("--micro-batches 2", "microBatches"), ("--window 3", "window"), ("--preempt", "preempt"), ("--replay 2", "replay"),
        ("--exit-rule entropy", "exitRule"), ("--exit-threshold 0.5", "exitThreshold"),
    ];
    let alone = keys.map(|(flags, key)| {
        let said = format!("{key} is for pipelines, and the mode is single");
        case(&format!("single: {flags}"), Run::new(flags), 2, &[&said, "--mode pipeline"])
    });
    let together = |mode: &str, args: &str, parts: &[&str]| {
        case(&format!("{mode}: {args}"), Run::new(&format!("--mode {mode} {args}")), 2, parts).on(Launch::Threads(3))
    };
    let mut cases = Vec::from(alone);
    cases.extend([
        together("allreduce", "--window 3", &["--window", "the mode is allreduce"]),
        together("sendrecv", "--cuts 1", &["--cuts", "the mode is sendrecv"]),
        together("sendrecv", "--optimizer mcmc", &["--optimizer", "mcmc", "sendrecv"]),
        together("allreduce", "--optimizer mcmc --deterministic", &["--deterministic", "mcmc"]),
        together("allreduce", "--local-steps 2 --deterministic", &["--local-steps", "number of ranks", "leave one of them out"]),
        together("allreduce", "--local-epochs 1 --deterministic", &["--local-epochs", "number of ranks"]),
        together("allreduce", "--local-epochs 2 --optimizer mcmc", &["--local-epochs", "mcmc", "--optimizer sgd"]),
        together("allreduce", "--local-epochs 2 --local-steps 3", &["--local-steps", "leave one of them out"]),
        together("sendrecv", "--local-steps 2", &["--local-steps", "averages no weights", "--mode allreduce"]),
        together("sendrecv", "--local-epochs 2", &["--local-epochs", "averages no weights"]),
    ]);
    cases
}

/// A device file that is right; every mistake is one replacement away from it.
pub(super) const DEVICES: &str = r#"devices = ["a", "b"]
[profile.a]
flops_per_s = 1e9
flops_source = "assumed"
memory_mib = 512
memory_source = "assumed"
[profile.a.watts]
compute = 5
idle = 2
send = 3
receive = 3
source = "assumed"
[profile.a.measured.iris_mlp]
batch = 10
forward = [0.1, 0.3, 0.2]
backward = [0.1, 0.3, 0.4]
source = "assumed"
[profile.b]
flops_per_s = 2e9
flops_source = "assumed"
memory_mib = 512
memory_source = "assumed"
[profile.b.watts]
compute = 5
idle = 2
send = 3
receive = 3
source = "assumed"
[link]
mbit_per_s = 20
latency_ms = 2
source = "assumed"
"#;

/// A chain on these machines.
fn on(name: &str, devices: &str, code: i32, parts: &[&str]) -> Case {
    let run = Run::new("--mode pipeline --epochs 1 --devices d.toml").file("d.toml", devices);
    case(name, run, code, parts).on(Launch::Threads(2))
}

#[rustfmt::skip]
fn machines() -> Vec<Case> {
    let wrong = |from: &str, to: &str, parts: &[&str]| {
        assert!(DEVICES.contains(from), "{from}");
        on(&format!("devices: {} for {}", to.escape_debug(), from.escape_debug()), &DEVICES.replacen(from, to, 1), 4, parts)
    };
    vec![
        case("devices: none", Run::new("--mode pipeline --devices none.toml"), 4, &["none.toml", "cannot read this device file", "greenai.toml"]).on(Launch::Threads(2)),
        case("devices: none", Run::new("--mode pipeline --devices none.toml"), 4, &["none.toml", "cannot read this device file"]).on(Launch::Mpi(2)),
        case("devices: none in another mode", Run::new("--mode allreduce --devices none.toml"), 4, &["none.toml", "cannot read"]).on(Launch::Threads(2)),
        case("devices: a folder", Run::new("--mode pipeline --devices x").file("x/y", ""), 4, &["x", "cannot read this device file"]).on(Launch::Threads(2)),
        case("devices: five for two ranks", Run::new("--mode pipeline --devices greenai"), 2, &["greenai.toml", "5 devices for 2 ranks", "start 5 ranks"]).on(Launch::Threads(2)),
        case("devices: five for two ranks", Run::new("--mode pipeline --devices greenai"), 2, &["5 devices for 2 ranks"]).on(Launch::Mpi(2)),
        wrong("compute = 5", "comupte = 5", &["d.toml:8", "comupte", "did you mean compute?"]),
        wrong("flops_per_s = 2e9", "speed_of_light = 3e8", &["d.toml:19", "speed_of_light"]),
        wrong("memory_mib = 512\n", "", &["d.toml:2", "memory_mib is missing"]),
        wrong("idle = 2\n", "", &["d.toml:7", "idle is missing"]),
        wrong("flops_source = \"assumed\"\n", "", &["flops_source is missing", "assumed"]),
        wrong("flops_per_s = 1e9", "flops_per_s = -1e9", &["d.toml:3", "flops_per_s = -1000000000 cannot be"]),
        wrong("flops_per_s = 1e9", "flops_per_s = 0", &["d.toml:3", "flops_per_s = 0 cannot be"]),
        wrong("flops_per_s = 1e9", "flops_per_s = nan", &["d.toml:3", "flops_per_s"]),
        wrong("flops_per_s = 1e9", "flops_per_s = \"fast\"", &["d.toml:3", "is no number"]),
        wrong("memory_mib = 512", "memory_mib = 0", &["d.toml:5", "memory_mib = 0 cannot be"]),
        wrong("idle = 2", "idle = -2", &["d.toml:9", "idle = -2 cannot be"]),
        wrong("batch = 10", "batch = 0", &["d.toml:14", "batch = 0 cannot be"]),
        wrong("[0.1, 0.3, 0.2]", "[0.1, -0.3, 0.2]", &["d.toml:15", "forward = -0.3 cannot be"]),
        wrong("[0.1, 0.3, 0.2]", "[0, 0, 0]", &["d.toml:", "forward"]),
        wrong("[0.1, 0.3, 0.2]", "[0.1, 0.3]", &["d.toml:", "forward", "backward"]),
        wrong("mbit_per_s = 20", "mbit_per_s = 0", &["d.toml:30", "mbit_per_s = 0 cannot be"]),
        wrong("mbit_per_s = 20", "mbit_per_s = -1", &["d.toml:30", "mbit_per_s = -1 cannot be"]),
        wrong("latency_ms = 2", "latency_ms = -2", &["d.toml:31", "latency_ms = -2 cannot be"]),
        wrong("[\"a\", \"b\"]", "[\"a\", \"c\"]", &["d.toml:1", "unknown profile c", "did you mean a?"]),
        wrong("[\"a\", \"b\"]", "[]", &["d.toml:1", "empty"]),
        wrong("[\"a\", \"b\"]", "[\"a\", \"b\"", &["d.toml:", "not TOML"]),
        wrong("[\"a\", \"b\"]", "[\"a\", \"b:turbo\"]", &["d.toml:1", "turbo"]),
        wrong("[link]\nmbit_per_s = 20\nlatency_ms = 2\nsource = \"assumed\"\n", "", &["d.toml", "link is missing"]),
        on("devices: a table of another network", &DEVICES.replace("[0.1, 0.3, 0.2]", "[0.1, 0.3]").replace("[0.1, 0.3, 0.4]", "[0.1, 0.3]"), 4, &["d.toml", "a was measured on 2 blocks of iris_mlp, which has 3"]),
        too_little_memory(),
    ]
}

/// 1000 neurons in the first layer, and 100 rows of their values.
fn too_little_memory() -> Case {
    let args = "--mode pipeline --cuts 1 --global-batch 100 --set inputLayerNeurons=1000 --devices d.toml";
    let devices = DEVICES.replace("memory_mib = 512", "memory_mib = 0.25");
    let parts = ["d.toml", "stage 0 (fc1", "MiB and a has 256.0 KiB", "--cuts", "--batch"];
    let case = case("devices: too little memory", Run::new(args).file("d.toml", devices), 4, &parts);
    case.on(Launch::Threads(2))
}

#[rustfmt::skip]
fn traces() -> Vec<Case> {
    let trace = |name: &str, text: &str, parts: &[&str]| {
        let devices = DEVICES.replace("mbit_per_s = 20", "trace = \"wifi.csv\"");
        let case = on(name, &devices, 4, parts);
        Case { run: case.run.file("wifi.csv", text), ..case }
    };
    vec![
        on("trace: missing", &DEVICES.replace("mbit_per_s = 20", "trace = \"none.csv\""), 4, &["d.toml:30", "none.csv"]),
        trace("trace: empty file", "", &["wifi.csv:1", "header", "time_s,mbit_per_s"]),
        trace("trace: only a header", "time_s,mbit_per_s\n", &["wifi.csv:1", "the trace is empty", "0,20"]),
        trace("trace: backwards", "time_s,mbit_per_s\n0,20\n5,10\n3,20\n", &["wifi.csv:4", "3 s comes after 5 s", "runs backwards", "sort it by time"]),
        trace("trace: negative", "time_s,mbit_per_s\n0,-20\n", &["wifi.csv:2", "-20 Mbit/s"]),
        trace("trace: words", "time_s,mbit_per_s\nnow,fast\n", &["wifi.csv:2", "not a time and a bandwidth"]),
        trace("trace: no end to an outage", "time_s,mbit_per_s\n0,20\n9,0\n", &["wifi.csv:3", "never carry again"]),
    ]
}
