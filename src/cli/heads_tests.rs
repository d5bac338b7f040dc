//! A chain made by hand whose three heads say what is known, through `eval` and `predict`.

use super::super::args::{Command, parse};
use super::super::eval::eval;
use super::super::model_tests::Handmade;
use super::super::predict::predict;
use super::*;
use crate::nn::layers::{Dense, LayerKind};
use crate::nn::{Loss, Network, NodeSpec, OutputSpec, Shape, Spec};
use crate::run::model_file::ModelMeta;
use std::path::Path;

/// Two links that take no time, and one FLOP a second: the energy is that of computing.
const DEVICES: &str = "devices = [\"slow\", \"slow\", \"fast\"]\n\
    [profile.slow]\nflops_per_s = 1\nflops_source = \"toy\"\nmemory_mib = 1\nmemory_source = \"toy\"\n\
    [profile.slow.watts]\ncompute = 2\nidle = 1\nsend = 1\nreceive = 1\nsource = \"toy\"\n\
    [profile.fast]\nflops_per_s = 10\nflops_source = \"toy\"\nmemory_mib = 1\nmemory_source = \"toy\"\n\
    [profile.fast.watts]\ncompute = 5\nidle = 1\nsend = 1\nreceive = 1\nsource = \"toy\"\n\
    [link]\nmbit_per_s = \"inf\"\nlatency_ms = 0\nsource = \"toy\"\n";

/// Trunk: two layers that hand petal width on, and a last that tells it; heads: one that is always sure that a flower is
/// a Setosa, one that is sure of Setosas alone.
fn chain() -> Handmade {
    let dense = |name: &str, inputs, outputs, from: &str| NodeSpec {
        name: name.into(),
        layer: LayerKind::Dense(Dense { inputs, outputs }),
        inputs: vec![from.into()],
    };
    let nodes = vec![
        dense("fc1", 4, 1, "input"),
        dense("exit1", 1, 3, "fc1"),
        dense("fc2", 1, 1, "fc1"),
        dense("exit2", 1, 3, "fc2"),
        dense("fc3", 1, 3, "fc2"),
    ];
    let outputs = ["exit1", "exit2", "fc3"].map(|node| OutputSpec { node: node.into(), loss: Loss::CrossEntropy });
    let spec = Spec { name: "toy".into(), input: Shape::vector(4), nodes, outputs: outputs.to_vec() };
    let network = Network::build(spec).unwrap();
    let theta = [
        &[0.0, 0.0, 0.0, 1.0, 0.0][..],
        &[0.0, 0.0, 0.0, 2.0, 0.0, 0.0], // e² of e² + 2: 0.787 for a Setosa, whatever it is
        &[1.0, 0.0],
        &[-16.0, 0.0, 0.0, -8.0, 0.0, 0.0], // sure of small widths; of large ones the others share
        &[-8.0, 0.0, 8.0, -4.0, 0.0, -6.0],
    ]
    .concat();
    let petal = Handmade::by_petal_width();
    let meta = ModelMeta { network: serde_json::to_value(network.spec()).unwrap(), ..petal.meta };
    Handmade { network, theta, meta }
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        chain().save(root.path());
        std::fs::write(root.path().join("toy.toml"), DEVICES).unwrap();
        Self(root)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// What `eval RUN --part all` with these options prints; `@` is the folder.
    fn run(&self, line: &str) -> Result<String, Failure> {
        let line = line.replace('@', self.0.path().to_str().unwrap());
        let words = std::iter::once("goai-rs").chain(line.split_whitespace()).map(Into::into).collect();
        let mut out = Vec::new();
        match parse(words)? {
            Command::Eval(args) => eval(&args, &mut out)?,
            Command::Predict(args) => predict(&args, &mut out)?,
            other => panic!("{other:?}"),
        }
        Ok(String::from_utf8(out).unwrap())
    }

    fn json(&self, options: &str) -> Value {
        serde_json::from_str(&self.run(&format!("eval @ --part all --json {options}")).unwrap()).unwrap()
    }
}

fn figure(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn every_head_is_measured_and_the_last_is_the_model() {
    let place = Place::new();
    let all = place.json("");
    let heads = all["heads"].as_array().unwrap();
    let nodes: Vec<&Value> = heads.iter().map(|head| &head["node"]).collect();
    assert_eq!(nodes, ["exit1", "exit2", "fc3"]);
    let uniform = 1.0 / 3.0;
    assert!((figure(&heads[0]["accuracy"]) - uniform).abs() < 1e-12, "always Setosa: {all}");
    // -ln of 0.787 for a third of the rows, of 0.1065 for the others.
    let e = 2f64.exp();
    let loss = ((e + 2.0).ln() * 3.0 - 2.0) / 3.0;
    assert!((figure(&heads[0]["loss"]) - loss).abs() < 1e-6, "{all}");
    let lone = Place::new();
    Handmade::by_petal_width().save(lone.0.path());
    let one = lone.json("");
    assert!(one.get("heads").is_none() && one.get("exit_rule").is_none(), "{one}");
    for name in ["loss", "accuracy", "matrix", "per_class"] {
        assert_eq!(all[name], one[name], "the last head is the same network: {name}");
    }
    assert_eq!((&all["loss"], &all["accuracy"]), (&heads[2]["loss"], &heads[2]["accuracy"]));
    assert_eq!(
        (&all["exit_threshold"], &all["exit_sweep"], &heads[0]["rows"]),
        (&Value::Null, &Value::Null, &json!(150))
    );
    assert!(heads[2]["exit_share"].is_null() && heads[2]["modelled_latency_s"].is_null(), "{all}");
    let text = place.run("eval @ --part all").unwrap();
    let line = text.lines().find(|line| line.starts_with("0 ")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!((words[1], &words[3..]), ("exit1", &["33.3", "%", "50", "of", "150"][..]), "{text}");
    assert!(!text.contains("exits  ") && !text.contains("modelled") && text.contains("true \\ guess"), "{text}");
}

/// At 0.9 nobody leaves at the first head (0.787), all Setosas at the second (width -1.0 standardised and less), and no
/// other flower, for which that head gives the two others 1/2.
#[test]
fn samples_leave_where_a_head_is_sure() {
    let place = Place::new();
    let all = place.json("--exit-threshold 0.9");
    let shares = [0, 1, 2].map(|head| figure(&all["heads"][head]["exit_share"]));
    assert!(shares[0] == 0.0 && (shares[1] - 1.0 / 3.0).abs() < 0.02 && shares[2] > 0.6, "{all}");
    assert_eq!(all["exit_rule"], "confidence");
    assert_eq!(all["matrix"][0], json!([50, 0, 0]));
    let both = place.json("--exit-threshold 0.7");
    assert_eq!((&both["heads"][0]["exit_share"], &both["accuracy"]), (&json!(1.0), &both["heads"][0]["accuracy"]));
    assert!((figure(&both["loss"]) - figure(&both["heads"][0]["loss"])).abs() < 1e-9, "all leave at the first: {both}");
    assert_eq!(both["matrix"][1], json!([50, 0, 0]), "the guesses are those of the head");
    // One threshold a head but the last: the first is never sure enough.
    assert_eq!(place.json("--exit-threshold 0.8,0.9")["heads"], all["heads"]);
    let entropy = place.json("--exit-threshold 0 --exit-rule entropy");
    assert!(figure(&entropy["heads"][0]["exit_share"]) == 0.0, "{entropy}");
    let text = place.run("eval @ --part all --exit-threshold 0.8,0.9").unwrap();
    assert!(text.contains("\nexits     where the confidence is at least 0.8, 0.9\nloss "), "{text}");
    assert!(text.contains("right  left here\n"), "{text}");
}

#[test]
fn a_sweep_agrees_with_each_of_its_thresholds() {
    let place = Place::new();
    for (rule, count) in [("confidence", 10), ("entropy", 10)] {
        let all = place.json(&format!("--exit-sweep --exit-rule {rule}"));
        let rows = all["exit_sweep"].as_array().unwrap();
        assert_eq!(rows.len(), count);
        for row in rows {
            let one = place.json(&format!("--exit-rule {rule} --exit-threshold {}", row["threshold"]));
            assert!((figure(&one["accuracy"]) - figure(&row["accuracy"])).abs() < 1e-12, "{row} {one}");
            for head in 0..3 {
                assert_eq!(row["exit_shares"][head], one["heads"][head]["exit_share"], "{row}");
            }
        }
        let text = place.run(&format!("eval @ --part all --exit-sweep --exit-rule {rule}")).unwrap();
        assert!(text.contains(&format!("\n{rule} at every head\nthreshold  accuracy  left at 0")), "{text}");
    }
}

/// FLOP a sample: `fc1` and `exit1`, `fc2` and `exit2`, `fc3`, on 1, 1 and 10 FLOP/s at 2, 2 and 5 W; links take nothing.
#[test]
fn devices_add_what_a_lone_sample_takes() {
    let place = Place::new();
    let network = chain().network;
    let flops: Vec<f64> = network.nodes().iter().map(|node| node.cost.forward.0 as f64).collect();
    let stages = [flops[0] + flops[1], flops[2] + flops[3], flops[4] / 10.0];
    let latency = [stages[0], stages[0] + stages[1], stages[0] + stages[1] + stages[2]];
    let energy = [2.0 * stages[0], 2.0 * latency[1], 2.0 * latency[1] + 5.0 * stages[2]];
    let all = place.json("--exit-threshold 0.9 --exit-sweep --devices @/toy.toml");
    let mut expected = [0.0, 0.0];
    for head in 0..3 {
        let share = figure(&all["heads"][head]["exit_share"]);
        for (sum, (name, of)) in
            expected.iter_mut().zip([("modelled_latency_s", latency), ("modelled_energy_j", energy)])
        {
            assert!((figure(&all["heads"][head][name]) - of[head]).abs() < 1e-9, "{name} {head}: {all}");
            *sum += share * of[head];
        }
    }
    // E[T] = Σ exitᵢ · time to i, of the thresholds given and of the sweep's row with the same threshold.
    let row = all["exit_sweep"].as_array().unwrap().iter().find(|row| row["threshold"] == 0.9).unwrap();
    for of in [&all, row] {
        assert!((figure(&of["modelled_latency_s"]) - expected[0]).abs() < 1e-9, "{of}");
        assert!((figure(&of["modelled_energy_j"]) - expected[1]).abs() < 1e-9, "{of}");
    }
    let text = place.run("eval @ --part all --exit-sweep --devices @/toy.toml").unwrap();
    assert_eq!(text.matches("modelled time  modelled energy\n").count(), 2, "{text}");
    assert!(text.contains("for a sample alone on the devices of "), "{text}");
}

#[test]
fn predictions_are_those_of_the_head_where_a_row_leaves() {
    let place = Place::new();
    let rows = "sepal.length,sepal.width,petal.length,petal.width\n5,3,1,0.2\n6,3,5,2.4\n";
    std::fs::write(place.path("a.csv"), rows).unwrap();
    let csv = |options: &str| place.run(&format!("predict @ @/a.csv --format csv {options}")).unwrap();
    assert!(csv("").starts_with("file,row,label,probability,p_Setosa"));
    let early = csv("--exit-threshold 0.8,0.9");
    let lines: Vec<Vec<&str>> = early.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(lines[0][1..6], ["row", "label", "probability", "exit", "p_Setosa"]);
    assert_eq!(lines[1][1..3].iter().chain(&lines[1][4..5]).collect::<Vec<_>>(), [&"1", &"Setosa", &"1"]);
    assert_eq!(lines[2][1..3].iter().chain(&lines[2][4..5]).collect::<Vec<_>>(), [&"2", &"Virginica", &"2"]);
    assert!(lines[1][3].parse::<f32>().unwrap() > 0.9);
    let all = csv("--exit-threshold 0.7");
    assert!(all.lines().skip(1).all(|line| line.contains(",Setosa,0.78") && line.contains(",0,0.78")), "{all}");
    let lines = place.run("predict @ @/a.csv --format jsonl --exit-threshold 0.7").unwrap();
    let line: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!((&line["exit"], &line["label"]), (&json!(0), &json!("Setosa")));
    let lines = place.run("predict @ @/a.csv --format jsonl").unwrap();
    assert!(!lines.contains("exit"), "{lines}");
    let text = place.run("predict @ @/a.csv --exit-threshold 0.7").unwrap();
    assert!(text.lines().next().unwrap().ends_with("probability  exit") && text.trim_end().ends_with("   0"), "{text}");
}

#[test]
fn what_does_not_fit_is_one_line() {
    let place = Place::new();
    std::fs::write(place.path("two.toml"), DEVICES.replace("\"slow\", \"slow\"", "\"slow\"")).unwrap();
    std::fs::write(place.path("bad.toml"), "devices = 3\n").unwrap();
    let table = DEVICES.to_owned()
        + "[profile.fast.measured.toy]\nbatch = 1\nforward = [1, 2]\nbackward = [1, 2]\nsource = \"toy\"\n";
    std::fs::write(place.path("blocks.toml"), table).unwrap();
    for (line, code, part) in [
        ("eval @ --exit-threshold 0.5,0.6,0.7", 2, "3 thresholds for 3 heads; write one, or 2"),
        ("predict @ @/a.csv --exit-threshold 0.5,0.6,0.7", 2, "3 thresholds for 3 heads"),
        ("eval @ --exit-threshold 1.01", 2, "--exit-threshold: 1.01 has 1.01, which is above 1"),
        ("predict @ @/a.csv --exit-threshold -0.5", 2, "which is negative"),
        ("eval @ --exit-threshold x", 2, "not a number"),
        ("eval @ --exit-rule entropie", 2, "did you mean entropy?"),
        ("eval @ --exit-rule entropy", 2, "add --exit-threshold"),
        ("predict @ @/a.csv --exit-rule entropy", 2, "add --exit-threshold"),
        ("eval @ --devices @/two.toml", 4, "two.toml: 2 devices for 3 heads of this model; list 3 devices"),
        ("eval @ --devices @/bad.toml", 4, "bad.toml:1: "),
        ("eval @ --devices @/none.toml", 4, "none.toml: cannot read this device file"),
        ("eval @ --devices @/blocks.toml", 4, "fast was measured on 2 blocks of toy, which has 3"),
    ] {
        let failure = place.run(line).unwrap_err();
        assert!(failure.code == code && failure.message.contains(part), "{line}: {} {failure}", failure.code);
        assert!(!failure.message.contains('\n'), "{failure}");
    }
    Handmade::by_petal_width().save(Path::new(&place.path("")));
    for line in ["eval @ --exit-threshold 0.5", "eval @ --exit-sweep", "predict @ @/a.csv --exit-threshold 0.5"] {
        let failure = place.run(line).unwrap_err();
        assert!(failure.code == 2 && failure.message.contains("one output and no exit heads"), "{line}: {failure}");
    }
    let mut turned = chain();
    turned.network = {
        let mut spec = turned.network.spec().clone();
        spec.outputs.swap(0, 1);
        Network::build(spec).unwrap()
    };
    turned.meta.network = serde_json::to_value(turned.network.spec()).unwrap();
    turned.save(Path::new(&place.path("")));
    let failure = place.run("eval @ --devices @/toy.toml").unwrap_err();
    assert!(failure.code == 4 && failure.message.contains("not one behind the other"), "{failure}");
}
