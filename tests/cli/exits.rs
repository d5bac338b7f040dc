//! Models with exit heads: trained as a pipeline, measured head by head, and left early.

use crate::run::{Launch, Outcome, Run};
use serde_json::Value;

const IRIS: &str = include_str!("../../datasets/iris.csv");

/// Three emulated boards in a chain, with links that take a while.
const BOARDS: &str = "devices = [\"board\", \"board\", \"board\"]\n\
    [profile.board]\nflops_per_s = 1e6\nflops_source = \"toy\"\nmemory_mib = 64\nmemory_source = \"toy\"\n\
    [profile.board.watts]\ncompute = 5\nidle = 2\nsend = 3\nreceive = 2.5\nsource = \"toy\"\n\
    [link]\nmbit_per_s = 1\nlatency_ms = 2\nsource = \"toy\"\n";

/// Iris in three stages, on emulated boards or not.
fn trained(args: &str) -> Outcome {
    let run = Run::new(&format!("--mode pipeline --epochs 2 --run-dir r {args}"));
    run.file("boards.toml", BOARDS).file("iris.csv", IRIS).launch(Launch::Threads(3)).ok()
}

fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).expect("one JSON object")
}

/// What training told about its exit heads.
fn exits(outcome: &Outcome) -> Value {
    let events = outcome.text("r/events.jsonl");
    let mut lines = events.lines().map(|line| serde_json::from_str::<Value>(line).expect("an object a line"));
    lines.rfind(|line| line.to_string().contains("\"sweep\"")).expect("an event of exits")
}

/// The first place in a value with this name.
fn find<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    match value {
        Value::Object(all) => all.get(name).or_else(|| all.values().find_map(|inner| find(inner, name))),
        _ => None,
    }
}

fn near(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_f64(), b.as_f64()) else { return false };
    (a - b).abs() <= 1e-6 * b.abs() + 1e-12
}

#[test]
fn eval_says_of_the_heads_what_training_said() {
    let outcome = trained("--devices boards.toml");
    let told = exits(&outcome);
    let accuracy = outcome.json_of("r")["final"]["test_acc"].clone();
    let measured = outcome.again("eval r --json --exit-sweep --devices boards.toml").launch(Launch::Plain).ok();
    let found = json(&measured);
    assert_eq!(found["accuracy"], accuracy);
    let (heads, rows) = (find(&told, "heads").expect("heads"), find(&told, "sweep").expect("a sweep"));
    assert_eq!(found["heads"].as_array().map(Vec::len), Some(3));
    for head in 0..3 {
        let (told, found) = (&heads[head], &found["heads"][head]);
        assert_eq!(told["accuracy"], found["accuracy"]);
        for (told_as, found_as) in
            [("loss", "loss"), ("latency_s", "modelled_latency_s"), ("energy_j", "modelled_energy_j")]
        {
            assert!(near(&found[found_as], &told[told_as]), "{told_as}: {told} {found}");
        }
    }
    let swept = found["exit_sweep"].as_array().expect("a sweep");
    assert_eq!(swept.len(), rows.as_array().expect("rows").len());
    for (found, told) in swept.iter().zip(rows.as_array().expect("rows")) {
        for name in ["threshold", "accuracy", "exit_shares"] {
            assert_eq!(found[name], told[name], "{told}");
        }
        assert!(near(&found["modelled_latency_s"], &told["latency_s"]), "{found} {told}");
    }
    let text = measured.again("eval r --exit-threshold 0.5 --devices boards.toml").launch(Launch::Plain).ok().stdout;
    for part in ["exits     where the confidence is at least 0.5", "modelled  ", "exit1", "exit2", "left here"] {
        assert!(text.contains(part), "no {part} in {text}");
    }
}

#[test]
fn predict_tells_the_head_where_a_row_leaves() {
    let outcome = trained("");
    let all = outcome.again("eval r --part all --json --exit-threshold 0.4,0.6").launch(Launch::Plain).ok();
    let figures = json(&all);
    let rows = all.again("predict r iris.csv --format csv --exit-threshold 0.4,0.6").launch(Launch::Plain).ok();
    let lines: Vec<Vec<String>> =
        rows.stdout.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect();
    assert_eq!(lines[0][..5], ["file", "row", "label", "probability", "exit"]);
    let truth = IRIS.lines().skip(1).map(|line| line.rsplit(',').next().expect("a label"));
    let right = lines[1..].iter().zip(truth).filter(|(line, label)| line[2] == label.trim_matches('"')).count();
    assert!(near(&(right as f64 / 150.0).into(), &figures["accuracy"]), "{right} {figures}");
    for head in 0..3 {
        let left = lines[1..].iter().filter(|line| line[4] == head.to_string()).count();
        assert!(near(&(left as f64 / 150.0).into(), &figures["heads"][head]["exit_share"]), "{left} {figures}");
    }
    let plain = rows.again("predict r iris.csv --format csv").launch(Launch::Plain).ok();
    assert!(plain.stdout.starts_with("file,row,label,probability,p_"), "{}", plain.stdout);
}

#[test]
fn what_does_not_fit_the_heads_is_refused_in_one_line() {
    let mut outcome = trained("");
    for (line, code, part) in [
        ("eval r --exit-threshold 0.5,0.5,0.5", 2, "3 thresholds for 3 heads"),
        ("eval r --exit-threshold 2", 2, "above 1"),
        ("predict r iris.csv --exit-threshold -1", 2, "negative"),
        ("predict r iris.csv --exit-rule entropy", 2, "add --exit-threshold"),
        ("eval r --devices greenai", 4, "greenai.toml: 5 devices for 3 heads of this model; list 3 devices"),
        ("eval r --devices none.toml", 4, "none.toml"),
    ] {
        outcome = outcome.again(line).launch(Launch::Plain);
        assert_eq!((outcome.code, outcome.errors().len()), (code, 1), "{line}: {}", outcome.stderr);
        assert!(outcome.errors()[0].contains(part), "{line}: {}", outcome.stderr);
        assert_eq!(outcome.stdout, "", "{line}");
    }
    let single = Run::new("--epochs 1 --run-dir s").launch(Launch::Solo).ok();
    let refused = single.again("eval s --exit-threshold 0.5").launch(Launch::Plain);
    assert_eq!((refused.code, refused.errors().len()), (2, 1), "{}", refused.stderr);
    assert!(refused.errors()[0].contains("one output and no exit heads"), "{}", refused.stderr);
}
