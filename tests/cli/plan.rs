//! `plan` and `--mode auto`: what is predicted, and what is done with it.

use crate::run::{Launch, Outcome, Run};
use serde_json::Value;

fn planned(args: &str) -> Value {
    let outcome = Run::new(&format!("plan --json {args}")).launch(Launch::Plain).ok();
    assert_eq!(outcome.stderr, "");
    serde_json::from_str(&outcome.stdout).expect("one JSON object")
}

fn of<'a>(plan: &'a Value, mode: &str) -> &'a Value {
    let modes = plan["modes"].as_array().expect("a list of modes");
    modes.iter().find(|row| row["mode"] == mode).unwrap_or_else(|| panic!("no {mode} in {modes:?}"))
}

fn epoch(plan: &Value, mode: &str) -> f64 {
    of(plan, mode)["predicted"]["epoch_s"].as_f64().unwrap_or_else(|| panic!("{mode}: {}", of(plan, mode)))
}

#[test]
fn every_mode_is_predicted_and_the_best_is_one_of_them() {
    let plan = planned("--ranks 2");
    for mode in ["single", "allreduce", "sendrecv", "allreduce --local-steps 8", "pipeline --learn local", "split"] {
        assert!(epoch(&plan, mode) > 0.0, "{mode}");
    }
    assert_eq!(of(&plan, "split")["same_gradient"], false);
    let given = planned("--ranks 3 --split 1,2 --protocol ares");
    let how = of(&given, "split")["predicted"]["how"].as_str().unwrap();
    assert_eq!(how, "ares, cuts 1,2, given");
    let beyond = planned("--ranks 3 --split 9");
    assert!(of(&beyond, "split")["not_possible"].as_str().unwrap().contains("write 0 to 3"), "{beyond}");
    for schedule in ["gpipe", "1f1b", "zb-h1"] {
        assert!(epoch(&plan, &format!("pipeline --learn backprop --schedule {schedule}")) > 0.0);
    }
    // Their own steps between two threads, where there are two cores; else the model alone.
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    for mode in ["allreduce", "sendrecv", "pipeline --learn local", "pipeline --learn backprop --schedule zb-h1"] {
        let model = of(&plan, mode)["predicted"]["model_epoch_s"].as_f64();
        assert!(if cores < 2 { model.is_none() } else { model.is_some_and(|seconds| seconds > 0.0) }, "{mode}");
    }
    assert!(of(&plan, "single")["predicted"]["model_epoch_s"].is_null(), "a step of one rank is measured by itself");
    let best = plan["best"]["mode"].as_str().expect("a best mode");
    assert!(of(&plan, best)["same_gradient"] == true && plan["best"]["why"].as_str().unwrap().contains("predicted"));
    assert!(plan["origins"]["compute"].as_str().unwrap().starts_with("measured here"), "{plan}");
    // 120 samples, 8 a step: 837 numbers each time.
    assert_eq!(of(&plan, "allreduce")["predicted"]["steps"], 15);
    assert_eq!(of(&plan, "allreduce")["predicted"]["bytes_sent_most"], 15 * 3348);
}

#[test]
fn a_thousand_ranks_are_predicted_without_starting_any() {
    let slow = planned("--ranks 1024 --network 1gbe");
    let fast = planned("--ranks 1024 --network hdr100");
    for mode in ["allreduce", "sendrecv"] {
        assert!(epoch(&slow, mode) > epoch(&fast, mode), "{mode}");
    }
    assert_eq!((&slow["per_node"], &slow["network"]["name"]), (&1.into(), &"1gbe".into()));
    assert!(of(&slow, "pipeline --learn local")["not_possible"].as_str().unwrap().contains("3 trunk blocks"));
    let text = Run::new("plan --ranks 1000000 --network hdr100").launch(Launch::Plain).ok().stdout;
    assert!(text.contains("1000000 ranks") && text.contains("best: ") && text.contains("not possible: "), "{text}");
}

/// On emulated machines everything is modelled, here and there.
#[test]
fn on_emulated_machines_it_is_what_the_run_models() {
    const DEVICES: &str = r#"
devices = ["a", "a"]
[profile.a]
flops_per_s = 1e6
flops_source = "assumed"
memory_mib = 64
memory_source = "assumed"
[profile.a.watts]
compute = 5.0
idle = 2.0
send = 2.0
receive = 2.0
source = "assumed"
[link]
mbit_per_s = 8
latency_ms = 1
source = "assumed"
"#;
    let run = |args: &str| Run::new(args).file("two.toml", DEVICES);
    let outcome = run("plan --json --ranks 2 --devices two.toml").launch(Launch::Plain).ok();
    let plan: Value = serde_json::from_str(&outcome.stdout).expect("one JSON object");
    for mode in
        ["allreduce", "sendrecv", "pipeline --learn backprop --schedule 1f1b", "pipeline --learn local", "split"]
    {
        let trained = run(&format!("--mode {mode} --devices two.toml --epochs 1")).launch(Launch::Threads(2)).ok();
        let rows = trained.text("runs/latest/metrics.csv");
        let columns: Vec<&str> = rows.lines().next().unwrap().split(',').collect();
        let at = columns.iter().position(|name| *name == "modelled_epoch_s").expect("a column");
        let modelled: f64 = rows.lines().nth(1).unwrap().split(',').nth(at).unwrap().parse().expect("seconds");
        let ratio = epoch(&plan, mode) / modelled;
        assert!((0.8..1.25).contains(&ratio), "{mode}: {} for {modelled}", epoch(&plan, mode));
    }
    assert!(of(&plan, "allreduce")["predicted"]["energy_j"].as_f64().unwrap() > 0.0);
}

fn settled(outcome: &Outcome) -> String {
    let mode = outcome.json()["mode"].as_str().expect("a mode").to_owned();
    assert!(["single", "allreduce", "sendrecv", "pipeline", "split"].contains(&mode.as_str()), "{mode}");
    assert!(outcome.text("runs/latest/config.toml").contains(&format!("mode = \"{mode}\"")));
    mode
}

#[test]
fn mode_auto_trains_in_a_mode_of_its_choice() {
    let single = Run::new("--mode auto --epochs 2").launch(Launch::Threads(1)).ok();
    assert_eq!(settled(&single), "single");
    for launch in [Launch::Threads(2), Launch::Mpi(2)] {
        if !launch.possible() {
            continue;
        }
        let two = Run::new("--mode auto --epochs 2").launch(launch).ok();
        assert_ne!(settled(&two), "single");
        assert!(two.text("runs/latest/events.jsonl").contains("mode auto is "), "why is a note");
    }
    // What was typed for one mode leaves that one alone.
    let piped = Run::new("--mode auto --learn backprop --epochs 2").launch(Launch::Threads(2)).ok();
    assert_eq!(settled(&piped), "pipeline");
    let split = Run::new("--mode auto --split 1 --epochs 2").launch(Launch::Threads(2)).ok();
    assert_eq!(settled(&split), "split");
    let shown = Run::new("config show --mode auto").launch(Launch::Plain).ok().stdout;
    assert!(shown.lines().any(|line| line.starts_with("mode ") && line.contains(" auto ")), "{shown}");
}

#[test]
fn a_resumed_run_keeps_the_mode_that_was_chosen() {
    let begun =
        Run::new("--mode sendrecv --epochs 2 --checkpoint-every 10 --run-dir r").launch(Launch::Threads(3)).ok();
    let on = begun.again("--mode auto --epochs 3 --resume r").launch(Launch::Threads(3)).ok();
    assert_eq!(on.json_of("r")["mode"], "sendrecv");
}
