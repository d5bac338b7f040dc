//! `goai-rs bench`: `compute` is what each step of a network reaches of this core's multiply-add peak, `comm` what the
//! ranks reach between them, `split` what splitting a network between devices and a server brings.

pub mod comm;
mod measure;
mod split;

use super::args::{BenchSub, ComputeArgs};
use super::failure::{DATA, Failure};
use super::printed::printed;
use super::usage::UsageError;
use crate::nn::model_text::{self, ModelTextError};
use crate::nn::{Network, Shape, Spec, zoo};
use crate::report::text::{count, short, table};
use crate::run::error::show;
use measure::{Figures, Row};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

/// Measures this machine, or compares ways to split.
///
/// # Errors
/// Exit code 2 for a network that has no name here, 4 for a model file that cannot be used.
pub fn bench(what: &BenchSub, out: &mut dyn Write) -> Result<(), Failure> {
    match what {
        BenchSub::Compute(args) => compute(args, out),
        // It has ranks of its own: `main` has started them.
        BenchSub::Comm(_) => Ok(()),
        BenchSub::Split(args) => split::bench(args, &Network::build(spec(&args.model)?)?, out),
    }
}

fn compute(args: &ComputeArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let network = Network::build(spec(&args.model)?)?;
    let figures = measure::measure(&network, args.batch as usize, args.threads as usize)
        .map_err(|why| Failure::new(2, format!("--threads: {} cannot be started: {why}", args.threads)))?;
    let text = match args.json {
        true => serde_json::to_string_pretty(&figures).expect("figures are JSON") + "\n",
        false => told(&figures),
    };
    printed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// The shape of the samples, and the classes, that a network is meant for; those of photographs for a file.
fn meant_for(model: &str) -> (Shape, usize) {
    let named = zoo::default_input(model).zip(zoo::default_classes(model));
    named.unwrap_or_else(|| (Shape::image(3, 150, 150), 6))
}

fn spec(name: &str) -> Result<Spec, Failure> {
    let (input, classes) = meant_for(name);
    if !name.to_ascii_lowercase().ends_with(".toml") {
        return zoo::by_name(name, &input, classes)
            .map_err(|error| UsageError::new(format!("--model: {error}")).into());
    }
    let path = Path::new(name);
    let text = read(path).map_err(|why| Failure::new(DATA, format!("{}: {why}", show(path))))?;
    // The file says what it reads; where it does not, pictures of 150x150.
    let own =
        text.parse::<toml::Table>().ok().and_then(|table| table.get("input")?.clone().try_into::<Vec<usize>>().ok());
    let input = own.map_or(input, Shape);
    model_text::parse(&text, &input, classes).map_err(|error| {
        let ModelTextError { line, what, cure, .. } = error;
        Failure::new(DATA, format!("{}:{line}: {what}; {cure}", show(path)))
    })
}

/// A model file's text; longer than this none is.
fn read(path: &Path) -> Result<String, String> {
    const MOST: u64 = 1 << 20;
    let cannot = |why: std::io::Error| format!("cannot be read: {why}; give the path of a model file");
    if !std::fs::metadata(path).map_err(cannot)?.is_file() {
        return Err("is no regular file; give the path of a model file".to_owned());
    }
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(MOST).read_to_string(&mut text)).map_err(cannot)?;
    Ok(text)
}

fn told(figures: &Figures) -> String {
    let Figures { model, batch, instruction_set, threads, peak_gflops, .. } = figures;
    let head = ["step", "direction", "µs/sample", "GFLOP/s", "of peak"].map(str::to_owned).to_vec();
    let cells = |row: &Row| {
        let figure = |value: Option<f64>, digits| value.map_or(String::new(), |value| format!("{value:.digits$}"));
        let share = row.share_of_peak.map(|share| share * 100.0);
        let share = share.map_or(String::new(), |share| format!("{share:.0} %"));
        vec![
            row.step.clone(),
            row.direction.to_owned(),
            format!("{:.1}", row.us_per_sample),
            figure(row.gflops, 1),
            share,
        ]
    };
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(figures.rows.iter().map(cells)).collect();
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    format!(
        "{model}, batch {batch}, kernels {instruction_set}, one core: multiply-add peak {peak_gflops:.1} GFLOP/s\n\
         {}\
         a training step on {}: {:.3} ms, {} samples/s (forward, loss, backward; no loading, no update)\n\
         memory: {:.1} MiB to work in, {:.1} MiB each for weights, gradient and what the optimizer keeps\n\
         measured, medians of {} rounds on random pictures, each step in turn with the peak; GFLOP/s count the direct form\n\
         with the odd rows and columns that pooling drops; a backward pass that leaves out zeros, as behind ReLU and max-pooling,\n\
         may show more than the peak\n{}",
        table(&lines),
        count(*threads, "thread"),
        figures.step_ms,
        short(figures.samples_per_s),
        mib(figures.workspace_bytes),
        mib(figures.parameter_bytes),
        figures.rounds,
        if cfg!(debug_assertions) {
            "this is a debug build, several times slower: make, or cargo build --release\n"
        } else {
            ""
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Command, parse};
    use std::ffi::OsString;

    fn run(line: &[&str]) -> Result<String, Failure> {
        let words = ["goai-rs", "bench", "compute"].iter().chain(line).map(OsString::from);
        let Ok(Command::Bench(what)) = parse(words.collect()) else { panic!("{line:?}") };
        let mut out = Vec::new();
        bench(&what, &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn every_step_and_direction_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("net.toml");
        let conv = "[[layer]]\nkind = \"conv2d\"\noutputs = 16\nkernel = 3\npadding = 1\n";
        let layers = format!("{conv}[[layer]]\nkind = \"relu\"\n{conv}[[layer]]\nkind = \"dense\"\n");
        std::fs::write(&file, format!("name = \"small\"\ninput = [3, 12, 12]\n{layers}")).unwrap();
        let line = ["--model", file.to_str().unwrap(), "--batch", "3", "--threads", "2"];
        let text = run(&line).unwrap();
        assert!(text.starts_with("small, batch 3, kernels ") && text.contains("on 2 threads: "), "{text}");
        let json = run(&[&line[..], &["--json"]].concat()).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let rows: Vec<String> = json["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| format!("{} {}", row["step"], row["direction"]))
            .collect();
        for expected in [
            "\"conv1 + relu1\" \"forward\"",
            "\"conv1 + relu1\" \"grad params\"",
            "\"conv2\" \"grad params\"",
            "\"conv2\" \"grad input\"",
            "\"fc1\" \"grad input\"",
        ] {
            assert!(rows.iter().any(|row| row == expected), "{expected}: {rows:?}");
        }
        assert!(!rows.iter().any(|row| row == "\"conv1 + relu1\" \"grad input\""));
        let positive = |value: &serde_json::Value| value.as_f64().is_some_and(|value| value > 0.0);
        assert!(["peak_gflops", "step_ms", "samples_per_s", "workspace_bytes"].iter().all(|key| positive(&json[key])));
        assert!(positive(&json["rows"][0]["gflops"]) && positive(&json["rows"][0]["share_of_peak"]), "{json}");
    }

    #[test]
    fn a_network_that_is_none_is_told_in_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let bad = dir.path().join("bad.toml");
        std::fs::write(&bad, "[[layer]]\nkind = \"densse\"\n").unwrap();
        let gone = dir.path().join("gone.toml");
        for (name, code, expected) in [
            ("img_cn", 2, "did you mean img_cnn?"),
            (bad.to_str().unwrap(), 4, "bad.toml:2: "),
            (gone.to_str().unwrap(), 4, "gone.toml: cannot be read"),
            (dir.path().join(".toml").to_str().unwrap(), 4, ".toml: cannot be read"),
        ] {
            let failure = run(&["--model", name]).unwrap_err();
            assert_eq!(failure.code, code, "{failure}");
            assert!(failure.message.contains(expected) && !failure.message.contains('\n'), "{failure}");
        }
    }
}
