//! The commands that look at a finished run, and those that explain.

use crate::run::{Launch, Run, is_root, skip};
use serde_json::Value;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

const IRIS: &str = include_str!("../../datasets/iris.csv");

#[test]
fn eval_measures_what_training_measured() {
    for args in ["", "--data-split 0.6/0.1/0.3 --seed 3", "--loss l2 --activation tanh", "--data-split 0.9/0.1/0"] {
        let trained = Run::new(&format!("--epochs 30 --run-dir r {args}")).launch(Launch::Solo).ok();
        let json = trained.json_of("r");
        // Without a test part, the validation part is measured.
        let (accuracy, part) = match json["final"]["test_acc"].is_null() {
            false => (json["final"]["test_acc"].clone(), "test"),
            true => (json["final"]["val_acc"].clone(), "validation"),
        };
        let evaluated = trained.again("eval r --json").launch(Launch::Plain).ok();
        let found: Value = serde_json::from_str(&evaluated.stdout).expect("one JSON object");
        assert_eq!((&found["accuracy"], &found["part"]), (&accuracy, &part.into()), "{args}");
        assert_eq!(found["weights_hash"], json["final"]["weights_hash"], "{args}");
        let matrix = found["matrix"].as_array().expect("rows").iter().flat_map(|row| row.as_array().expect("cells"));
        assert_eq!(matrix.map(|cell| cell.as_u64().expect("a count")).sum::<u64>(), found["rows"], "{args}");
        let text = evaluated.again("eval r").launch(Launch::Plain).ok().stdout;
        let rows = found["rows"].to_string();
        for word in [part, &format!("{rows} rows"), "Setosa", "precision", "recall", "f1"] {
            assert!(text.contains(word), "{args}: no {word} in {text}");
        }
    }
}

#[test]
fn predict_labels_rows_in_three_formats() {
    let run = Run::new("--run-dir r").file("iris.csv", IRIS);
    let trained = run.launch(Launch::Solo).ok();
    let outcome = trained.again("predict r iris.csv --format jsonl").launch(Launch::Plain).ok();
    let lines: Vec<Value> =
        outcome.stdout.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
    assert_eq!(lines.len(), 150);
    let truth = IRIS.lines().skip(1).map(|line| line.rsplit(',').next().expect("a label"));
    let right = lines.iter().zip(truth).filter(|(line, label)| line["label"] == *label).count();
    assert!(right >= 140, "{right} of 150");
    let outcome = outcome.again("predict r iris.csv --format csv").launch(Launch::Plain).ok();
    let mut table = outcome.stdout.lines();
    assert_eq!(table.next(), Some("file,row,label,probability,p_Setosa,p_Versicolor,p_Virginica"));
    assert_eq!(table.count(), 150);
    let outcome = outcome.again("predict r iris.csv").launch(Launch::Plain).ok();
    assert_eq!(outcome.stdout.lines().count(), 151);
}

#[test]
fn state_is_one_word_also_under_a_launcher() {
    let mut trained = Run::new("--epochs 1 --run-dir r").launch(Launch::Solo).ok();
    for launch in [Launch::Plain, Launch::Mpi(3)] {
        if !launch.possible() {
            continue;
        }
        trained = trained.again("state r").launch(launch).ok();
        assert_eq!(trained.stdout, "complete\n", "{launch:?}");
    }
}

#[test]
fn config_says_what_holds_and_why() {
    let run = Run::new("config show --lr 0.5 --set seed=4").file(".irisenv", "numEpochs=12\n").env("GOAI_FOLDS", "3");
    let text = run.launch(Launch::Plain).ok().stdout;
    let row = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("no {key}: {text}"));
    for (key, value, origin) in [
        ("learningRate", "0.5", "--lr"),
        ("seed", "4", "--set"),
        ("folds", "3", "GOAI_FOLDS"),
        ("numEpochs", "12", ".irisenv:1"),
    ] {
        let words: Vec<&str> = row(key).split_whitespace().collect();
        assert_eq!(words[1..3], [value, origin], "{key}");
    }
    let keys = Run::new("config keys").launch(Launch::Plain).ok().stdout;
    let nine = "inputdataDims inputLayerNeurons hiddenLayerNeurons outputLayerNeurons labelOnehotDims numEpochs \
                learningRate batchSize parallelism";
    assert!(nine.split(' ').all(|key| keys.lines().any(|line| line.starts_with(key))), "{keys}");
}

#[test]
fn report_compares_runs_and_draws() {
    let first = Run::new("--epochs 3 --run-dir one --mode allreduce").launch(Launch::Threads(1)).ok();
    let second = first.again("--epochs 3 --run-dir two --mode allreduce").launch(Launch::Threads(2)).ok();
    let reported = second.again("report one two --out speedup.svg").launch(Launch::Plain).ok();
    assert!(reported.stdout.lines().count() >= 3, "{}", reported.stdout);
    assert!(reported.text("speedup.svg").starts_with("<svg"));
}

#[test]
fn what_is_printed_and_cannot_be_is_told_unless_the_reader_left() {
    let mut trained = Run::new("--epochs 1 --run-dir r").file("iris.csv", IRIS).launch(Launch::Solo).ok();
    for command in ["state r", "eval r", "predict r iris.csv", "config keys", "--help", "doctor"] {
        let run = trained.again(command).around("\"$0\" \"$@\" | head -c 1 >/dev/null");
        trained = run.launch(Launch::Plain).ok();
        assert_eq!(trained.stderr, "", "{command}");
        trained = trained.again(command).around("exec \"$0\" \"$@\" >/dev/full").launch(Launch::Plain);
        assert_eq!((trained.code, trained.errors().len()), (4, 1), "{command}: {}", trained.stderr);
        assert!(!trained.stderr.contains("panicked"), "{command}: {}", trained.stderr);
    }
}

#[test]
fn a_run_can_be_read_by_somebody_who_may_not_write() {
    if is_root() {
        return skip("a run that may only be read", "root may write anywhere");
    }
    let trained = Run::new("--epochs 1 --run-dir r").launch(Launch::Solo).ok();
    let dir = trained.path("r");
    let set = |mode| std::fs::set_permissions(&dir, Permissions::from_mode(mode)).expect("a mode can be set");
    set(0o555);
    let evaluated = trained.again("eval r").launch(Launch::Plain);
    set(0o755);
    evaluated.ok();
}

#[test]
fn bench_comm_measures_all_ranks_and_fits_a_network() {
    for launch in [Launch::Plain, Launch::Mpi(3)] {
        if !launch.possible() {
            continue;
        }
        let (args, ranks) = if launch == Launch::Plain { (" --ranks 2", 2) } else { ("", 3) };
        let line = format!("bench comm --quick --max 4k{args}");
        let outcome = Run::new(&format!("{line} --json")).launch(launch).ok();
        let found: Value = serde_json::from_str(&outcome.stdout).expect("one JSON object");
        assert_eq!((&found["ranks"], &found["hosts"]), (&ranks.into(), &1.into()), "{launch:?}");
        let tables = found["tables"].as_array().expect("tables");
        let operations: Vec<&str> = tables.iter().filter_map(|table| table["operation"].as_str()).collect();
        for operation in
            ["send_recv", "window", "all_reduce", "start_all_reduce", "all_reduce_integers", "broadcast", "serve"]
        {
            assert!(operations.contains(&operation), "{launch:?}: {operation} is not in {operations:?}");
        }
        for row in tables.iter().flat_map(|table| table["rows"].as_array().expect("rows")) {
            let us = |key: &str| row[key].as_f64().expect("a number");
            assert!(us("min_us") > 0.0 && us("min_us") <= us("median_us") && us("median_us") <= us("max_us"), "{row}");
        }
        let sizes: Vec<u64> =
            tables[0]["rows"].as_array().expect("rows").iter().filter_map(|row| row["bytes"].as_u64()).collect();
        // On a busy machine there is no time for all of them.
        assert!([8, 128, 2048, 4096].starts_with(&sizes) && !sizes.is_empty(), "{launch:?}: {sizes:?}");
        let network = goai::device::Network::parse("net.json", &outcome.stdout).expect("plan can read it");
        assert!(network.wire.alpha.0 > 0.0 && network.is_measured(ranks) && !network.serve.is_empty(), "{network:?}");
        let text = Run::new(&line).launch(launch).ok().stdout;
        assert!(text.starts_with(&format!("{ranks} ranks on 1 host, ")), "{text}");
        assert_eq!(text.matches("\nfitted: alpha ").count(), 1, "rank 0 tells, once: {text}");
    }
}
