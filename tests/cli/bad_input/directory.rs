//! Places that cannot take a run.

use super::{Case, Leaves, case, check_all};
use crate::run::{Launch, Run, is_root, skip};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

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
    let mut empty = at("no name", "", &["--run-dir", "empty"]);
    empty.code = 3;
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
            let run = Run::new("--epochs 2 --run-dir closed/run").file("closed/x", "").prepare(close);
            cases.push(case("run directory: read-only", run, 4, &["closed/run", "may write"]));
        }
    }
    cases
}

fn close(work: &Path) {
    let closed = fs::Permissions::from_mode(0o555);
    fs::set_permissions(work.join("closed"), closed).expect("a mode can be set");
}

/// A small file system that is gone when this is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one of this size; says why not where it cannot.
    fn mount(at: PathBuf, size: &str) -> Result<Self, String> {
        if !is_root() {
            return Err("a small tmpfs needs root".into());
        }
        fs::create_dir_all(&at).map_err(|why| why.to_string())?;
        let options = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&at).output();
        match mounted {
            Ok(output) if output.status.success() => Ok(Self(at)),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ")),
            Err(why) => Err(why.to_string()),
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_refused_before_training() {
    let run = Run::new("--epochs 2 --run-dir disk/run");
    let disk = match SmallDisk::mount(run.path("disk"), "16k") {
        Ok(disk) => disk,
        Err(why) => return skip("a full disk", &why),
    };
    // Full to the last byte: the file ends where the space does.
    let filler = disk.0.join("filler");
    let _ = fs::write(&filler, vec![1; 64 * 1024]);
    check_all(vec![case("full disk", run, 4, &["disk/run", "free some space"])]);
}

#[test]
fn a_disk_that_fills_up_during_training_ends_without_complete() {
    let run = Run::new("--epochs 300 --run-dir disk/run");
    let disk = match SmallDisk::mount(run.path("disk"), "64k") {
        Ok(disk) => disk,
        Err(why) => return skip("a disk that fills up", &why),
    };
    let state = disk.0.join("run/run.json");
    let mut case = case("disk fills up", run, 4, &["disk/run/", "free some space"]);
    case = case.leaves(Leaves::Anything);
    let wrong = case.check();
    let text = fs::read_to_string(state).expect("run.json is there, whole");
    assert!(!text.contains("complete"), "{text}");
    assert!(wrong.is_empty(), "{wrong:?}");
}
