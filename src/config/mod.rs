//! Configuration, twice: as typed ([`Raw`]: text and where it came from) and as checked
//! ([`Config`]: typed, complete, free of contradictions).
//!
//! [`keys`] is the one table from which flags, variables, files, messages and defaults derive.
//! [`Sources`] says where values come from and which source wins; every mistake is a
//! [`ConfigError`]: one line that says where, what, why and the cure, with its exit code.
//!
//! # Collective
//! Nothing here communicates. Rank 0 calls [`Sources::load`] and sends [`Config`] and [`Origins`]
//! to the others, both as JSON.

mod checked;
pub mod choices;
mod differences;
mod env_file;
mod error;
pub mod keys;
mod kind;
mod lists;
mod origin;
mod raw;
mod resolve;
pub mod show;
mod sources;
pub mod suggest;
mod text_file;
mod toml_file;
mod values;

#[cfg(test)]
mod bad_input;

pub use checked::Config;
pub use choices::{
    Activation, AugmentKind, BadImage, ClockKind, EvalPart, ExitRule, Granularity, Init, Learn, LossKind, Mode,
    OptimizerKind, PipelineSchedule, PlanObjective, Policy, PredictFormat, Progress, Protocol, RateScaling, Schedule,
    Sync,
};
pub use differences::{Difference, differences, table};
pub(crate) use env_file::read_bytes as read_env_bytes;
pub use error::ConfigError;
pub use kind::{Kind, Problem};
pub use lists::{Cuts, Every, Neighbourhood, Numbers, RankList, SplitPoints};
pub use origin::{Origin, Origins};
pub use raw::{Entry, Raw};
pub use resolve::resolve;
pub use sources::Sources;
pub use values::{Arrivals, Dataset, GlobalBatch, ImageSize, Model};
