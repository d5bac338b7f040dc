//! run.json: what the run was, where it ran, how it ended.
//!
//! Launchers lie about exit codes, so this file alone proves success: it says `running` from the
//! start and is replaced, last of all, by the state in which the run ended.

use super::directory::RunDir;
use super::error::{RunError, one_line};
use crate::event::StageRecord;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

/// How far a run has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It trains, or it was killed in a way that left it no time to say so.
    #[default]
    Running,
    /// It did all that was asked.
    Complete,
    /// A signal stopped it after a checkpoint: resume it.
    Checkpointed,
    /// The loss or a weight became NaN or infinite.
    Diverged,
    /// Anything else went wrong.
    Failed,
}

impl State {
    /// The state that belongs to an exit code.
    pub fn of_exit(code: i32) -> Self {
        match code {
            0 => Self::Complete,
            6 => Self::Diverged,
            75 => Self::Checkpointed,
            _ => Self::Failed,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Checkpointed => "checkpointed",
            Self::Diverged => "diverged",
            Self::Failed => "failed",
        })
    }
}

/// Where one rank ran.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The rank.
    pub rank: usize,
    /// Its host's name.
    pub host: String,
    /// Its process; ranks that are threads share one.
    pub pid: u32,
    /// The cores it may run on, as the kernel lists them: `0-3,8`.
    pub cores: String,
    /// Threads it computes with.
    pub threads: usize,
}

/// The figures of a finished training. What was not measured, or is not a finite number, is null.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Final {
    /// Mean training loss of the last epoch.
    pub train_loss: Option<f64>,
    /// Accuracy on the validation part.
    pub val_acc: Option<f64>,
    /// Accuracy on the test part.
    pub test_acc: Option<f64>,
    /// Samples in the test part.
    pub test_size: usize,
    /// Samples trained / time of the training loops.
    pub samples_per_s: Option<f64>,
    /// Seconds from start to end of the run, everything included.
    pub elapsed_s: Option<f64>,
    /// (communication + waiting) / (computation + communication + waiting), over all ranks.
    pub comm_share: Option<f64>,
    /// Joules of all nodes, measured.
    pub energy_j: Option<f64>,
    /// Hash of the weights, 16 hexadecimal digits: see [`hex_hash`].
    pub weights_hash: String,
    /// Seconds on emulated machines, modelled: training and measuring of all epochs.
    pub modelled_s: Option<f64>,
    /// Joules of all emulated machines in that time, modelled.
    pub modelled_energy_j: Option<f64>,
    /// What the stages of a pipeline did in the last epoch; empty in other modes.
    #[serde(default)]
    pub stages: Vec<StageRecord>,
}

/// The outcome of a cross-validation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cv {
    /// Mean accuracy over all folds of all repeats.
    pub mean: f64,
    /// Standard deviation of those accuracies.
    pub sd: f64,
    /// Folds of one repeat.
    pub folds: usize,
    /// Repeats, each with folds of its own.
    pub repeats: usize,
}

/// What requests came to: measured, or modelled where ranks emulate machines.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RequestFigures {
    /// The requests.
    pub requests: usize,
    /// From arrival to answer: the mean over all.
    pub mean_s: f64,
    /// What 95 % of them do not exceed.
    pub p95_s: f64,
    /// The longest.
    pub max_s: f64,
    /// From the first arrival to the last answer.
    pub makespan_s: f64,
    /// Answers a second of that.
    pub throughput_per_s: f64,
    /// Of all ranks; none where nobody counts.
    pub energy_j: Option<f64>,
    /// For the computing of all; none where nobody counts.
    pub price: Option<f64>,
    /// Requests that took longer than they may; none without a deadline.
    pub missed: Option<usize>,
    /// Share of the ranks' time, of those that did anything, in which they computed.
    pub busy_share: f64,
    /// Share of all requests' time on their critical paths that was computing.
    pub execution_share: f64,
    /// The same of messages under way.
    pub transfer_share: f64,
    /// The same of waiting.
    pub waiting_share: f64,
}

/// What came of mode offload.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OffloadFigures {
    /// Whether seconds, joules and prices are modelled.
    pub modelled: bool,
    /// Requests that were answered.
    pub answered: usize,
    /// Their figures.
    #[serde(flatten)]
    pub figures: RequestFigures,
    /// Ranks that were lost.
    pub lost: Vec<usize>,
    /// Requests that were planned anew because of that.
    pub replanned: usize,
    /// Seconds from start to end of the run, measured.
    pub elapsed_s: f64,
}

/// All of run.json.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunJson {
    /// What `eval` has to be given to measure what the run measured; said at the end, not written down.
    #[serde(skip)]
    pub eval_options: String,
    /// How far it has come.
    pub state: State,
    /// The exit code, once there is one.
    pub exit_code: Option<i32>,
    /// The error's one line, if it ended with one.
    pub error: Option<String>,
    /// The command line.
    pub argv: Vec<String>,
    /// Version of goai-rs.
    pub version: String,
    /// The MPI library, absent where the ranks are threads.
    pub mpi: Option<String>,
    /// The training mode.
    pub mode: String,
    /// The data set.
    pub dataset: String,
    /// The network.
    pub model: String,
    /// Its number of parameters.
    pub parameters: usize,
    /// Ranks.
    pub ranks: usize,
    /// Where each of them ran.
    pub placement: Vec<Placement>,
    /// The seed.
    pub seed: u64,
    /// When it started: RFC 3339, UTC.
    pub started: String,
    /// When it ended.
    pub ended: Option<String>,
    /// The figures of the finished training.
    #[serde(rename = "final")]
    pub final_figures: Option<Final>,
    /// The outcome of a cross-validation.
    pub cv: Option<Cv>,
    /// What came of requests, in mode offload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offload: Option<OffloadFigures>,
    /// From which checkpoints it went on; the times and rates in `final` are those of the last of these jobs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resumed: Vec<Resumed>,
    /// What goes on with it, said at the end, not written down.
    #[serde(skip)]
    pub resume_command: Option<String>,
}

/// A job that went on with a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// The checkpoint's file.
    pub from: String,
    /// Its step.
    pub step: u64,
    /// When the job started: RFC 3339, UTC.
    pub time: String,
}

impl RunJson {
    /// Enters how the run ended, and when (now). [`RunJson::write`] makes it true.
    pub fn finish(&mut self, exit_code: i32, error: Option<String>) {
        self.state = State::of_exit(exit_code);
        self.exit_code = Some(exit_code);
        self.error = error;
        self.ended = Some(timestamp(SystemTime::now()));
    }

    /// Replaces run.json in `dir`, atomically.
    ///
    /// # Errors
    /// [`RunError::Io`] with the path.
    pub fn write(&self, dir: &RunDir) -> Result<(), RunError> {
        dir.write("run.json", self.to_text().as_bytes())
    }

    /// The text of run.json, also what `--json` prints. Numbers that are not finite become null.
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("strings and numbers always serialise");
        text.push('\n');
        text
    }
}

/// A time as run.json holds it: `2026-11-21T05:13:00Z`.
pub fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// A hash as run.json holds it: 16 hexadecimal digits, since JSON readers round large numbers.
pub fn hex_hash(hash: u64) -> String {
    format!("{hash:016x}")
}

/// Reads the state of a run, given its directory, a link to it, or the run.json itself.
///
/// # Errors
/// [`RunError::Io`] when there is none, [`RunError::Damaged`] when it is torn or no run.json.
pub fn read_state(run: &Path) -> Result<RunJson, RunError> {
    const LIMIT: u64 = 64 << 20; // 100,000 ranks take 10 MB
    let path = if run.is_file() { run.to_owned() } else { run.join("run.json") };
    let damaged = |line, column, why| RunError::Damaged {
        path: path.clone(),
        line,
        column,
        why,
        cure: "give the directory of a run, as runs/latest",
    };
    let mut bytes = Vec::new();
    File::open(&path)
        .and_then(|file| file.take(LIMIT).read_to_end(&mut bytes))
        .map_err(RunError::io(&path, "read the state of a run"))?;
    serde_json::from_slice(&bytes).map_err(|why| {
        let (line, column) = (why.line().max(1), why.column().max(1));
        damaged(line, column, format!("not a whole run.json: {}", one_line(&why.to_string())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> RunJson {
        RunJson {
            argv: vec!["./goai-rs".into(), "--mode".into(), "allreduce".into()],
            mpi: Some("Open MPI 4.1.4".into()),
            mode: "allreduce".into(),
            ranks: 2,
            placement: vec![Placement { rank: 0, host: "vm".into(), pid: 7, cores: "0-1".into(), threads: 2 }],
            seed: u64::MAX,
            final_figures: Some(Final {
                train_loss: Some(0.25),
                test_size: 15,
                weights_hash: hex_hash(0xab),
                ..Final::default()
            }),
            cv: Some(Cv { mean: 0.96, sd: 0.02, folds: 10, repeats: 5 }),
            ..RunJson::default()
        }
    }

    #[test]
    fn what_is_written_is_read_through_directory_link_and_file() {
        let root = tempfile::tempdir().unwrap();
        let dir = RunDir::create(Some(&root.path().join("r")), "").unwrap();
        let mut run = example();
        run.write(&dir).unwrap();
        std::os::unix::fs::symlink("r", root.path().join("latest")).unwrap();
        for given in ["r", "latest", "latest/run.json"] {
            assert_eq!(read_state(&root.path().join(given)).unwrap(), run);
        }
        run.finish(75, Some("stopped by SIGTERM".into()));
        run.write(&dir).unwrap();
        let read = read_state(dir.path()).unwrap();
        assert_eq!((read.state, read.exit_code), (State::Checkpointed, Some(75)));
        humantime::parse_rfc3339(&read.ended.unwrap()).unwrap();
    }

    #[test]
    fn the_names_are_those_of_the_design() {
        let value: serde_json::Value = serde_json::from_str(&example().to_text()).unwrap();
        assert_eq!(value["state"], "running");
        assert_eq!(value["final"]["weights_hash"], "00000000000000ab");
        assert_eq!(value["placement"][0]["cores"], "0-1");
        let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        let design = "argv cv dataset ended error exit_code final mode model mpi parameters placement ranks seed started state version";
        assert_eq!(keys.join(" "), design);
        let mut keys: Vec<_> = value["final"].as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        let design = "comm_share elapsed_s energy_j modelled_energy_j modelled_s samples_per_s stages test_acc test_size train_loss val_acc weights_hash";
        assert_eq!(keys.join(" "), design);
        assert!(value["final"]["modelled_s"].is_null() && value["final"]["energy_j"].is_null(), "absent, not zero");
    }

    #[test]
    fn stages_are_in_it_and_files_from_before_there_were_any_are_read() {
        let mut run = example();
        let figures = run.final_figures.as_mut().unwrap();
        let stage = StageRecord { stage: 1, layers: "fc1..fc2".into(), bytes_up: 9, ..StageRecord::default() };
        figures.stages = vec![StageRecord::default(), stage];
        (figures.modelled_s, figures.modelled_energy_j) = (Some(1.5), Some(20.0));
        let mut value: serde_json::Value = serde_json::from_str(&run.to_text()).unwrap();
        assert_eq!(value["final"]["stages"][1]["layers"], "fc1..fc2");
        assert!(value["final"]["stages"][1]["modelled_busy_s"].is_null());
        assert_eq!(serde_json::from_value::<RunJson>(value.clone()).unwrap(), run);
        for key in ["stages", "modelled_s", "modelled_energy_j"] {
            value["final"].as_object_mut().unwrap().remove(key);
        }
        let old = serde_json::from_value::<RunJson>(value).unwrap().final_figures.unwrap();
        assert_eq!((old.stages.len(), old.modelled_s, old.train_loss), (0, None, Some(0.25)));
    }

    #[test]
    fn numbers_that_are_not_finite_become_null() {
        let mut run = example();
        let figures = run.final_figures.as_mut().unwrap();
        (figures.train_loss, figures.samples_per_s) = (Some(f64::NAN), Some(f64::INFINITY));
        let read: RunJson = serde_json::from_str(&run.to_text()).unwrap();
        let figures = read.final_figures.unwrap();
        assert_eq!((figures.train_loss, figures.samples_per_s), (None, None));
    }

    #[test]
    fn exit_codes_have_their_state() {
        for (code, state) in [(0, "complete"), (6, "diverged"), (75, "checkpointed"), (7, "failed"), (101, "failed")] {
            assert_eq!(State::of_exit(code).to_string(), state);
        }
    }

    #[test]
    fn missing_and_torn_files_are_errors_with_a_place() {
        let dir = tempfile::tempdir().unwrap();
        let error = read_state(dir.path()).unwrap_err();
        assert!(error.to_string().contains("run.json: cannot read the state of a run"), "{error}");
        let whole = example().to_text();
        for length in 0..whole.len() - 2 {
            std::fs::write(dir.path().join("run.json"), &whole[..length]).unwrap();
            let error = read_state(dir.path()).unwrap_err();
            assert_eq!(error.exit_code(), 4);
            assert!(error.to_string().contains("not a whole run.json"), "{error}");
            assert_eq!(error.to_string().lines().count(), 1);
        }
        for other in ["[]", "null", "{}", "{\"state\": \"splendid\"}"] {
            std::fs::write(dir.path().join("run.json"), other).unwrap();
            assert!(matches!(read_state(dir.path()), Err(RunError::Damaged { .. })), "{other}");
        }
    }
}
