//! Messages between ranks.
//!
//! A [`Communicator`] is small and object-safe. Four backends carry it: [`Solo`] (one rank),
//! [`ThreadComm`] (ranks as threads, stricter than MPI), `MpiComm` (the only file that names the
//! mpi crate) and [`SimComm`](simulated::SimComm) (ranks in virtual time, to test protocols on any schedule).
//! [`Metered`] counts bytes and seconds around any of them, [`Emulated`] lets messages take virtual time; a
//! [`Group`] is some of its ranks. A [`Heartbeat`] knows which ranks live, [`Watched`] says so.

mod agree;
mod buffer;
mod communicator;
mod emulated;
mod error;
pub mod fixed_point;
mod group;
mod handshake;
mod heartbeat;
pub mod launcher;
mod metered;
mod reductions;
pub mod simulated;
mod solo;
mod thread;
mod values;
mod vitals;
mod watched;

#[cfg(feature = "mpi")]
pub mod mpi;

pub use agree::{Verdict, agree, gather_texts};
pub use buffer::{Buffer, HEADER, Kind, Note, Tag};
pub use communicator::{Communicator, Life, Pending, SharedVector};
pub use emulated::Emulated;
pub use error::CommError;
pub use group::Group;
pub use handshake::{Identity, PROTOCOL, compare};
pub use heartbeat::{Caller, Heartbeat};
pub use metered::{Metered, Traffic};
pub use solo::Solo;
pub use thread::{ThreadComm, ThreadOptions, run_threads};
pub use values::{Reduce, Values};
pub use vitals::{Pulse, Vitals};
pub use watched::Watched;
