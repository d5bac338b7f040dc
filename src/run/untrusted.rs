//! Bytes that strangers wrote, without the files that they come in.

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
