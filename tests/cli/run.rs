//! A small language for driving the program: what is typed, in which directory, under which launcher,
//! and what came out of it.

use serde_json::Value;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_goai-rs");

/// What launchers and users set: a test starts without it, whatever it was started under itself.
const FOREIGN: [&str; 8] = ["GOAI_", "OMPI_", "PMIX_", "PRTE_", "PMI_", "MPI_", "MV2_", "SLURM_"];

/// How the ranks come to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launch {
    /// Exactly what was typed, without a launcher.
    Plain,
    /// `--single` is added: one rank without MPI.
    Solo,
    /// `--ranks N` is added: ranks as threads.
    Threads(usize),
    /// Under `mpirun -n N`.
    Mpi(usize),
}

impl Launch {
    /// Whether this launch can be made here; says once why not.
    pub fn possible(self) -> bool {
        static ONCE: Once = Once::new();
        let why = self.impossible();
        why.inspect(|why| ONCE.call_once(|| skip("everything under mpirun", why))).is_none()
    }

    fn impossible(self) -> Option<&'static str> {
        let Self::Mpi(_) = self else { return None };
        if !cfg!(feature = "mpi") {
            return Some("this build has no MPI");
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).any(|folder| folder.join("mpirun").is_file());
        (!found).then_some("there is no mpirun")
    }
}

/// Says on the terminal that something was not tested; the test harness does not capture it.
pub fn skip(what: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIP {what}: {why}");
}

/// Whether this process may do what only root may.
pub fn is_root() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| status.contains("\nUid:\t0\t"))
}

/// One run of the program, before it is started.
#[derive(Debug)]
pub struct Run {
    args: Vec<OsString>,
    env: Vec<(String, String)>,
    each_rank: Option<String>,
    around: Option<String>,
    deadline: Duration,
    work: TempDir,
}

impl Run {
    /// A run with these arguments, separated by spaces, in an empty directory of its own.
    pub fn new(args: &str) -> Self {
        let work = tempfile::tempdir().expect("a temporary directory");
        let args = args.split_whitespace().map(OsString::from).collect();
        Self { args, env: Vec::new(), each_rank: None, around: None, deadline: Duration::from_secs(60), work }
    }

    /// Gives it longer than the usual minute.
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Adds one argument as it is.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Puts a file into the working directory, with the folders above it.
    pub fn file(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder can be made");
        fs::write(path, bytes).expect("a file can be written");
        self
    }

    /// Prepares the working directory in another way.
    pub fn prepare(self, prepare: impl FnOnce(&Path)) -> Self {
        prepare(self.work.path());
        self
    }

    /// Starts each rank through `sh`: the script ends in `exec "$0" "$@"` and knows its rank by `$OMPI_COMM_WORLD_RANK`.
    pub fn each_rank(mut self, script: &str) -> Self {
        self.each_rank = Some(script.into());
        self
    }

    /// Starts the whole command line, launcher included, through `sh`: `"$0" "$@"` is the command.
    pub fn around(mut self, script: &str) -> Self {
        self.around = Some(script.into());
        self
    }

    /// A path in the working directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    /// Runs to the end.
    pub fn launch(self, launch: Launch) -> Outcome {
        self.start(launch).finish()
    }

    /// Starts and does not wait.
    pub fn start(self, launch: Launch) -> Running {
        let words = self.words(launch);
        let outside = tempfile::tempdir().expect("a temporary directory");
        // Files, not pipes: a rank that outlives its launcher would keep a pipe open, and reading it would never end.
        let file = |name: &str| File::create(outside.path().join(name)).expect("a file can be made");
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(self.work.path()).stdin(Stdio::null());
        command.stdout(file("stdout")).stderr(file("stderr"));
        for (name, _) in std::env::vars_os() {
            if FOREIGN.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        // However slow the disk: no checkpoint makes room for a newer one before it is written.
        command.env("GOAI_TEST_CHECKPOINTS", "wait");
        if is_root() {
            command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let started = Instant::now();
        let child = command.spawn().expect("the program starts");
        Running { child, started, outside, run: self }
    }

    /// The whole command line.
    fn words(&self, launch: Launch) -> Vec<OsString> {
        let shell = |script: &str| ["sh", "-c", script].map(OsString::from);
        let mut words = Vec::new();
        words.extend(self.around.iter().flat_map(|script| shell(script)));
        if let Launch::Mpi(ranks) = launch {
            words.extend(["mpirun", "--oversubscribe", "--timeout", "60", "-n"].map(OsString::from));
            words.push(ranks.to_string().into());
        }
        words.extend(self.each_rank.iter().flat_map(|script| shell(script)));
        words.push(PROGRAM.into());
        words.extend(self.args.iter().cloned());
        match launch {
            Launch::Solo => words.push("--single".into()),
            Launch::Threads(ranks) => words.extend(["--ranks".into(), ranks.to_string().into()]),
            Launch::Plain | Launch::Mpi(_) => {}
        }
        words
    }
}

/// A run that was started.
#[derive(Debug)]
pub struct Running {
    child: Child,
    started: Instant,
    outside: TempDir,
    run: Run,
}

impl Running {
    /// Waits until `done` says yes of the working directory.
    pub fn wait_until(&mut self, what: &str, done: impl Fn(&Path) -> bool) {
        while !done(self.run.work.path()) {
            let ended = self.child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "ended before {what}: {ended:?}\n{}", self.read("stderr"));
            if self.started.elapsed() > self.run.deadline {
                self.stop();
                panic!("no {what} in time: {}", self.read("stderr"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal to what was started: the program, or mpirun.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.expect("kill is there").success(), "SIG{name} cannot be sent");
    }

    /// Waits for the end, which comes before the deadline or the test fails.
    pub fn finish(mut self) -> Outcome {
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                break status;
            }
            if self.started.elapsed() > self.run.deadline {
                self.stop();
                panic!("{:?} did not end within {:?}: {}", self.run.args, self.run.deadline, self.read("stderr"));
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        Outcome {
            code: status.code().unwrap_or_else(|| -status.signal().unwrap_or(0)),
            stdout: self.read("stdout"),
            stderr: self.read("stderr"),
            took: self.started.elapsed(),
            run: self.run,
        }
    }

    /// Ends the child and nothing else: first in order, so that mpirun takes its ranks along, then by force.
    fn stop(&mut self) {
        self.signal("TERM");
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(5) {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.outside.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// What came out of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code of the program or of mpirun; a signal's number, negative, when one ended it.
    pub code: i32,
    /// All of stdout.
    pub stdout: String,
    /// All of stderr.
    pub stderr: String,
    /// From start to end.
    pub took: Duration,
    run: Run,
}

impl Outcome {
    /// A path in the working directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.run.path(name)
    }

    /// The text of a file in the working directory.
    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|why| panic!("{name}: {why}\n{}", self.stderr))
    }

    /// run.json of the only or latest run below `runs`.
    pub fn json(&self) -> Value {
        self.json_of("runs/latest")
    }

    /// run.json of the run in this directory.
    pub fn json_of(&self, dir: &str) -> Value {
        serde_json::from_str(&self.text(&format!("{dir}/run.json"))).expect("run.json is JSON")
    }

    /// Lines of stderr that begin with `error:`.
    pub fn errors(&self) -> Vec<&str> {
        // mpirun may prefix a carriage return: its own lines and ours share a pseudo-terminal.
        self.stderr.lines().map(str::trim).filter(|line| line.starts_with("error:")).collect()
    }

    /// This outcome, if the program succeeded.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{:?}\n{}\n{}", self.run.args, self.stdout, self.stderr);
        self
    }

    /// The run in the same directory, with other arguments.
    pub fn again(self, args: &str) -> Run {
        Run { args: args.split_whitespace().map(OsString::from).collect(), env: Vec::new(), ..self.run }
    }
}
