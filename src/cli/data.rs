//! `goai-rs data inspect` and `goai-rs data synth`: what a data set holds, and a small one to begin with.

use super::args::{DataSub, InspectArgs, SynthArgs};
use super::failure::Failure;
use super::printed::printed;
use super::usage::UsageError;
use crate::config::suggest::{did_you_mean, suggest};
use crate::data::inspect::{Inspection, inspect, inspect_folder};
use crate::data::pictures::folder;
use crate::data::sets::npy;
use crate::data::synth::{Report, synth};
use crate::report::text::{quoted, with_unit};
use std::io::Write;
use std::path::Path;

/// The names that data sets have, and the two other ways to write `img`.
const NAMES: [&str; 6] = ["iris", "img", "intel", "images", "cifar10", "mnist"];

/// The size of the photographs of `img`, whatever size they are stored in.
const IMG_SIZE: [usize; 2] = [150, 150];

/// Looks at a data set, or makes one.
///
/// # Errors
/// Exit code 2 for a name that is none, 4 for data that are missing or bad and for a folder that cannot be written.
pub fn data(what: &DataSub, out: &mut dyn Write) -> Result<(), Failure> {
    match what {
        DataSub::Inspect(args) => {
            let seen = look(args)?;
            let text = match args.json {
                true => serde_json::to_string_pretty(&seen).expect("counts are JSON") + "\n",
                false => seen.to_string(),
            };
            printed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
        }
        DataSub::Synth(args) => {
            let report = synth(args.dataset, &args.out, args.seed, args.per_class)?;
            printed(out.write_all(told(args, &report).as_bytes()).and_then(|()| out.flush()))
        }
    }
}

fn look(args: &InspectArgs) -> Result<Inspection, Failure> {
    let name = args.dataset.as_str();
    let label = args.label.as_deref();
    let ends = |ending: &str| name.to_ascii_lowercase().ends_with(ending);
    match name {
        "img" | "intel" | "images" => Ok(inspect_folder(&folder::find("img", &args.data_dir)?, Some(IMG_SIZE))?),
        _ if NAMES.contains(&name) || ends(".csv") || ends(".npy") => Ok(inspect(name, &args.data_dir, label)?),
        _ => {
            let below = args.data_dir.join(name);
            let path = if !Path::new(name).exists() && below.exists() { below } else { name.into() };
            if !path.exists() && !name.contains('/') {
                return Err(no_data_set(name).into());
            }
            match npy::holds_pairs(&path)? {
                true => Ok(inspect(&path.to_string_lossy(), &args.data_dir, label)?),
                false => Ok(inspect_folder(&folder::open(&path)?, None)?),
            }
        }
    }
}

fn no_data_set(name: &str) -> UsageError {
    UsageError::new(format!(
        "--dataset: {} is no data set; use iris, img, cifar10, mnist, FILE.csv, FILE.npy or a folder{}",
        name.escape_debug(),
        did_you_mean(suggest(name, NAMES))
    ))
}

/// What was written, what it is worth, and what to do with it.
fn told(args: &SynthArgs, report: &Report) -> String {
    let Report { folder, train, test, classes, files, bytes } = report;
    let (name, dir) = (args.dataset.name(), quoted(&folder.display().to_string()));
    let model = if name == "img" { " --model img_cnn" } else { "" };
    format!(
        "wrote {dir}: {train} synthetic pictures to train and {test} to test on, {classes} classes, {files} files, {}\n\
         not the real {name}: textures drawn by a program, in its layout; an accuracy on them says nothing about the real set\n\
         next: ./goai-rs --single {name} --data-dir {dir}{model} --epochs 5\n",
        with_unit(*bytes as f64, "B")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Command, parse};
    use std::ffi::OsString;

    fn run(line: &[&str]) -> Result<String, Failure> {
        let words = ["goai-rs", "data"].iter().chain(line).map(OsString::from);
        let Ok(Command::Data(what)) = parse(words.collect()) else { panic!("{line:?}") };
        let mut out = Vec::new();
        data(&what, &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn what_is_made_can_be_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        for (name, total, shape) in [("img", 18, 150), ("cifar10", 30, 32), ("mnist", 30, 28)] {
            let out = dir.path().join(name).join("new");
            let out = out.to_str().unwrap();
            let said = run(&["synth", "--dataset", name, "--out", out, "--per-class", "2/1"]).unwrap();
            assert!(
                said.contains("synthetic") && said.contains(&format!("--single {name} --data-dir {out}")),
                "{said}"
            );
            let seen = run(&["inspect", "--dataset", name, "--data-dir", out, "--json"]).unwrap();
            let seen: serde_json::Value = serde_json::from_str(&seen).unwrap();
            let count = seen["train"].as_u64().unwrap() + seen["test"].as_u64().unwrap();
            assert_eq!((count, &seen["shape"][1], &seen["odd"]), (total, &shape.into(), &serde_json::json!([])));
            let again = run(&["synth", "--dataset", name, "--out", out]).unwrap_err();
            assert!(again.code == 4 && again.message.contains("name a new one with --out"), "{again}");
        }
        let folder = dir.path().join("img/new/seg_train/seg_train");
        let seen = run(&["inspect", "--dataset", folder.to_str().unwrap()]).unwrap();
        assert!(seen.contains("12 pictures, read as 150x150") && seen.contains("no test set of its own"), "{seen}");
    }

    #[test]
    fn what_is_not_there_is_told_in_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().to_str().unwrap();
        for (name, code, expected) in [
            ("irsi", 2, "did you mean iris?"),
            ("weather", 2, "is no data set; use iris, img"),
            ("img", 4, "no pictures found; tried"),
            ("cifar10", 4, "CIFAR-10 not found"),
            ("mnist", 4, "MNIST not found"),
            ("x.csv", 4, "data file not found"),
            ("./nowhere", 4, "no pictures found; tried ./nowhere"),
        ] {
            let failure = run(&["inspect", "--dataset", name, "--data-dir", dir]).unwrap_err();
            assert_eq!(failure.code, code, "{failure}");
            assert!(failure.message.contains(expected) && !failure.message.contains('\n'), "{failure}");
        }
    }
}
