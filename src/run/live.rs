//! `live/stage<N>.json`: how a stage does right now, for whoever watches the run directory.
//!
//! Every rank of a pipeline writes its own file, about once a second, so no rank waits for another to be looked at. A
//! reader sees one whole object or the one before it. The run goes on without them.

use super::error::RunError;
use super::file::write_passing;
use super::state::timestamp;
use crate::event::StageLive;
use serde::Serialize;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// Time between two writings: a reader may count on one every two seconds.
const EVERY: Duration = Duration::from_secs(1);

/// One rank's file, written again every second by a thread of its own: a stage that works on one batch for long, or waits
/// for one, is shown to be there, with the age of its figures.
#[derive(Debug)]
pub struct Live {
    shared: Arc<Mutex<Shared>>,
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    rank: usize,
    replica: usize,
    news: Option<(StageLive, Instant)>,
    /// The first failure, until it is told; after it nothing is written.
    failed: Option<Option<RunError>>,
}

/// What the file holds.
#[derive(Serialize)]
struct Page<'a> {
    /// UTC: a file that grows old belongs to a stage that is gone.
    written: String,
    /// Seconds since the figures were new: a stage that waits, or works on one batch.
    age_s: f64,
    rank: usize,
    replica: usize,
    #[serde(flatten)]
    stage: &'a StageLive,
}

impl Live {
    /// The file of this rank in the run directory that rank 0 made, or none where this rank does not see that directory:
    /// its node may have a file system of its own.
    pub fn open(run_dir: &Path, rank: usize, replica: usize) -> Option<Self> {
        // An empty directory of the same name on another machine is not the run's.
        if !run_dir.join("run.json").is_file() {
            return None;
        }
        let folder = run_dir.join("live");
        let shared = Arc::new(Mutex::new(Shared { folder, rank, replica, news: None, failed: None }));
        let (end, ended) = channel();
        let theirs = Arc::clone(&shared);
        let refresh = move || {
            while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                lock(&theirs).write();
            }
        };
        // Without a thread the file is written when there is something new: less often, and no reason to end a run.
        let thread = std::thread::Builder::new().name("live".to_owned()).spawn(refresh).ok();
        Some(Self { shared, end: Some(end), thread })
    }

    /// Shows new figures. After a failure it does nothing and says `Ok`.
    ///
    /// # Errors
    /// [`RunError::Io`], once: warn and go on.
    pub fn write(&mut self, stage: &StageLive) -> Result<(), RunError> {
        let mut shared = lock(&self.shared);
        shared.news = Some((stage.clone(), Instant::now()));
        shared.write();
        match &mut shared.failed {
            Some(untold) => untold.take().map_or(Ok(()), Err),
            None => Ok(()),
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    // Whatever a panicking thread left is a whole page, or none.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn write(&mut self) {
        if self.failed.is_none()
            && let Err(error) = self.replace()
        {
            self.failed = Some(Some(error));
        }
    }

    fn replace(&self) -> Result<(), RunError> {
        let Some((stage, since)) = &self.news else { return Ok(()) };
        match fs::create_dir(&self.folder) {
            Err(why) if why.kind() != io::ErrorKind::AlreadyExists => {
                return Err(RunError::io(&self.folder, "make the directory of live figures")(why));
            }
            _ => {}
        }
        let name = match self.replica {
            0 => format!("stage{}.json", stage.stage),
            _ => format!("stage{}_{}.json", stage.stage, self.rank),
        };
        let (written, age_s) = (timestamp(SystemTime::now()), since.elapsed().as_secs_f64());
        let page = Page { written, age_s, rank: self.rank, replica: self.replica, stage };
        let mut bytes = serde_json::to_vec(&page).expect("strings and numbers always serialise");
        bytes.push(b'\n');
        write_passing(&self.folder.join(name), &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(batches: u64) -> StageLive {
        StageLive {
            stage: 2,
            epoch: 1,
            batches,
            loss: Some(f64::NAN),
            accuracy: Some(0.5),
            queue: 3,
            latency_s: 0.25,
            wait_s: 0.125,
            proposals_per_s: None,
            acceptance_conv: None,
            acceptance_dense: None,
            exit_share: None,
        }
    }

    fn run() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("run.json"), "{}").unwrap();
        dir
    }

    #[test]
    fn each_rank_replaces_its_own_file() {
        let dir = run();
        let mut first = Live::open(dir.path(), 4, 0).unwrap();
        assert!(!dir.path().join("live").exists(), "made when there is something to say");
        let mut second = Live::open(dir.path(), 5, 1).unwrap();
        for batches in [7, 8] {
            first.write(&figures(batches)).unwrap();
            second.write(&figures(batches + 10)).unwrap();
        }
        let live = dir.path().join("live");
        let read = |name: &str| -> serde_json::Value {
            let text = fs::read_to_string(live.join(name)).unwrap();
            assert!(text.ends_with("}\n"), "{text}");
            serde_json::from_str(&text).unwrap()
        };
        let (one, two) = (read("stage2.json"), read("stage2_5.json"));
        assert_eq!((&one["batches"], &one["rank"], &one["queue"]), (&8.into(), &4.into(), &3.into()));
        assert_eq!((&two["batches"], &two["replica"]), (&18.into(), &1.into()));
        assert!(one["loss"].is_null(), "NaN is no JSON");
        humantime::parse_rfc3339(one["written"].as_str().unwrap()).unwrap();
        assert_eq!(fs::read_dir(&live).unwrap().count(), 2, "no temporary is left");
    }

    #[test]
    fn figures_are_shown_to_age() {
        let dir = run();
        let mut live = Live::open(dir.path(), 0, 0).unwrap();
        live.write(&figures(1)).unwrap();
        let path = dir.path().join("live/stage2.json");
        let age = || serde_json::from_slice::<serde_json::Value>(&fs::read(&path).unwrap()).unwrap()["age_s"].as_f64();
        let deadline = Instant::now() + Duration::from_secs(20);
        while age().unwrap() < 0.5 {
            assert!(Instant::now() < deadline, "the file is written again");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[test]
    fn a_directory_that_is_not_the_runs_is_left_alone() {
        let empty = tempfile::tempdir().unwrap();
        assert!(Live::open(empty.path(), 0, 0).is_none());
        assert!(Live::open(Path::new("/no/such/place"), 0, 0).is_none());
    }

    #[test]
    fn a_failure_is_told_once() {
        let dir = run();
        fs::write(dir.path().join("live"), "a file in the way").unwrap();
        let mut live = Live::open(dir.path(), 0, 0).unwrap();
        let error = live.write(&figures(1)).unwrap_err().to_string();
        assert!(error.contains("live"), "{error}");
        live.write(&figures(2)).unwrap();
    }
}
