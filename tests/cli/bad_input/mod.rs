//! What users get wrong: one table, and for each row one line that says what, where, why and the cure.

mod commands;
mod configuration;
mod directory;
mod grid;
mod launchers;
mod odd_pictures;
mod offload;
mod pictures;
mod pipelines;
mod plan;
mod splits;
mod tables;

use crate::run::{Launch, Outcome, Run};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

/// The longest that a refusal may take, on a loaded machine.
const LONGEST: Duration = Duration::from_secs(20);

/// One mistake and what has to come of it.
struct Case {
    name: String,
    run: Run,
    launch: Launch,
    code: i32,
    /// Fragments of the error's line.
    parts: Vec<String>,
    leaves: Leaves,
    /// Lines on stderr, where there is no launcher to add its own.
    lines: usize,
}

/// What the run leaves in its working directory.
#[derive(Clone, Copy, PartialEq)]
enum Leaves {
    /// Exactly what was there before.
    Nothing,
    /// A run directory below `runs` with this state: training had begun.
    Run(&'static str),
}

/// A mistake made on one rank without MPI; [`Case::on`] moves it elsewhere.
fn case(name: &str, run: Run, code: i32, parts: &[&str]) -> Case {
    let parts = parts.iter().map(|part| part.to_string()).collect();
    Case { name: name.into(), run, launch: Launch::Solo, code, parts, leaves: Leaves::Nothing, lines: 1 }
}

impl Case {
    fn on(mut self, launch: Launch) -> Self {
        self.launch = launch;
        self
    }

    fn leaves(mut self, leaves: Leaves) -> Self {
        self.leaves = leaves;
        self
    }

    /// The error's line stands below notes: so many lines in all.
    fn tells(mut self, lines: usize) -> Self {
        self.lines = lines;
        self
    }

    /// Runs it; the list of what is wrong with the outcome is empty for a good refusal.
    fn check(self) -> Vec<String> {
        if !self.launch.possible() {
            return Vec::new();
        }
        let before = listing(&self.run.path("."));
        let mut wrong = Vec::new();
        let outcome = self.run.launch(self.launch);
        if outcome.code != self.code {
            wrong.push(format!("exit code {}, not {}", outcome.code, self.code));
        }
        wrong.extend(one_line(&outcome, self.launch, self.lines, &self.parts));
        let after = listing(&outcome.path("."));
        match self.leaves {
            Leaves::Nothing if after != before => {
                let new: Vec<_> = after.keys().filter(|path| !before.contains_key(*path)).collect();
                wrong.push(format!("leaves {new:?}, or changed a file"));
            }
            Leaves::Run(state) if outcome.json()["state"] != state => {
                wrong.push(format!("the state is {}, not {state}", outcome.json()["state"]));
            }
            _ => {}
        }
        if outcome.took > LONGEST {
            wrong.push(format!("took {:?}", outcome.took));
        }
        wrong.iter().map(|what| format!("{} on {:?}: {what}\n{}", self.name, self.launch, outcome.stderr)).collect()
    }
}

/// What is wrong with the error's line.
fn one_line(outcome: &Outcome, launch: Launch, lines: usize, parts: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    let errors = outcome.errors();
    let [line] = errors[..] else {
        return vec![format!("{} lines begin with error:", errors.len())];
    };
    // mpirun adds lines of its own about the exit code.
    if !matches!(launch, Launch::Mpi(_)) && outcome.stderr.lines().count() != lines {
        wrong.push("there is more on stderr than the error's line".into());
    }
    for part in parts.iter().filter(|part| !line.contains(part.as_str())) {
        wrong.push(format!("{part:?} is not in the line"));
    }
    for text in ["panicked", "RUST_BACKTRACE", "unwrap()", "MPI_FINALIZE", "Segmentation fault"] {
        if outcome.stderr.contains(text) || outcome.stdout.contains(text) {
            wrong.push(format!("{text:?} is shown"));
        }
    }
    if line.chars().any(char::is_control) || line.len() > 900 {
        wrong.push("the line is long or holds control characters".into());
    }
    wrong
}

/// Every file below a folder with its bytes, every other thing with none.
fn listing(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries.flatten() {
        let path = entry.path();
        let kind = entry.file_type().expect("an entry has a type");
        let bytes = if kind.is_file() { fs::read(&path).unwrap_or_default() } else { Vec::new() };
        if kind.is_dir() {
            found.extend(listing(&path));
        }
        found.insert(path.display().to_string(), bytes);
    }
    found
}

/// Runs cases on a few threads and fails with all that went wrong.
fn check_all(cases: Vec<Case>) {
    let queue = Mutex::new(cases.into_iter());
    let wrong = Mutex::new(Vec::new());
    let next = || queue.lock().expect("no case panics with the queue").next();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some(case) = next() {
                    let found = case.check();
                    wrong.lock().expect("no case panics with the list").extend(found);
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("all threads are done");
    assert!(wrong.is_empty(), "{} faults:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_mistake_gets_one_line_and_its_exit_code() {
    let mut cases = configuration::cases();
    cases.extend(tables::cases());
    cases.extend(launchers::cases());
    cases.extend(directory::cases());
    cases.extend(commands::cases());
    let mut names: Vec<String> = cases.iter().map(|case| format!("{} on {:?}", case.name, case.launch)).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), cases.len(), "names are unique");
    assert!(cases.len() >= 150, "only {} cases", cases.len());
    check_all(cases);
}

#[test]
fn mistakes_with_pictures_do_so_too() {
    let mut cases = pictures::cases();
    cases.extend(odd_pictures::cases());
    check_all(cases);
}

#[test]
fn mistakes_with_grids_do_so_too() {
    check_all(grid::cases());
}

#[test]
fn mistakes_with_splits_do_so_too() {
    check_all(splits::cases());
    check_all(offload::cases());
}

#[test]
fn mistakes_with_plans_do_so_too() {
    check_all(plan::cases());
}

#[test]
fn mistakes_with_pipelines_do_so_too() {
    let cases = pipelines::cases();
    assert!(cases.len() >= 80, "only {} cases", cases.len());
    check_all(cases);
}
