//! What users get wrong, through the front door: whole files, folders, flags and variables.

use super::keys::{KEYS, Preset};
use super::*;
use proptest::prelude::*;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Sources whose working directory is `dir`.
fn at(dir: &Path) -> Sources {
    Sources { working_dir: Some(dir.to_owned()), ..Sources::default() }
}

fn flag(key: &'static str, text: &str, flag: &str) -> Vec<(&'static str, String, String)> {
    vec![(key, text.to_owned(), flag.to_owned())]
}

fn variable(name: &str, value: &str) -> Vec<(OsString, OsString)> {
    vec![(OsString::from(name), OsString::from(value))]
}

/// Asserts one line that holds every part, and the exit code.
fn refused(sources: &Sources, parts: &[&str], code: u8) {
    let error = sources.load().expect_err(parts[0]);
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
    assert!(!message.contains('\n'), "{message:?}");
    assert_eq!(error.exit_code(), code, "{message}");
}

#[test]
fn env_files() {
    let cases: &[(&[u8], &[&str])] = &[
        (b"seed=1\nlearingRate=0.1", &["bad.env:2", "learingRate", "did you mean learningRate?"]),
        (b"seed=1\nseed=2", &["bad.env:2", "seed", "first in line 1", "keep one"]),
        (b"\n\nbatchSize=-4", &["bad.env:3", "batchSize = -4", "negative", "1 or more"]),
        (b"batchSize=0", &["bad.env:1", "zero", "1 or more"]),
        (b"numEpochs=many", &["bad.env:1", "not a number"]),
        (b"numEpochs=1e300", &["bad.env:1", "not a whole number"]),
        (b"learningRate=1e300", &["bad.env:1", "too large"]),
        (b"learningRate=0,01", &["bad.env:1", "comma", "use a dot: 0.01"]),
        (b"learningRate=NaN", &["bad.env:1", "not a number"]),
        (b"learningRate=-inf", &["bad.env:1", "not finite"]),
        (b"learningRate=", &["bad.env:1", "empty", "leave the key out"]),
        (b"batchSize=99999999999999999999999", &["bad.env:1", "too large"]),
        (b"batchSize=18446744073709551615", &["bad.env:1", "too large", "2147483647"]),
        (b"inputLayerNeurons=1000000000", &["bad.env:1", "parameters", "smaller"]),
        (b"labelOnehotDims=4", &["bad.env:1", "outputLayerNeurons = 3", "preset"]),
        (b"dataDir=$HOME/data", &["bad.env:1", "not expanded", "write the value itself"]),
        (b"label='open", &["bad.env:1", "unclosed quote"]),
        (b"just words", &["bad.env:1", "no assignment", "KEY=value"]),
        (b"mode=allredcue", &["bad.env:1", "did you mean allreduce?"]),
        (b"LD_PRELOAD=x.so", &["bad.env:1", "unknown key LD_PRELOAD", "config keys"]),
        (b"seed=1\n\x7fELF\0\0", &["bad.env", "binary", "line 2"]),
        (b"\xFF\xFEs\0e\0", &["bad.env", "UTF-16", "UTF-8"]),
        (b"label=\xE4", &["bad.env", "not UTF-8 in line 1"]),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (bytes, parts) in cases {
        std::fs::write(dir.path().join("bad.env"), bytes).unwrap();
        let sources = Sources { env_file: Some(PathBuf::from("bad.env")), ..at(dir.path()) };
        refused(&sources, parts, 3);
    }
}

#[test]
fn paths() {
    let dir = tempfile::tempdir().unwrap();
    let named = |env: Option<&str>, config: Option<&str>| Sources {
        env_file: env.map(PathBuf::from),
        config_file: config.map(PathBuf::from),
        ..at(dir.path())
    };
    refused(&named(Some("none.env"), None), &["none.env", "no such file", "--env"], 3);
    refused(&named(None, Some("none.toml")), &["none.toml", "no such file", "--config"], 3);
    refused(&named(Some("."), None), &["directory"], 3);
    std::fs::create_dir(dir.path().join(".irisenv")).unwrap();
    refused(&at(dir.path()), &[".irisenv", "directory"], 3);
}

#[test]
fn an_env_file_cannot_send_its_reader_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(".irisenv"), "dataset=img").unwrap();
    refused(&at(dir.path()), &[".irisenv:1", "dataset = img", "--dataset img"], 3);
    let named = Sources { env_file: Some(PathBuf::from(".irisenv")), ..at(dir.path()) };
    assert_eq!(named.load().unwrap().0.dataset, Dataset::Img);
}

#[test]
fn flags_variables_and_sets() {
    for (key, text, name, parts) in [
        ("batchSize", "0", "--batch", ["--batch: batchSize = 0 is zero", "1 or more"]),
        ("learningRate", "NaN", "--lr", ["--lr: learningRate = NaN", "above 0"]),
        ("learningRate", "-1", "--lr", ["--lr: learningRate = -1 is negative", "above 0"]),
        ("mode", "allredcue", "--mode", ["sendrecv", "did you mean allreduce?"]),
        ("mode", "offlaod", "--mode", ["split|offload|auto", "did you mean offload?"]),
        ("graph", "vgg61", "--graph", ["--graph: graph = vgg61 is no network", "FILE.toml"]),
        ("granularity", "neuron", "--granularity", ["layer|block", "one of them"]),
        ("policy", "best", "--policy", ["auto|local|edge|cloud|random|heft", "min-cut|anneal|sep|gcc|hermes"]),
        ("requests", "0", "--requests", ["zero", "from 1 to 1000000"]),
        ("arrivals", "poisson:-2", "--arrivals", ["a rate of -2 a second", "periodic:SECONDS"]),
        ("sources", "0,1,0", "--sources", ["names rank 0 twice", "like 0,2"]),
        ("queue", "0", "--queue", ["zero", "from 1 to 4096"]),
        ("width", "0", "--width", ["zero", "above 0 and up to 4"]),
        ("width", "5", "--width", ["too large", "up to 4"]),
        ("fuse", "maybe", "--fuse", ["neither", "true|false"]),
        ("planTime", "0", "--plan-time", ["zero", "up to 3600"]),
        ("objective", "money", "--objective", ["time|energy|weighted", "one of them"]),
        ("budget", "-1", "--budget", ["negative", "above 0"]),
        ("replan", "often", "--replan", ["neither", "true|false"]),
        ("pictures", "", "--pictures", ["is empty", "leave the key out"]),
        ("optimizer", "lbfgs", "--optimizer", ["sgd|momentum|adam", "one of them"]),
        ("dataset", "irsi", "--dataset", ["no data set", "did you mean iris?"]),
        ("dataset", "weather", "--dataset", ["no data set", "FILE.csv"]),
        ("model", "img_cn", "--model", ["no network", "did you mean img_cnn?"]),
        ("imageSize", "150x", "--image-size", ["not a size", "HEIGHTxWIDTH"]),
        ("augment", "rotate", "--augment", ["none|flip|crop|crop-flip", "one of them"]),
        ("badImage", "ignore", "--bad-image", ["fail|skip", "one of them"]),
        ("dataSplit", "0.8/0.3/0.1", "--data-split", ["adds up to 1.2", "0.8/0.1/0.1"]),
        ("momentum", "1", "--momentum", ["too large", "below 1"]),
        ("folds", "1", "--folds", ["--folds", "2 or more"]),
        ("globalBatch", "fulll", "--global-batch", ["not a number", "or full"]),
        ("seed", "-1", "--seed", ["--seed", "negative"]),
        ("deterministic", "yes", "--deterministic", ["neither", "true|false"]),
    ] {
        let sources = Sources { flags: flag(key, text, name), ..Sources::default() };
        refused(&sources, &parts, 2);
    }
    for (name, value, parts) in [
        ("GOAI_LEARNING_RAT", "1", ["no key", "did you mean GOAI_LEARNING_RATE?"]),
        ("GOAI_COLOUR", "1", ["GOAI_COLOUR", "unset it"]),
        ("GOAI_SEED", "x", ["GOAI_SEED: seed = x", "whole number"]),
        ("GOAI_MODE", "", ["GOAI_MODE", "is empty"]),
    ] {
        let sources = Sources { variables: variable(name, value), ..Sources::default() };
        refused(&sources, &parts, 3);
    }
    for (sets, parts) in [
        (&["seed"][..], ["--set: seed has no =", "KEY=VALUE"]),
        (&["lr=1"], ["unknown key lr", "did you mean learningRate?"]),
        (&["seed=1", "seed=2"], ["seed", "second time"]),
        (&["seed=1.5"], ["--set: seed = 1.5", "whole"]),
    ] {
        let sources = Sources { sets: sets.iter().map(|set| set.to_string()).collect(), ..Sources::default() };
        refused(&sources, &parts, 2);
    }
}

#[test]
fn variables_of_others_are_left_alone() {
    for name in ["GOAI_FAULT", "GOAI_TEST_RANKS", "OMPI_COMM_WORLD_SIZE"] {
        let sources = Sources { variables: variable(name, "anything"), ..Sources::default() };
        assert_eq!(sources.load(), Sources::default().load(), "{name}");
    }
}

#[test]
fn the_highest_of_six_sources_wins() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(".irisenv"), "# x\nseed=50\n").unwrap();
    std::fs::write(dir.path().join("run.toml"), "seed = 40\n").unwrap();
    let mut sources = Sources {
        flags: flag("seed", "10", "--seed"),
        variables: variable("GOAI_SEED", "20"),
        sets: vec!["seed=30".to_owned()],
        config_file: Some(PathBuf::from("run.toml")),
        ..at(dir.path())
    };
    let mut seen = Vec::new();
    let mut look = |sources: &Sources| {
        let (config, origins) = sources.load().unwrap();
        seen.push((config.seed, origins.of("seed").to_string()));
    };
    look(&sources);
    sources.flags.clear();
    look(&sources);
    sources.variables.clear();
    look(&sources);
    sources.sets.clear();
    look(&sources);
    sources.config_file = None;
    look(&sources);
    sources.working_dir = None;
    look(&sources);
    let irisenv = dir.path().join(".irisenv").display().to_string();
    let expected = [
        (10, "--seed"),
        (20, "GOAI_SEED"),
        (30, "--set"),
        (40, "run.toml:1"),
        (50, &format!("{irisenv}:2")),
        (1, "preset"),
    ];
    assert_eq!(seen, expected.map(|(seed, origin)| (seed, origin.to_owned())));
}

#[test]
fn the_env_file_is_looked_for_in_the_folder_then_beside_the_binary_then_inside() {
    let (here, beside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sources = Sources { binary_dir: Some(beside.path().to_owned()), ..at(here.path()) };
    let batch = |sources: &Sources| {
        let (config, origins) = sources.load().unwrap();
        (config.batch_size.get(), origins.of("batchSize").clone())
    };
    let (size, origin) = batch(&sources);
    assert_eq!(size, 4);
    assert!(matches!(origin, Origin::BuiltInEnvFile { .. }), "{origin:?}");
    std::fs::write(beside.path().join(".irisenv"), "batchSize=5").unwrap();
    assert_eq!(batch(&sources).0, 5);
    std::fs::write(here.path().join(".irisenv"), "batchSize=6").unwrap();
    assert_eq!(batch(&sources).0, 6);
    let table = Sources { sets: vec!["dataset=x.csv".to_owned()], ..sources };
    assert_eq!(batch(&table), (4, Origin::Preset));
}

#[test]
fn a_byte_order_mark_and_carriage_returns_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let plain = "# c\nseed=7\nlabel=\"a b\"\n\nlearningRate=0.5\n";
    let crlf = plain.replace('\n', "\r\n");
    let mut results = Vec::new();
    for text in [plain.to_owned(), crlf.clone(), format!("\u{FEFF}{plain}"), format!("\u{FEFF}{crlf}")] {
        std::fs::write(dir.path().join(".irisenv"), text).unwrap();
        results.push(at(dir.path()).load().unwrap());
    }
    assert_eq!(results[0].0.seed, 7);
    assert_eq!(results[0].0.label.as_deref(), Some("a b"));
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn the_env_files_that_are_shipped_say_the_presets_and_the_originals_nine_keys() {
    for (text, preset, originals) in [
        (include_str!("../../.irisenv"), Preset::IRIS, "4,30,20,3,3,100,0.01,4,8"),
        (include_str!("../../.imgenv"), Preset::IMG, "67500,40,10,6,6,10,0.004,4,8"),
    ] {
        let assignments = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let expected = KEYS.iter().zip(originals.split(','));
        let expected = expected.map(|(key, value)| {
            assert_eq!(key.default_for(preset), Some(value), "{}", key.name);
            format!("{}={value}", key.name)
        });
        assert!(assignments.eq(expected), "{text}");
    }
}

proptest! {
    #[test]
    fn any_bytes_as_env_and_config_file_are_read_or_refused(bytes: Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x"), bytes).unwrap();
        let x = Some(PathBuf::from("x"));
        let _ = Sources { env_file: x.clone(), ..at(dir.path()) }.load();
        let _ = Sources { config_file: x, ..at(dir.path()) }.load();
    }

    #[test]
    fn any_value_of_any_key_is_taken_or_refused_in_one_line(text in "(?s).{0,30}", index in 0..KEYS.len()) {
        let sources = Sources { flags: flag(KEYS[index].name, &text, "--x"), ..Sources::default() };
        if let Err(error) = sources.load() {
            prop_assert!(!error.to_string().contains('\n'));
        }
    }
}
