//! Machines: what time it is on them. Profiles, links and energy stand on this clock.

mod clock;

pub use clock::{Clock, RealClock, VirtualClock};
