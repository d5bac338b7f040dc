//! `goai-rs state RUN`: one word, for scripts.

use super::failure::Failure;
use super::printed::printed;
use crate::run::state::read_state;
use std::io::Write;
use std::path::Path;

/// Prints the state of a run and nothing else.
///
/// # Errors
/// A run that is not there or whose run.json is torn, exit code 4.
pub fn state(run: &Path, out: &mut dyn Write) -> Result<(), Failure> {
    let state = read_state(run)?.state;
    printed(writeln!(out, "{state}").and_then(|()| out.flush()))
}

#[cfg(test)]
mod tests {
    use super::super::printed::Refusing;
    use super::*;
    use crate::run::RunDir;
    use crate::run::state::RunJson;
    use std::io::ErrorKind;

    fn run(code: Option<i32>) -> (tempfile::TempDir, RunDir) {
        let root = tempfile::tempdir().unwrap();
        let dir = RunDir::create(Some(&root.path().join("run")), "").unwrap();
        let mut json = RunJson::default();
        code.into_iter().for_each(|code| json.finish(code, None));
        json.write(&dir).unwrap();
        (root, dir)
    }

    #[test]
    fn one_word_and_nothing_else() {
        for (code, word) in [
            (None, "running\n"),
            (Some(0), "complete\n"),
            (Some(6), "diverged\n"),
            (Some(75), "checkpointed\n"),
            (Some(101), "failed\n"),
        ] {
            let (_root, dir) = run(code);
            for path in [dir.path().to_owned(), dir.file("run.json")] {
                let mut out = Vec::new();
                state(&path, &mut out).unwrap();
                assert_eq!(String::from_utf8(out).unwrap(), word);
            }
        }
    }

    #[test]
    fn a_run_that_is_missing_or_torn_prints_nothing() {
        let (root, dir) = run(Some(0));
        let empty = root.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        let torn = &std::fs::read(dir.file("run.json")).unwrap()[..40];
        std::fs::write(dir.file("run.json"), torn).unwrap();
        for (path, part) in [
            (root.path().join("none"), "none/run.json: cannot read"),
            (empty, "empty/run.json: cannot read"),
            (dir.path().to_owned(), "not a whole run.json"),
        ] {
            let mut out = Vec::new();
            let failure = state(&path, &mut out).unwrap_err();
            assert_eq!((failure.code, out.len()), (4, 0));
            assert!(failure.message.contains(part) && !failure.message.contains('\n'), "{failure}");
        }
    }

    #[test]
    fn a_reader_that_left_is_no_failure_and_a_full_disk_is() {
        let (_root, dir) = run(Some(0));
        assert_eq!(state(dir.path(), &mut Refusing(ErrorKind::BrokenPipe)), Ok(()));
        assert_eq!(state(dir.path(), &mut Refusing(ErrorKind::StorageFull)).unwrap_err().code, 4);
    }
}
