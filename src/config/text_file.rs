//! Reads a configuration file as text, with an answer for everything a path can turn out to be.

use super::error::ConfigError;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// No configuration is longer; a device or a data file given by mistake is.
const MOST_BYTES: u64 = 1 << 20;

/// The text of a file without its byte order mark, or nothing when there is no file.
///
/// # Errors
/// [`ConfigError::File`] when it is there and is no text; `shown` is its name in the message.
pub(super) fn read_text(path: &Path, shown: &str) -> Result<Option<String>, ConfigError> {
    let refuse = |why: &str, cure: &str| ConfigError::File {
        path: shown.to_owned(),
        why: why.to_owned(),
        cure: cure.to_owned(),
    };
    let unreadable =
        |error: std::io::Error| refuse(&format!("cannot be read: {error}"), "check the path and its permissions");
    let is_dir = match std::fs::metadata(path) {
        Ok(metadata) => metadata.is_dir(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    if is_dir {
        return Err(refuse("is a directory", "name a file in it"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(refuse("is longer than 1 MiB, no configuration is", "check the path"));
    }
    decode(&bytes).map(Some).map_err(|(why, cure)| refuse(&why, cure))
}

/// Bytes as text, or why they are none and the cure.
pub(super) fn decode(bytes: &[u8]) -> Result<String, (String, &'static str)> {
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err(("is UTF-16".to_owned(), "save it as UTF-8"));
    }
    let line = |offset: usize| 1 + bytes[..offset].iter().filter(|byte| **byte == b'\n').count();
    if let Some(offset) = bytes.iter().position(|byte| *byte == 0) {
        let why = format!("is binary: a NUL byte in line {}", line(offset));
        return Err((why, "name a text file"));
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err((format!("is not UTF-8 in line {}", line(error.valid_up_to())), "save it as UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_text_or_say_why_not() {
        assert_eq!(decode(b"\xEF\xBB\xBFa=1").unwrap(), "a=1");
        for (bytes, why) in [
            (&b"a=1\nb=\0"[..], "NUL byte in line 2"),
            (b"\xFF\xFEa\0", "UTF-16"),
            (b"a=1\n\nb=\xE4", "not UTF-8 in line 3"),
        ] {
            let (message, _) = decode(bytes).unwrap_err();
            assert!(message.contains(why), "{message}");
        }
    }

    #[test]
    fn a_path_can_turn_out_to_be_anything() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_text(&dir.path().join("none"), "none").unwrap(), None);
        let error = read_text(dir.path(), "d").unwrap_err();
        assert_eq!(error.to_string(), "d: is a directory; name a file in it");
        let long = dir.path().join("long");
        std::fs::write(&long, vec![b'#'; MOST_BYTES as usize + 1]).unwrap();
        assert!(read_text(&long, "long").unwrap_err().to_string().contains("1 MiB"));
        // Endless: only the limit ends this read.
        assert!(read_text(Path::new("/dev/zero"), "zero").is_err());
    }
}
