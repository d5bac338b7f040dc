//! A started program that is watched from outside: how long it took to end, what it said, what it left.
//!
//! Everything a job starts inherits a marker in its environment, and `/proc` tells who carries it: that
//! finds ranks whose launcher is gone, and nobody else's processes.

use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Longer than any of these jobs lives when all is well; only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(60);
/// What an abnormal end may take, from the fault to the last process.
pub const MOST: Duration = Duration::from_secs(5);
const MARKER: &str = "FAULTS_TEST_JOB";
const POLL: Duration = Duration::from_millis(5);

/// Why jobs under mpirun cannot be tested here, if so.
pub fn no_mpi() -> Option<&'static str> {
    let found = Command::new("mpirun").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    match (cfg!(feature = "mpi"), found.is_ok_and(|status| status.success())) {
        (false, _) => Some("built without the mpi feature"),
        (_, false) => Some("there is no mpirun"),
        _ => None,
    }
}

/// Ends a test early, with the reason, where jobs under mpirun cannot be tested.
#[macro_export]
macro_rules! needs_mpi {
    () => {
        if let Some(why) = $crate::job::no_mpi() {
            println!("SKIP {}: {why}", module_path!());
            return;
        }
    };
}

/// One job at a time: times would say nothing otherwise.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A command line to be started.
pub struct Plan {
    words: Vec<String>,
    variables: Vec<(String, String)>,
    /// The directory that it is started in.
    dir: tempfile::TempDir,
}

impl Plan {
    /// Any command line; `{exe}` stands for the program.
    pub fn new(line: &str) -> Self {
        let words = line.split_whitespace().map(|word| word.replace("{exe}", env!("CARGO_BIN_EXE_goai-rs")));
        Self { words: words.collect(), variables: Vec::new(), dir: tempfile::tempdir().unwrap() }
    }

    /// A script for the shell; `{exe}` stands for the program.
    pub fn shell(script: &str) -> Self {
        let script = script.replace("{exe}", env!("CARGO_BIN_EXE_goai-rs"));
        let dir = tempfile::tempdir().unwrap();
        Self { words: vec!["sh".into(), "-c".into(), script], variables: Vec::new(), dir }
    }

    /// Sets a variable for all ranks.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Puts a file where it is started.
    pub fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.dir.path().join(name), text).unwrap();
        self
    }

    /// Moves it to the directory of a job that has ended.
    pub fn after(mut self, end: End) -> Self {
        self.dir = end.dir;
        self
    }

    /// Starts it, in a directory of its own unless it is moved.
    pub fn start(self) -> Job {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let alone = alone();
        let marker = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = self.dir;
        let file = |name: &str| Stdio::from(File::create(dir.path().join(name)).unwrap());
        let child = Command::new(&self.words[0])
            .args(&self.words[1..])
            .current_dir(dir.path())
            .env(MARKER, &marker)
            // More ranks than cores, and root, are what a test machine has: Open MPI 4, then 5.
            .env("OMPI_MCA_rmaps_base_oversubscribe", "1")
            .env("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe")
            .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
            .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
            .env_remove("RUST_BACKTRACE")
            .envs(self.variables)
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .unwrap();
        Job { line: self.words.join(" "), child, dir, marker, started: SystemTime::now(), _alone: alone }
    }
}

/// A running job.
pub struct Job {
    line: String,
    child: Child,
    dir: tempfile::TempDir,
    marker: String,
    started: SystemTime,
    _alone: MutexGuard<'static, ()>,
}

/// How a job ended.
pub struct End {
    /// What was started.
    pub line: String,
    /// What the launcher, or the process itself, ended with.
    pub status: ExitStatus,
    /// Standard output and standard error.
    pub text: String,
    /// What run.json says, where there is one.
    pub run: Option<Value>,
    /// From the start, the last event of the training, or the last kill, to the end of the last process.
    pub took: Duration,
    /// Who was still there when that had taken too long.
    pub late: String,
    dir: tempfile::TempDir,
}

impl Job {
    /// The directory the job was started in.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The job's first process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the ranks train and returns their process ids, in rank order.
    pub fn training(&mut self) -> Vec<u32> {
        self.wait_for("training", "run/events.jsonl", |events| events.lines().count() > 1);
        self.ranks()
    }

    /// The process ids of the ranks that train, in rank order.
    pub fn ranks(&self) -> Vec<u32> {
        let run = read_run(self.dir()).expect("a training run has a run.json");
        let places = run["placement"].as_array().unwrap();
        places.iter().map(|place| place["pid"].as_u64().unwrap() as u32).collect()
    }

    /// Waits until the text of a file says so.
    pub fn wait_for(&mut self, what: &str, file: &str, done: impl Fn(&str) -> bool) {
        let start = Instant::now();
        while !done(&std::fs::read_to_string(self.dir().join(file)).unwrap_or_default()) {
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || start.elapsed() > PATIENCE {
                self.kill_all();
                panic!("{}: no {what}: {ended:?}\n{}", self.line, self.text());
            }
            std::thread::sleep(POLL);
        }
    }

    /// Sends a signal to a process of this job; from here on counts the time to end.
    pub fn signal(&mut self, signal: &str, pid: u32) {
        assert!(self.processes().contains(&pid), "{}: {pid} is none of its processes", self.line);
        self.started = SystemTime::now();
        kill(signal, pid);
    }

    /// Waits until no process of the job is left.
    ///
    /// # Panics
    /// When that does not happen; what was left is killed first.
    pub fn end(mut self) -> End {
        let start = Instant::now();
        let mut late = String::new();
        let status = loop {
            if late.is_empty() && self.since_sign() > MOST {
                late = self.describe();
            }
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if start.elapsed() > PATIENCE => {
                    self.kill_all();
                    panic!("{}: a hang\n{}", self.line, self.text());
                }
                None => std::thread::sleep(POLL),
            }
        };
        let launcher_gone = Instant::now();
        loop {
            let left = self.processes();
            if left.is_empty() {
                break;
            }
            if launcher_gone.elapsed() > MOST {
                self.kill_all();
                panic!("{}: {left:?} are left behind\n{}", self.line, self.text());
            }
            std::thread::sleep(POLL);
        }
        let took = self.since_sign();
        End { status, text: self.text(), run: read_run(self.dir()), took, late, line: self.line, dir: self.dir }
    }

    /// Time since the fault, or since the last sign of training before it.
    fn since_sign(&self) -> Duration {
        // Training writes this file until the fault strikes, and nobody does after.
        let sign = std::fs::metadata(self.dir().join("run/events.jsonl")).and_then(|file| file.modified());
        sign.map_or(self.started, |sign| sign.max(self.started)).elapsed().unwrap_or_default()
    }

    /// The processes that are there, with the state and the place in the kernel that they are in.
    fn describe(&self) -> String {
        let line = |pid: u32| {
            let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
            let status = read("status");
            let state = status.lines().find(|line| line.starts_with("State")).unwrap_or_default().to_string();
            format!("{pid} {} {state} {}\n", read("comm").trim(), read("wchan"))
        };
        self.processes().into_iter().map(line).collect()
    }

    fn text(&self) -> String {
        ["stdout", "stderr"]
            .map(|name| String::from_utf8_lossy(&std::fs::read(self.dir().join(name)).unwrap()).into_owned())
            .concat()
    }

    /// The processes that carry the marker.
    fn processes(&self) -> Vec<u32> {
        let marker = format!("{MARKER}={}", self.marker);
        let carries = |pid: &u32| {
            let variables = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            variables.split(|byte| *byte == 0).any(|variable| variable == marker.as_bytes())
        };
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(carries).collect()
    }

    fn kill_all(&mut self) {
        self.processes().into_iter().for_each(|pid| kill("KILL", pid));
        let _ = self.child.wait();
    }
}

fn kill(signal: &str, pid: u32) {
    let _ = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status();
}

fn read_run(dir: &Path) -> Option<Value> {
    let path: PathBuf = dir.join("run/run.json");
    Some(serde_json::from_slice(&std::fs::read(path).ok()?).expect("run.json is never torn"))
}

impl End {
    /// The exit code, as a shell gives it.
    pub fn code(&self) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        self.status.code().or(self.status.signal().map(|signal| 128 + signal)).expect("it ended")
    }

    /// A field of run.json, as text; empty without one.
    pub fn field(&self, name: &str) -> String {
        match self.run.as_ref().map(|run| &run[name]) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        }
    }

    /// A file that the job left; empty without one.
    pub fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }

    /// The texts of the notes in events.jsonl.
    pub fn notes(&self) -> Vec<String> {
        let events = self.file("run/events.jsonl");
        let events = events.lines().map(|line| serde_json::from_str::<Value>(line).expect("events are not torn"));
        events.filter_map(|event| event["text"].as_str().map(str::to_owned)).collect()
    }

    /// Our own error lines; the launcher's words are not ours.
    pub fn errors(&self) -> Vec<&str> {
        self.text.lines().filter(|line| line.starts_with("error: ")).collect()
    }

    /// What every abnormal end has to keep.
    pub fn check_abnormal(&self) {
        assert!(self.took <= MOST, "took {:?}: {self}", self.took);
        assert_ne!(self.field("state"), "complete", "{self}");
        assert_ne!(self.code(), 0, "{self}");
        assert!(self.errors().len() <= 1, "several messages: {self}");
        assert!(!self.text.contains("FINALIZE"), "{self}");
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let run = self.run.as_ref().map_or("none".into(), Value::to_string);
        write!(
            f,
            "{}\nended with {} after {:?}\nrun.json: {run}\n{}{}",
            self.line, self.status, self.took, self.late, self.text
        )
    }
}
