//! What becomes of the run directory: one run, whichever the number of jobs.

use super::{hash, older};
use crate::run::{Launch, PROGRAM, Run};
use std::fs;
use std::process::Command;
use std::time::Duration;

const THREE: Launch = Launch::Threads(3);

#[test]
fn a_job_that_is_requeued_gives_the_same_line_again_and_again() {
    let line = "--run-dir r --resume auto --checkpoint-every 20 --epochs 9";
    let outcome = Run::new(line).launch(THREE).ok();
    let expected = hash(&outcome, "r");
    assert!(!outcome.stdout.contains("goes on from"), "{}", outcome.stdout);
    // Complete: nothing is left to do, and nothing is done.
    let before = outcome.text("r/run.json");
    let outcome = outcome.again(line).launch(THREE).ok();
    assert!(outcome.stdout.contains("the run is complete, nothing is left"), "{}", outcome.stdout);
    assert_eq!(outcome.text("r/run.json"), before);
    let outcome = outcome.again("--resume r --json").launch(THREE).ok();
    assert_eq!(outcome.stdout, before);
    // As if it had been torn away behind its older checkpoint.
    let torn = before.replacen("\"complete\"", "\"running\"", 1);
    fs::write(outcome.path("r/run.json"), torn).unwrap();
    let from = older(&outcome, "r");
    for entry in fs::read_dir(outcome.path("r/ckpt")).unwrap().map(Result::unwrap) {
        if !from.ends_with(&*entry.file_name().to_string_lossy()) {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    let torn = outcome.text("r/metrics.csv").trim_end().to_owned() + "\n10,99";
    fs::write(outcome.path("r/metrics.csv"), torn).unwrap();
    let rows =
        |text: String| text.lines().map(|row| row.split(',').take(8).collect::<Vec<_>>().join(",")).collect::<Vec<_>>();
    let outcome = outcome.again(line).launch(THREE).ok();
    assert_eq!(hash(&outcome, "r"), expected);
    let epochs: Vec<String> = rows(outcome.text("r/metrics.csv"));
    assert_eq!(epochs.len(), 10, "{epochs:?}");
    for (i, row) in epochs.iter().enumerate().skip(1) {
        assert!(row.starts_with(&format!("{i},{},", i * 10)), "{row}");
    }
    assert_eq!(outcome.text("r/ranks.csv").lines().count(), 1 + 9 * 3);
    let events = outcome.text("r/events.jsonl");
    assert_eq!(events.matches("\"event\":\"started\"").count(), 2);
    assert_eq!(events.matches("\"event\":\"resumed\"").count(), 1);
    let run = outcome.json_of("r");
    assert_eq!(run["resumed"].as_array().map(Vec::len), Some(1), "{run}");
    assert!(run["resumed"][0]["from"].as_str().unwrap().ends_with(".safetensors"), "{run}");
    assert!(run["final"]["samples_per_s"].as_f64().is_some_and(|speed| speed > 0.0), "{run}");
    let points = outcome.text("r/loss.svg");
    assert!(points.contains("<svg"), "the whole curve");
}

#[test]
fn more_epochs_go_on_from_the_end() {
    let outcome = Run::new("--run-dir r --epochs 4 --schedule constant --checkpoint-every 1000").launch(THREE).ok();
    let outcome = outcome.again("--resume r --epochs 6").launch(THREE).ok();
    let more = hash(&outcome, "r");
    assert_eq!(outcome.text("r/metrics.csv").lines().count(), 7);
    let outcome = outcome.again("--run-dir whole --epochs 6 --schedule constant").launch(THREE).ok();
    assert_eq!(hash(&outcome, "whole"), more);
}

#[test]
fn a_pipelines_tables_are_cut_back_too() {
    let boards = "devices = [\"b\", \"b\", \"b\"]\n[profile.b]\nflops_per_s = 1e6\nflops_source = \"toy\"\nmemory_mib = 64\nmemory_source = \"toy\"\n\
        [profile.b.watts]\ncompute = 5\nidle = 2\nsend = 3\nreceive = 2.5\nsource = \"toy\"\n[link]\nmbit_per_s = 1\nlatency_ms = 2\nsource = \"toy\"\n";
    let line = "--mode pipeline --devices boards.toml --run-dir r --checkpoint-every 13 --epochs 5";
    let outcome = Run::new(line).file("boards.toml", boards).launch(THREE).ok();
    let (expected, from) = (hash(&outcome, "r"), older(&outcome, "r"));
    let lines = |outcome: &crate::run::Outcome| {
        ["stages", "energy", "exits"].map(|name| outcome.text(&format!("r/{name}.csv")).lines().count())
    };
    let before = lines(&outcome);
    let outcome = outcome.again(&format!("--resume {from}")).launch(THREE).ok();
    assert_eq!((hash(&outcome, "r"), lines(&outcome)), (expected, before));
}

#[test]
fn the_second_job_is_refused() {
    let mut running = Run::new("--run-dir r --epochs 100000 --progress none").start(THREE);
    running.wait_until("the first epoch", |dir| {
        fs::read_to_string(dir.join("r/metrics.csv")).is_ok_and(|text| text.lines().count() > 2)
    });
    running.wait_until("the second", |dir| {
        let line = ["--ranks", "3", "--run-dir", "r", "--resume", "auto"];
        let output = Command::new(PROGRAM).args(line).current_dir(dir).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{text}");
        assert!(text.contains("another job is at work in this directory (host "), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        true
    });
    running.signal("USR1");
    assert_eq!(running.finish().code, 75);
}

#[test]
fn a_damaged_checkpoint_gives_way_to_the_one_before() {
    let outcome = Run::new("--run-dir r --epochs 6 --checkpoint-every 7").launch(THREE).ok();
    let (expected, from) = (hash(&outcome, "r"), older(&outcome, "r"));
    let newest = fs::read_dir(outcome.path("r/ckpt")).unwrap().map(|entry| entry.unwrap().path());
    let newest = newest.filter(|path| path.to_string_lossy().contains("step-")).max().unwrap();
    fs::write(&newest, &fs::read(&newest).unwrap()[..1000]).unwrap();
    let outcome = outcome.again("--resume r --run-dir b").launch(THREE).ok();
    assert_eq!(hash(&outcome, "b"), expected);
    assert!(outcome.stdout.contains(&format!("goes on from {from}")), "{}", outcome.stdout);
    fs::write(outcome.path(&from), "torn").unwrap();
    let outcome = outcome.again("--resume r --run-dir c").launch(THREE);
    assert_eq!((outcome.code, outcome.errors().len()), (4, 1), "{}", outcome.stderr);
    // With auto, a run without a whole checkpoint begins again.
    fs::write(outcome.path("r/run.json"), outcome.text("r/run.json").replacen("complete", "running", 1)).unwrap();
    let outcome = outcome.again("--run-dir r --resume auto --epochs 6").launch(THREE).ok();
    assert_eq!(hash(&outcome, "r"), expected);
    assert!(outcome.stdout.contains("it begins again"), "{}", outcome.stdout);
    assert_eq!(outcome.text("r/metrics.csv").lines().count(), 7);
}

#[test]
fn a_checkpoint_that_cannot_be_written_is_told_once_and_fatal_where_required() {
    let prepared = |dir: &std::path::Path| {
        fs::create_dir(dir.join("r")).unwrap();
        fs::write(dir.join("r/ckpt"), "in the way").unwrap();
    };
    let outcome = Run::new("--run-dir r --epochs 5 --checkpoint-every 3").prepare(prepared).launch(THREE).ok();
    hash(&outcome, "r");
    assert_eq!(outcome.stdout.matches("no checkpoint written: r/ckpt").count(), 1, "{}", outcome.stdout);
    let run = Run::new("--run-dir r --epochs 5 --checkpoint-every 3 --require-checkpoint").prepare(prepared);
    let outcome = run.launch(THREE);
    assert_eq!((outcome.code, outcome.errors().len()), (4, 1), "{}", outcome.stderr);
    assert!(outcome.errors()[0].contains("r/ckpt"), "{}", outcome.stderr);
    assert_eq!(outcome.json_of("r")["state"], "failed");
}

#[test]
fn divergence_keeps_the_last_good_checkpoint_and_names_the_way_on() {
    let line = "--activation relu --optimizer sgd --schedule constant --run-dir r --epochs 3 --checkpoint-every 7";
    let outcome = Run::new(line).launch(THREE).ok();
    let outcome = outcome.again("--resume r --epochs 9 --lr 1000").launch(THREE);
    assert_eq!((outcome.code, outcome.errors().len()), (6, 1), "{}", outcome.stderr);
    let line = outcome.errors()[0].to_owned();
    assert!(
        line.contains("diverged") && line.contains("is kept: go on with: ") && line.ends_with("--lr 500"),
        "{line}"
    );
    assert_eq!(outcome.json_of("r")["state"], "diverged");
    let outcome = outcome.again("--resume r --lr 0.01 --epochs 4").launch(THREE).ok();
    hash(&outcome, "r");
}

#[test]
fn a_run_without_a_model_gives_its_newest_checkpoint() {
    let mut running = Run::new("--run-dir r --epochs 100000 --progress none").start(THREE);
    running.wait_until("epochs", |dir| {
        fs::read_to_string(dir.join("r/metrics.csv")).is_ok_and(|text| text.lines().count() > 30)
    });
    running.signal("USR1");
    let outcome = running.finish();
    assert_eq!(outcome.code, 75, "{}", outcome.stderr);
    let outcome = outcome.again("eval r").within(Duration::from_secs(20)).launch(Launch::Plain).ok();
    assert!(outcome.stdout.contains("accuracy"), "{}", outcome.stdout);
    assert!(
        outcome.stderr.contains("note: the run has no model yet; this is its checkpoint of step "),
        "{}",
        outcome.stderr
    );
}
