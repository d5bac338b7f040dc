//! What can be wrong with a device file: one line each, saying where, what, why and the cure.

/// What is wrong in a line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// From 1.
    pub line: usize,
    /// What and why.
    pub why: String,
    /// What to do about it.
    pub cure: String,
}

/// Devices that cannot be emulated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// A line of a device file or of a trace is wrong.
    #[error("{path}:{line}: {why}; {cure}")]
    Line {
        /// The file.
        path: String,
        /// Its line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
        /// What to do about it.
        cure: String,
    },
    /// There is no such file.
    #[error("{path}: cannot read this device file: {why}; give a path, or one of the shipped files: {shipped}")]
    File {
        /// The file, as it was named.
        path: String,
        /// The system's reason.
        why: String,
        /// The names of the shipped files.
        shipped: String,
    },
    /// No network is called that.
    #[error(
        "{name}: no network is called that, nor can a file of that name be read: {why}; {cure}; or give the file of `goai-rs bench comm --json`"
    )]
    Network {
        /// What was typed.
        name: String,
        /// The system's reason.
        why: String,
        /// The nearest name, or all of them.
        cure: String,
    },
    /// A law of extra computing time that cannot be.
    #[error("delay {text:?}: {why}; {cure}")]
    Delay {
        /// What was typed.
        text: String,
        /// What is wrong with it.
        why: String,
        /// What to do about it.
        cure: String,
    },
    /// More or fewer ranks than devices.
    #[error("{path}: {devices} devices for {ranks} rank{}; start {devices} ranks, or change the list devices", plural(.ranks))]
    Ranks {
        /// The file.
        path: String,
        /// The devices in it.
        devices: usize,
        /// The ranks.
        ranks: usize,
    },
}

impl DeviceError {
    /// A fault in a file.
    pub(super) fn line(path: &str, fault: Fault) -> Self {
        Self::Line { path: path.to_owned(), line: fault.line, why: fault.why, cure: fault.cure }
    }
}

fn plural(count: &usize) -> &'static str {
    if *count == 1 { "" } else { "s" }
}
