//! One door for each kind of bytes that strangers write: a file, a message, a command line.
//!
//! The fuzz targets in `fuzz/` and the tests in `tests/it/fuzz.rs` call the same functions. Each takes any bytes and
//! either refuses them in one line or checks that what it made of them is whole; a panic is a bug, and so are memory or
//! time that the bytes' own length does not explain.

use crate::cli::args::{self, Command};
use crate::comm::{Buffer, Kind, Tag};
use crate::config::{self, Sources};
use crate::data::csv;
use crate::data::pictures::decode::{Wanted, decode};
use crate::run::untrusted;
use std::ffi::OsString;

/// A door: why it refuses these bytes, unless it takes them.
pub type Door = fn(&[u8]) -> Result<(), String>;

/// All doors by the names of their targets.
pub const DOORS: [(&str, Door); 7] = [
    ("env_file", env_file),
    ("iris_csv", iris_csv),
    ("picture_gate", picture_gate),
    ("checkpoint", checkpoint),
    ("model_file", model_file),
    ("wire_frame", wire_frame),
    ("cli_args", cli_args),
];

/// What a door says when it refuses.
///
/// # Panics
/// If that is not one line.
fn refused(error: impl std::fmt::Display) -> String {
    let message = error.to_string();
    assert!(!message.is_empty() && !message.contains(['\n', '\r']), "not one line: {message:?}");
    message
}

/// An env file, `.irisenv` or `.imgenv`.
///
/// # Errors
/// Why it is refused.
pub fn env_file(bytes: &[u8]) -> Result<(), String> {
    config::read_env_bytes(bytes).map(drop).map_err(refused)
}

/// A labelled table like `iris.csv`.
///
/// # Errors
/// Why it is refused.
///
/// # Panics
/// If a table was taken that cannot be trained on.
pub fn iris_csv(bytes: &[u8]) -> Result<(), String> {
    let data = csv::parse("iris.csv", bytes, None).map_err(refused)?;
    assert_eq!(data.features.nrows(), data.len(), "a label a row");
    assert!(data.labels.iter().all(|label| (*label as usize) < data.num_classes()), "a label without a class");
    assert!(data.features.iter().all(|value| value.is_finite()), "a feature that is no number");
    Ok(())
}

/// A picture's file.
///
/// # Errors
/// Why it is refused.
///
/// # Panics
/// If a picture of another size came out.
pub fn picture_gate(bytes: &[u8]) -> Result<(), String> {
    let wanted = Wanted { pixel_limit: 1 << 16, ..Wanted::size(8, 8) };
    let pixels = decode(bytes, &wanted).map_err(refused)?;
    assert_eq!(pixels.len(), wanted.bytes());
    Ok(())
}

/// A checkpoint.
///
/// # Errors
/// Why it is refused.
pub fn checkpoint(bytes: &[u8]) -> Result<(), String> {
    untrusted::checkpoint(bytes).map_err(refused)
}

/// A model file.
///
/// # Errors
/// Why it is refused.
pub fn model_file(bytes: &[u8]) -> Result<(), String> {
    untrusted::model(bytes).map_err(refused)
}

/// A message of another rank. The first byte says what is expected: its lowest bits the element type, the next whether a
/// message of any length is, and the rest how many elements are otherwise.
///
/// # Errors
/// Why it is refused.
///
/// # Panics
/// If a message was taken that goes out as another one, or one of another kind or length than expected.
pub fn wire_frame(bytes: &[u8]) -> Result<(), String> {
    let Some((expect, frame)) = bytes.split_first() else { return Ok(()) };
    let kinds = [Kind::F32, Kind::F64, Kind::I64, Kind::U8];
    let (kind, any, len) = (kinds[usize::from(expect & 3)], expect & 4 != 0, usize::from(expect >> 3));
    let mut buffer = if any { Buffer::open(kind) } else { Buffer::new(kind, len) };
    buffer.take(1, Tag::Push, frame).map_err(refused)?;
    assert!(buffer.kind() == kind && (any || buffer.len() == len), "another message than the expected one");
    assert_eq!(buffer.payload().len(), kind.size() * buffer.len());
    assert_eq!(buffer.wire(Tag::Push), frame, "it goes out as it came in");
    Ok(())
}

/// A command line, an argument a line; the keys that it gives are resolved, too. Files that it names are not read.
///
/// # Errors
/// Why it is refused.
pub fn cli_args(bytes: &[u8]) -> Result<(), String> {
    let arguments = bytes.split(|byte| *byte == b'\n').map(argument);
    let arguments = std::iter::once("goai-rs".into()).chain(arguments).collect();
    match args::parse(arguments).map_err(refused)? {
        Command::Train(args) | Command::ConfigShow(args) => {
            let sources = Sources { config_file: None, env_file: None, ..args.sources() };
            sources.load().map(drop).map_err(refused)
        }
        _ => Ok(()),
    }
}

/// Bytes as an argument; on Unix any bytes but zero are one.
fn argument(bytes: &[u8]) -> OsString {
    #[cfg(unix)]
    return std::os::unix::ffi::OsStringExt::from_vec(bytes.to_vec());
    #[cfg(not(unix))]
    return String::from_utf8_lossy(bytes).into_owned().into();
}
