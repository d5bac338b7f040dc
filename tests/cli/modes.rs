//! What training has to reach in every mode, and how it comes about makes no difference.

use crate::run::{Launch, Outcome, Run};
use serde_json::Value;

const IRIS: &str = include_str!("../../datasets/iris.csv");

/// Runs to success, or says why it cannot be run here.
fn train(run: Run, launch: Launch) -> Option<Outcome> {
    if !launch.possible() {
        return None;
    }
    let outcome = run.launch(launch).ok();
    assert_eq!(outcome.json()["state"], "complete");
    Some(outcome)
}

fn hash(outcome: &Outcome) -> String {
    let hash = outcome.json()["final"]["weights_hash"].as_str().expect("a finished run has a hash").to_owned();
    assert_eq!(hash.len(), 16, "{hash}");
    hash
}

fn figure(json: &Value, part: &str, name: &str) -> f64 {
    json[part][name].as_f64().unwrap_or_else(|| panic!("{part}.{name} is no number in {json}"))
}

#[test]
fn the_two_commands_work_as_they_stand() {
    let single = train(Run::new("--single iris"), Launch::Plain).expect("one rank can be run anywhere");
    assert_eq!((&single.json()["mode"], &single.json()["ranks"]), (&"single".into(), &1.into()));
    assert!(figure(&single.json(), "final", "test_acc") >= 0.9, "{}", single.json());
    let Some(twenty) = train(Run::new("--mode allreduce"), Launch::Mpi(20)) else { return };
    assert_eq!((&twenty.json()["mode"], &twenty.json()["ranks"]), (&"allreduce".into(), &20.into()));
    assert!(figure(&twenty.json(), "final", "test_acc") >= 0.9, "{}", twenty.json());
    assert!(twenty.json()["mpi"].is_string());
}

#[test]
fn deterministic_training_has_one_hash_everywhere() {
    const ARGS: &str = "--deterministic --global-batch 20 --epochs 5";
    let reference = hash(&train(Run::new(ARGS), Launch::Solo).expect("one rank can be run anywhere"));
    let mut launches = Vec::new();
    launches.extend([1, 2, 3, 5, 20].map(|ranks| ("allreduce", Launch::Threads(ranks))));
    launches.extend([2, 3, 5, 20].map(|ranks| ("sendrecv", Launch::Threads(ranks))));
    launches.extend([1, 2, 3, 5, 20].map(|ranks| ("allreduce", Launch::Mpi(ranks))));
    launches.extend([2, 3, 5, 20].map(|ranks| ("sendrecv", Launch::Mpi(ranks))));
    for (mode, launch) in launches {
        if let Some(outcome) = train(Run::new(&format!("--mode {mode} {ARGS}")), launch) {
            assert_eq!(hash(&outcome), reference, "{mode} on {launch:?}");
        }
    }
    let other = train(Run::new(&format!("{ARGS} --seed 2")), Launch::Solo).expect("one rank");
    assert_ne!(hash(&other), reference, "another seed gives other weights");
}

#[test]
fn mpi_and_threads_reach_the_same_figures() {
    let run = || Run::new("--mode allreduce --epochs 20");
    let threads = train(run(), Launch::Threads(2)).expect("threads can be run anywhere").json();
    let Some(mpi) = train(run(), Launch::Mpi(2)) else { return };
    for name in ["test_acc", "val_acc", "test_size"] {
        assert_eq!(threads["final"][name], mpi.json()["final"][name], "{name}");
    }
    let losses = (figure(&threads, "final", "train_loss"), figure(&mpi.json(), "final", "train_loss"));
    assert!((losses.0 - losses.1).abs() < 1e-5, "{losses:?}");
}

#[test]
fn cross_validation_of_iris_is_good_and_not_too_good_at_any_rank_count() {
    const ARGS: &str = "--folds 10 --repeats 5";
    let single = train(Run::new(ARGS), Launch::Solo).expect("one rank can be run anywhere").json();
    let mean = figure(&single, "cv", "mean");
    assert!((0.96..=0.99).contains(&mean), "{mean}; above 0.99 means leakage");
    assert!(figure(&single, "cv", "sd") > 0.0);
    assert_eq!((&single["cv"]["folds"], &single["cv"]["repeats"]), (&10.into(), &5.into()));
    for (mode, ranks) in [("allreduce", 4), ("allreduce", 20), ("sendrecv", 4), ("sendrecv", 20)] {
        let run = Run::new(&format!("--mode {mode} {ARGS}"));
        let several = train(run, Launch::Threads(ranks)).expect("threads can be run anywhere").json();
        let other = figure(&several, "cv", "mean");
        assert!((mean - other).abs() <= 0.02, "{mean} on one rank, {other} with {mode} on {ranks}");
    }
}

#[test]
fn cross_validation_works_over_mpi_and_with_a_server() {
    for (mode, launch) in
        [("allreduce", Launch::Mpi(3)), ("sendrecv", Launch::Mpi(3)), ("sendrecv", Launch::Threads(3))]
    {
        let run = Run::new(&format!("--mode {mode} --folds 5 --epochs 30"));
        let Some(outcome) = train(run, launch) else { continue };
        let mean = figure(&outcome.json(), "cv", "mean");
        assert!(mean > 0.85, "{mode} on {launch:?}: {mean}");
    }
}

/// 120 samples, 15 steps of 8: of two ranks' bytes a quarter and the epoch's end are left.
#[test]
fn local_steps_spare_messages_and_learn_all_the_same() {
    for launch in [Launch::Threads(2), Launch::Mpi(2)] {
        let sent = |args: &str| {
            let run = Run::new(&format!("--mode allreduce --batch 4 --epochs 20 --optimizer sgd --lr 0.1 {args}"));
            let outcome = train(run, launch)?;
            assert!(figure(&outcome.json(), "final", "test_acc") > 0.8, "{args}");
            let table = outcome.text("runs/latest/metrics.csv");
            let column = table.lines().next()?.split(',').position(|name| name == "bytes_sent")?;
            table.lines().nth(1)?.split(',').nth(column)?.parse::<u64>().ok()
        };
        let Some(summed) = sent("") else { continue };
        assert_eq!(sent("--local-steps 1"), Some(summed));
        assert_eq!(sent("--local-steps 4").map(|bytes| bytes * 15), Some(summed * 4));
        assert_eq!(sent("--local-epochs 1").map(|bytes| bytes * 15), Some(summed));
    }
}

/// Three classes around three centres, 100 rows each; the label stands first, under a name of its own.
fn flowers() -> String {
    let mut state = 1u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 24) - 0.5
    };
    let mut text = String::from("kind,height,width,depth\n");
    for row in 0..300 {
        let kind = ["rose", "tulip", "lily"][row % 3];
        let centre = [[0.0, 2.0, 10.0], [1.5, 0.0, 20.0], [3.0, 2.0, 30.0]][row % 3];
        let cells = centre.map(|middle| format!("{:.3}", middle + 2.0 * noise()));
        text += &format!("{kind},{}\n", cells.join(","));
    }
    text
}

#[test]
fn another_table_is_learnt_with_its_own_label_column() {
    for (args, launch) in [("", Launch::Solo), ("--mode sendrecv", Launch::Threads(3)), ("", Launch::Mpi(2))] {
        let run = Run::new(&format!("--dataset flowers.csv --label kind --epochs 40 {args}"));
        let Some(outcome) = train(run.file("flowers.csv", flowers()), launch) else { continue };
        let json = outcome.json();
        assert!(figure(&json, "final", "test_acc") > 0.9, "{launch:?}: {json}");
        assert_eq!(json["final"]["test_size"], 30);
    }
}

#[test]
fn the_form_of_a_table_or_an_env_file_changes_nothing() {
    let csv = |text: String| Run::new("--dataset t.csv --epochs 3").file("t.csv", text);
    let env = |text: String| Run::new("--env x.env").file("x.env", text);
    let env_text = "# few\nnumEpochs=3\nlearningRate=0.02\n";
    let groups = [
        vec![
            csv(IRIS.into()),
            csv(format!("\u{feff}{IRIS}")),
            csv(IRIS.replace('\n', "\r\n")),
            csv(IRIS.replace(',', " , ") + "\n\n"),
        ],
        vec![
            env(env_text.into()),
            env(format!("\u{feff}{env_text}")),
            env(env_text.replace('\n', "\r\n")),
            Run::new("--epochs 3 --lr 0.02"),
            Run::new("").env("GOAI_NUM_EPOCHS", "3").env("GOAI_LEARNING_RATE", "0.02"),
            Run::new("--set numEpochs=3 --set learningRate=0.02"),
        ],
    ];
    for group in groups {
        let hashes = group.into_iter().map(|run| hash(&run.launch(Launch::Solo).ok()));
        let hashes: Vec<String> = hashes.collect();
        assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]), "{hashes:?}");
    }
}

#[test]
fn reordered_and_further_columns_are_found_by_their_names() {
    let reordered = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        [cells[4], cells[2], cells[0], cells[3], cells[1]].join(",") + "\n"
    };
    let further = |line: &str| if line.starts_with('s') { format!("weight,{line}\n") } else { format!("1,{line}\n") };
    let tables: [String; 2] = [IRIS.lines().map(reordered).collect(), IRIS.lines().map(further).collect()];
    for table in tables {
        let run = Run::new("--dataset t.csv --epochs 60").file("t.csv", table);
        let outcome = run.launch(Launch::Solo).ok();
        assert!(figure(&outcome.json(), "final", "test_acc") >= 0.8, "{}", outcome.json());
    }
}

#[test]
fn more_ranks_than_rows_train_as_fewer_do() {
    let rows: String = (0..10).map(|row| format!("{},{},{}\n", row, row * row % 7, ["a", "b"][row % 2])).collect();
    let table = format!("x,y,label\n{rows}");
    let run = |args: &str| {
        Run::new(&format!("--dataset ten.csv --epochs 4 --global-batch 8 --deterministic {args}"))
            .file("ten.csv", &table)
    };
    let reference = hash(&run("").launch(Launch::Solo).ok());
    for (args, launch) in [("", Launch::Threads(20)), ("--mode sendrecv", Launch::Threads(20)), ("", Launch::Mpi(20))] {
        if let Some(outcome) = train(run(args), launch) {
            assert_eq!(hash(&outcome), reference, "{args} on {launch:?}");
        }
    }
}
