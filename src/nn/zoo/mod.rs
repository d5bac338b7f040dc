//! Reference networks: one file a family, one line here.

mod mlp;

pub use mlp::{Hidden, MlpOptions, mlp};
