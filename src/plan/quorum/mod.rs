//! Quorums: which worker of a parameter server computes which chunk of a pass, when a step closes, what is dropped.
//!
//! A pass (an epoch) is cut into chunks. A [`Quorum`] is a state machine: an [`Event`] goes in, [`Action`]s come out.
//! It sends nothing and reads no clock, so thousands of schedules run in a second, and a failure replays from its
//! events. Whatever workers do, **each chunk is applied exactly once a pass**.
//!
//! # How to drive it
//!
//! [`Quorum::begin_pass`], then [`Quorum::on`] with each event, then [`Quorum::next_action`] until it has none.
//! [`Action::Close`] is answered with [`Event::Applied`] or [`Event::Again`] before the next result is handed in.
//! (A result that comes in between is handled: a synchronous rule drops it, an asynchronous one takes it for the next
//! step, which may then hold more than K.)
//!
//! # The rules
//!
//! | rule | closes with | the others | a worker that delivered |
//! |---|---|---|---|
//! | [`Rule::KSync`] | K workers' results of this version | cancelled | waits for the next step |
//! | [`Rule::KBatch`] | K results of this version | cancelled | gets the next chunk, same version |
//! | [`Rule::KAsync`] | K workers' results of any version | go on, stale | waits for the next step |
//! | [`Rule::KBatchAsync`] | K results of any version | go on, stale | gets the next chunk, newest version |
//! | [`Rule::Shards`] | all of K given shards | cancelled | gets the next shard of the step |
//!
//! The lock-step is k-sync with K = P, backup workers are k-sync with K < P, the asynchronous rule is k-batch-async
//! with K = 1.
//!
//! - The free chunk with the smallest number goes first; workers without work get it in worker order. A chunk whose
//!   work was cancelled or lost is free again, so it goes before all later ones.
//! - When no chunk is free, workers without work compute **copies** of chunks that are out: the one with the fewest
//!   holders, then the one out longest. The first result wins; the other holders are called off. Synchronous rules
//!   copy at once; shards and asynchronous rules copy only what has been out for [`Terms::straggler_factor`] times
//!   the fastest chunk of this pass, and nothing without a factor.
//! - In the tail of a pass, when fewer chunks are left than K, the quorum is what is left. The end of a pass is a
//!   barrier for every rule.
//! - **Fewer live workers than K**: k-sync and k-async close with as many contributions as there are live workers;
//!   k-batch, k-batch-async and shards still wait for K, from fewer hands, and just take longer. With nobody live
//!   ([`Action::NobodyLeft`]) the pass waits until somebody is back.
//! - [`Terms::fixed`]: a step is exactly the next K chunks not applied, in order, so what each step applies depends on
//!   nothing but K and the checkpoint. A worker may then contribute several times in any rule (k-sync and k-batch are
//!   the same), for otherwise K could not be reached below K live workers.
//! - [`Event::Again`] makes the chunks of the closed step such a fixed step, once more, under any rule.
//!
//! # References
//!
//! - Dutta et al., *Slow and stale gradients can win the race*, AISTATS 2018, arXiv:1803.01113: the four K rules and
//!   their runtimes, which the tests reproduce.
//! - Chen et al., *Revisiting distributed synchronous SGD*, 2016, arXiv:1604.00981: backup workers.
//! - Ho et al., *More effective distributed ML via a stale synchronous parallel parameter server*, NIPS 2013:
//!   staleness.
//! - DAIG (distributed asynchronous inference grid): K shards a step, re-issue of a shard that is slower than 1.5
//!   times the fastest. Its cap on contributors stalled for ever when one of them vanished; here its place is free.

mod ledger;
mod machine;
mod message;
mod rules;
mod terms;
mod worker;

#[cfg(test)]
mod law_tests;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;

pub use machine::Quorum;
pub use message::{Action, Event, Why};
pub use terms::{Rule, Terms, TermsError};
pub use worker::{Job, Tally};
