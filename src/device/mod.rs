//! Machines: what time it is on them, what work costs them in seconds and joules, and what lies between them.
//!
//! A [`Clock`] is what a strategy sees: measured time, and beside it, where the run is emulated, a [`Machine`] that keeps
//! modelled time. [`Devices`] says which [`Profile`] each rank has and which [`Link`] lies between two.
//! A [`Network`] lies between ranks that run for real; [`Wire`] tells what collective operations cost on it.

mod clock;
mod collective;
mod delay;
mod devices;
mod error;
mod file;
mod ledger;
mod link;
mod machine;
mod network;
mod profile;
mod reader;
mod shipped;
mod switch;
mod trace;
mod transmitter;
mod work;

pub use clock::{Clock, EmulatedClock, Pace, RealClock};
pub use collective::{AllGather, AllReduce, Broadcast, Counts, Wire};
pub use delay::{Delay, Draw, Law};
pub use devices::Devices;
pub use error::DeviceError;
pub use ledger::{Energy, Ledger};
pub use link::Link;
pub use machine::{Machine, Mark};
pub use network::{Network, Point};
pub use profile::{Power, Profile, Table, Tier};
pub use switch::Switch;
pub use trace::Trace;
pub use transmitter::{Ports, Sent, Transmitters};
pub use work::{Pass, Work};

use error::Fault;
