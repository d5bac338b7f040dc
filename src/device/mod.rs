//! Machines: what time it is on them, what work costs them in seconds and joules, and what lies between them.
//!
//! A [`Clock`] is what a strategy sees: measured time, and beside it, where the run is emulated, a [`Machine`] that keeps
//! modelled time. [`Devices`] is a file of [`Profile`]s and [`Link`]s.

mod clock;
mod machine;
mod profile;
mod work;

pub use clock::{Clock, EmulatedClock, Pace, RealClock};
pub use machine::{Energy, Ledger, Machine};
pub use profile::{Power, Profile, Table};
pub use work::{Pass, Work};
