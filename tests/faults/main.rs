//! No rank is left behind: whatever ends one rank ends the job, soon, with one message and nothing left running.
//!
//! Real processes under the real launcher; the faults are planned ones (`GOAI_FAULT`) or come from outside
//! (`kill`). What is measured is the time from the fault to the end of the last process.

mod grid;
mod job;
mod offload;
mod output;
mod outside;
mod pipeline;
mod planned;
mod refused;
mod split;
mod survivors;
mod ulfm;
