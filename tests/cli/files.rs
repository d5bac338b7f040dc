//! What a run leaves behind, and what can be done with it.

use crate::run::{Launch, Run};

const METRICS: &str = "epoch,step,samples,train_loss,train_acc,val_loss,val_acc,test_acc,lr,epoch_s,samples_per_s,compute_s,comm_s,wait_s,bytes_sent,energy_j,modelled_epoch_s,modelled_energy_j";
const RANKS: &str = "epoch,rank,host,samples,compute_s,comm_s,wait_s,bytes_sent,bytes_recv,rss_mb,taken,stale,duplicate,cancelled,repeated,staleness_mean,staleness_max";

#[test]
fn a_run_directory_holds_what_the_design_says() {
    for (args, launch, ranks) in
        [("", Launch::Solo, 1), ("--mode allreduce", Launch::Threads(3), 3), ("--mode sendrecv", Launch::Mpi(3), 3)]
    {
        if !launch.possible() {
            continue;
        }
        let outcome = Run::new(&format!("--epochs 4 {args}")).launch(launch).ok();
        let mut names: Vec<String> = std::fs::read_dir(outcome.path("runs/latest"))
            .expect("runs/latest leads to the run")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("plain names"))
            .collect();
        names.sort();
        let expected =
            ".lock accuracy.svg config.toml events.jsonl loss.svg metrics.csv model.safetensors ranks.csv run.json";
        assert_eq!(names.join(" "), expected, "{launch:?}");
        let lines = |name: &str| outcome.text(&format!("runs/latest/{name}")).lines().count();
        assert_eq!(outcome.text("runs/latest/metrics.csv").lines().next(), Some(METRICS));
        assert_eq!(outcome.text("runs/latest/ranks.csv").lines().next(), Some(RANKS));
        assert_eq!((lines("metrics.csv"), lines("ranks.csv")), (1 + 4, 1 + 4 * ranks));
        for line in outcome.text("runs/latest/events.jsonl").lines() {
            let event: serde_json::Value = serde_json::from_str(line).expect("each line is an object");
            assert!(event["t"].is_number() && event["event"].is_string(), "{line}");
        }
        for chart in ["loss.svg", "accuracy.svg"] {
            let svg = outcome.text(&format!("runs/latest/{chart}"));
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{chart}");
        }
        let run = outcome.json();
        assert_eq!((&run["state"], &run["exit_code"], &run["ranks"]), (&"complete".into(), &0.into(), &ranks.into()));
        assert_eq!(run["placement"].as_array().map(Vec::len), Some(ranks));
        assert_eq!(run["final"]["test_size"], 15);
        let link = std::fs::read_link(outcome.path("runs/latest")).expect("latest is a link");
        let mode = run["mode"].as_str().expect("a mode");
        assert!(link.to_string_lossy().ends_with(&format!("_{mode}_iris_n{ranks}")), "{link:?}");
    }
}

#[test]
fn a_pipeline_leaves_its_stages_besides() {
    let outcome = Run::new("--mode pipeline --epochs 2").launch(Launch::Threads(3)).ok();
    let lines = |name: &str| outcome.text(&format!("runs/latest/{name}")).lines().count();
    assert_eq!((lines("metrics.csv"), lines("stages.csv")), (1 + 2, 1 + 2 * 3));
    assert!(outcome.text("runs/latest/stages.csv").starts_with("epoch,stage,replica,rank,device,layers,"));
    let exits = outcome.text("runs/latest/exits.csv");
    assert!(
        exits.lines().next().is_some_and(|head| head.ends_with(",exit_share_0,exit_share_1,exit_share_2")),
        "{exits}"
    );
    assert!(!outcome.path("runs/latest/energy.csv").exists(), "no machine is emulated");
    assert!(outcome.text("runs/latest/stages.svg").contains("stage 2"));
    let run = outcome.json();
    assert_eq!(run["final"]["stages"].as_array().map(Vec::len), Some(3));
    assert!(run["final"]["modelled_s"].is_null() && run["final"]["modelled_energy_j"].is_null());
    for part in ["stages in epoch 2, measured", "bubble", "exit heads, measured on 15 samples of the test part"] {
        assert!(outcome.stdout.contains(part), "{part}: {}", outcome.stdout);
    }
    assert!(!outcome.stdout.contains("modelled"), "{}", outcome.stdout);
}

#[test]
fn json_prints_run_json_and_nothing_else() {
    for launch in [Launch::Solo, Launch::Threads(2), Launch::Mpi(2)] {
        if !launch.possible() {
            continue;
        }
        let outcome = Run::new("--epochs 2 --json").launch(launch).ok();
        assert_eq!(outcome.stdout, outcome.text("runs/latest/run.json"), "{launch:?}");
        assert_eq!(outcome.stderr, "", "{launch:?}");
    }
}

#[test]
fn the_config_of_a_run_repeats_it() {
    for (args, launch) in [
        ("--lr 0.02 --optimizer momentum --schedule step --batch 7 --seed 9", Launch::Solo),
        ("--mode allreduce --global-batch full --init he --activation relu", Launch::Threads(3)),
        ("--mode sendrecv --data-split 0.6/0.2/0.2 --loss l2 --weight-decay 1e-4", Launch::Threads(3)),
    ] {
        let first = Run::new(&format!("--epochs 3 --run-dir first {args}")).launch(launch).ok();
        let (hash, config) = (first.json_of("first")["final"]["weights_hash"].clone(), first.text("first/config.toml"));
        // The mode is in the file: --single would contradict nothing, but is not typed again.
        let launch = if launch == Launch::Solo { Launch::Threads(1) } else { launch };
        let second = first.again("--config first/config.toml --run-dir second").launch(launch).ok();
        assert_eq!(second.json_of("second")["final"]["weights_hash"], hash, "{args}");
        assert_eq!(second.text("second/config.toml"), config, "{args}");
    }
}

#[test]
fn a_second_run_in_the_same_second_gets_a_directory_of_its_own() {
    let first = Run::new("--epochs 1").launch(Launch::Solo).ok();
    let second = first.again("--epochs 1").launch(Launch::Solo).ok();
    let runs = std::fs::read_dir(second.path("runs")).expect("there are runs").count();
    assert_eq!(runs, 3, "two runs and latest");
}
