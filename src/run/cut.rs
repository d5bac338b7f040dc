//! Cutting the logs of a run back to a checkpoint: what came behind it happens again.

use super::error::RunError;
use super::file::write_atomic;
use std::io::ErrorKind;
use std::path::Path;

/// Keeps the header and the rows of the first `epochs` epochs, by the first column; whether there is such a file.
///
/// # Errors
/// As [`to_rows`].
pub(super) fn to_epochs(path: &Path, header: &str, epochs: u64) -> Result<bool, RunError> {
    to_rows(path, header, 0, epochs)
}

/// Keeps the header and the rows whose number in this column is at most this one; whether there is such a file. Rows of
/// an older version get empty cells for the columns that were appended since.
///
/// # Errors
/// [`RunError::Io`], and [`RunError::Damaged`] for a file with another header.
pub(super) fn to_rows(path: &Path, header: &str, column: usize, most: u64) -> Result<bool, RunError> {
    let Some(text) = read(path)? else { return Ok(false) };
    let whole = &text[..whole_lines(&text)];
    let mut lines = whole.lines();
    let known = lines.next().unwrap_or_default();
    let appended = match header.strip_prefix(known) {
        Some(rest) if rest.is_empty() || rest.starts_with(',') => rest.matches(',').count(),
        _ => {
            let why = "its header is not that of this version".to_owned();
            let cure = "give the resumed run another --run-dir";
            return Err(RunError::Damaged { path: path.to_owned(), line: 1, column: 1, why, cure });
        }
    };
    let belongs = |line: &&str| {
        let number = line.split(',').nth(column).and_then(|cell| cell.parse::<u64>().ok());
        number.is_some_and(|number| number <= most)
    };
    let rows: String = lines.filter(belongs).map(|line| format!("{line}{}\n", ",".repeat(appended))).collect();
    write_atomic(path, format!("{header}\n{rows}").as_bytes())?;
    Ok(true)
}

/// Takes a torn last line away; whether there is such a file.
///
/// # Errors
/// [`RunError::Io`].
pub(super) fn to_whole_lines(path: &Path) -> Result<bool, RunError> {
    let Some(text) = read(path)? else { return Ok(false) };
    let whole = whole_lines(&text);
    if whole < text.len() {
        write_atomic(path, &text.as_bytes()[..whole])?;
    }
    Ok(true)
}

fn read(path: &Path) -> Result<Option<String>, RunError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(why) if why.kind() == ErrorKind::NotFound => Ok(None),
        Err(why) => Err(RunError::io(path, "read the log")(why)),
    }
}

fn whole_lines(text: &str) -> usize {
    text.rfind('\n').map_or(0, |end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn rows_behind_the_checkpoint_and_torn_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.csv");
        assert!(!to_epochs(&path, "epoch,a", 3).unwrap());
        for (text, epochs, kept) in [
            ("epoch,a\n1,x\n2,y\n3,z\n", 2, "epoch,a,b\n1,x,\n2,y,\n"),
            ("epoch,a,b\n1,x,1\n1,y,2\n2,z,", 2, "epoch,a,b\n1,x,1\n1,y,2\n"),
            ("epoch,a,b\n1,x,1\n", 0, "epoch,a,b\n"),
        ] {
            fs::write(&path, text).unwrap();
            assert!(to_epochs(&path, "epoch,a,b", epochs).unwrap());
            assert_eq!(fs::read_to_string(&path).unwrap(), kept);
        }
        fs::write(&path, "other,a\n").unwrap();
        let error = to_epochs(&path, "epoch,a", 1).unwrap_err();
        assert_eq!((error.exit_code(), error.to_string().lines().count()), (4, 1), "{error}");
    }

    #[test]
    fn a_torn_event_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        assert!(!to_whole_lines(&path).unwrap());
        fs::write(&path, "{}\n{\"t\"").unwrap();
        assert!(to_whole_lines(&path).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "{}\n");
    }
}
