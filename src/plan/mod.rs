//! Plans: what ranks will do, as data that is checked and timed before any rank exists.
//!
//! A plan is worked out from numbers alone, the same on every rank. Strategies carry plans out; nothing here sends,
//! sleeps, reads a file or knows a rank.

pub mod pipeline;
pub mod placement;
pub mod quorum;
pub mod scale;
pub mod split;
