//! Places that cannot take a run.

use super::{Case, case, check_all};
use crate::run::{Launch, Run, is_root, skip};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

const TRAIN: &str = "--epochs 2";

#[rustfmt::skip]
pub(super) fn cases() -> Vec<Case> {
    let at = |name: &str, dir: &str, parts: &[&str]| {
        case(&format!("run directory: {name}"), Run::new(TRAIN).arg("--run-dir").arg(dir), 4, parts)
    };
    let file = |mut case: Case, name: &str, text: &str| {
        case.run = case.run.file(name, text);
        case
    };
    let holds = |mut case: Case| {
        case.code = 3;
        file(case, "old/run.json", "{\"state\": \"complete\"}\n")
    };
    let mut empty = at("no name", "", &["--run-dir", "value is missing"]);
    empty.code = 2;
    let mut cases = vec![
        file(at("a file", "taken", &["taken", "choose another"]), "taken", "mine"),
        file(at("a file", "taken", &["taken", "choose another"]).on(Launch::Mpi(3)), "taken", "mine"),
        file(at("below a file", "taken/x", &["taken/x", "choose another"]), "taken", "mine"),
        file(case("run directory: runs is a file", Run::new(TRAIN), 4, &["runs", "in the way"]), "runs", "mine"),
        holds(at("holds a run", "old", &["old", "already holds a run", "--run-dir"])),
        holds(at("holds a run", "old", &["old", "already holds a run"]).on(Launch::Threads(3))),
        holds(at("holds a run", "old", &["old", "already holds a run"]).on(Launch::Mpi(3))),
        empty,
    ];
    match is_root() {
        // Nobody may write there, not even root.
        true => cases.push(at("read-only", "/proc/run", &["/proc/run", "cannot"])),
        false => {
            let run = Run::new("--epochs 2 --run-dir closed/run").prepare(close);
            cases.push(case("run directory: read-only", run, 4, &["closed/run", "may write"]));
        }
    }
    cases
}

/// A folder that is empty, so that it can be removed after the test, and closed.
fn close(work: &Path) {
    fs::create_dir(work.join("closed")).expect("a folder can be made");
    let closed = fs::Permissions::from_mode(0o555);
    fs::set_permissions(work.join("closed"), closed).expect("a mode can be set");
}

/// A small file system that is gone when this is dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts one of this size; says why not where it cannot.
    fn mount(size: &str) -> Result<Self, String> {
        if !is_root() {
            return Err("a small tmpfs needs root".into());
        }
        let at = tempfile::tempdir().map_err(|why| why.to_string())?;
        let options = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Ok(Self(at)),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ")),
            Err(why) => Err(why.to_string()),
        }
    }

    /// A training into the directory `run` on this disk.
    fn train(&self, args: &str) -> Run {
        Run::new(args).arg("--run-dir").arg(self.0.path().join("run"))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_refused_before_training() {
    let disk = match SmallDisk::mount("32k") {
        Ok(disk) => disk,
        Err(why) => return skip("a full disk", &why),
    };
    // Full to the last byte: the file ends where the space does.
    let _ = fs::write(disk.0.path().join("filler"), vec![1; 64 << 10]);
    for launch in [Launch::Solo, Launch::Threads(3), Launch::Mpi(3)] {
        check_all(vec![case("full disk", disk.train("--epochs 2"), 4, &["run", "free some space"]).on(launch)]);
        assert!(!disk.0.path().join("run").exists(), "{launch:?} leaves its directory");
    }
}

#[test]
fn a_disk_that_fills_up_during_training_ends_without_complete() {
    let disk = match SmallDisk::mount("96k") {
        Ok(disk) => disk,
        Err(why) => return skip("a disk that fills up", &why),
    };
    check_all(vec![case("disk fills up", disk.train("--epochs 1000 --quiet"), 4, &["run/", "free some space"])]);
    let state = fs::read_to_string(disk.0.path().join("run/run.json")).expect("run.json is there");
    let state: serde_json::Value = serde_json::from_str(&state).expect("and whole");
    assert_ne!(state["state"], "complete");
    let parts = fs::read_dir(disk.0.path().join("run")).expect("the run directory is there");
    let names: Vec<_> = parts.map(|part| part.expect("an entry").file_name().into_string().expect("plain")).collect();
    assert!(!names.iter().any(|name| name.ends_with(".tmp")), "{names:?}");
}
