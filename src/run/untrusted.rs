//! Bytes that strangers wrote, without the files that they come in.

use super::checkpoint::Loaded;
use super::error::{RunError, one_line};
use super::model_bytes::from_bytes;
use std::path::Path;

/// Reads the bytes of a model file.
///
/// # Errors
/// As [`super::model_file::load`].
pub(crate) fn model(bytes: &[u8]) -> Result<(), RunError> {
    let refuse = |(why, cure): (String, _)| RunError::Model {
        path: Path::new("model.safetensors").to_owned(),
        why: one_line(&why),
        cure,
    };
    from_bytes(bytes).map(drop).map_err(refuse)
}

/// Reads the bytes of a checkpoint.
///
/// # Errors
/// As [`super::checkpoint::load`].
pub(crate) fn checkpoint(bytes: &[u8]) -> Result<(), RunError> {
    Loaded::from_bytes(Path::new("step-00000001.safetensors"), bytes).map(drop)
}
