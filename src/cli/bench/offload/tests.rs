//! Through the command line: tables, JSON, charts, and what is refused.

use super::*;
use crate::cli::args::{BenchSub, Command, parse};
use serde_json::Value;
use std::ffi::OsString;

fn run(line: &str) -> Result<String, Failure> {
    let words = ["goai-rs", "bench", "offload"].into_iter().chain(line.split_whitespace()).map(OsString::from);
    let Ok(Command::Bench(BenchSub::Offload(args))) = parse(words.collect()) else { panic!("{line:?}") };
    let mut out = Vec::new();
    bench(&args, &mut out).map(|()| String::from_utf8(out).unwrap())
}

const SMALL: &str =
    "--graphs vgg5,iris_mlp --policies local,edge,cloud,random,heft,cpop,peft,chain,min-cut,auto --plan-time 0.2";

#[test]
fn every_policy_has_a_row_on_every_graph() {
    let json: Value =
        serde_json::from_str(&run(&format!("{SMALL} --requests 3 --deadline 100 --json")).unwrap()).unwrap();
    let graphs = json["graphs"].as_array().unwrap();
    assert_eq!(graphs.len(), 2);
    for graph in graphs {
        let rows = graph["policies"].as_array().unwrap();
        assert_eq!(rows.len(), 10);
        assert_eq!(rows[9]["policy"], "auto");
        let mean = |row: &Value| row["mean_s"].as_f64().unwrap();
        assert!(rows.iter().all(|row| mean(row) >= mean(&rows[9]) * (1.0 - 1e-9)), "auto is the best: {graph}");
        for row in rows {
            let share = |name: &str| row[name].as_f64().unwrap();
            let shares = share("execution_share") + share("transfer_share") + share("waiting_share");
            assert!((shares - 1.0).abs() < 1e-9 && row["requests"] == 3 && row["missed"] == 0, "{row}");
            assert!(row["energy_j"].as_f64().unwrap() > 0.0 && share("max_s") >= share("p95_s"));
        }
        assert_eq!(rows[0]["price"], 0.0, "the device computes for nothing");
        assert!(rows[1]["price"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn tables_are_told_and_charts_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("charts");
    let text =
        run(&format!("{SMALL} --requests 4 --arrivals periodic:0.001 --sources 0,1 --out {}", out.display())).unwrap();
    assert!(text.starts_with("4 requests (periodic:0.001) from rank 0,1 on mec.toml: 0 raspberry_pi"), "{text}");
    for part in ["\nvgg5: ", "\niris_mlp: ", "\nheft ", "\nauto ", "nothing ran", "20 charts"] {
        assert!(text.contains(part), "{part:?}: {text}");
    }
    for name in ["vgg5_heft", "iris_mlp_auto"] {
        let chart = std::fs::read_to_string(out.join(format!("{name}.svg"))).unwrap();
        let document = roxmltree::Document::parse(&chart).unwrap();
        assert!(document.descendants().any(|node| node.attribute("class") == Some("task")));
        let trace: Value =
            serde_json::from_str(&std::fs::read_to_string(out.join(format!("{name}.trace.json"))).unwrap()).unwrap();
        let tasks = trace["traceEvents"].as_array().unwrap().iter().filter(|event| event["ph"] == "X").count();
        assert!(tasks > 0 && tasks.is_multiple_of(4), "{tasks}");
    }
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 40);
}

#[test]
fn the_published_planners_are_never_earlier_than_ours() {
    let line = "--cost-model mec --graphs openface --width 0.25 --budgets 1,0.5";
    let json: Value = serde_json::from_str(&run(&format!("{line} --json")).unwrap()).unwrap();
    let rows = json.as_array().unwrap();
    assert_eq!(rows.len(), 2 * 5);
    assert_eq!((&rows[0]["method"], &rows[0]["budget_of_cloud"]), (&Value::from("sep"), &Value::from(0.5)));
    let gains = rows.iter().filter_map(|row| row["ours_earlier_percent"].as_f64());
    assert!(gains.clone().count() >= 4 && gains.clone().all(|gain| gain > -1e-6), "{json}");
    let text = run(line).unwrap();
    assert!(
        text.contains("\nopenface_x0.25, budgets in parts") && text.contains("\n50 %") && text.contains("never later"),
        "{text}"
    );
}

#[test]
fn what_cannot_be_is_told_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("two.toml");
    let two = include_str!("../../../../devices/edge_cloud.toml");
    std::fs::write(&file, two).unwrap();
    let two = file.to_str().unwrap();
    for (line, code, expected) in [
        ("--graphs vgg61".to_owned(), 2, "--graphs: "),
        ("--policies heftt".to_owned(), 2, "--policies: no policy is named 'heftt': choose one of local, edge"),
        ("--requests 0".to_owned(), 2, "--requests: requests = 0 is zero"),
        ("--arrivals never".to_owned(), 2, "--arrivals: arrivals = never is no law"),
        ("--arrivals trace:no.csv".to_owned(), 4, "no.csv: cannot be read"),
        ("--width -1".to_owned(), 2, "--width: width = -1 is negative"),
        ("--graphs vgg5 --width 0.5".to_owned(), 2, "--graphs: "),
        ("--sources 6 --graphs vgg5".to_owned(), 2, "--sources: there is no rank 6 among the 6 of mec"),
        ("--devices nowhere".to_owned(), 4, "nowhere: cannot read"),
        (format!("--graphs vgg5 --devices {two} --policies edge"), 3, "tier"),
        ("--graphs vgg5 --policies auto --deadline 1e-9".to_owned(), 3, "the smallest that works is"),
        (format!("--graphs iris_mlp --policies local --out {two}"), 4, "cannot make the folder"),
    ] {
        let failure = run(&line).unwrap_err();
        assert_eq!(failure.code, code, "{line}: {failure}");
        assert!(failure.message.contains(expected) && !failure.message.contains('\n'), "{line}: {failure}");
    }
}
