//! The mobile-edge-cloud cost model of Chen et al., and planners under it.
//!
//! One of the two cost models of placements. [`Problem`](super::Problem) is ours: devices, links, contention, idle energy.
//! This one is that of the published work, rebuilt from its formulas so that its results can be reproduced and its
//! planners compared with ours on their own ground: one device, edge servers that are alike but for their prices, and a
//! cloud; no queueing, results come back for free, and money is paid for what is uploaded. It knows an [`Instance`] (work,
//! data, predecessors), its constants [`Mec`], and says by [`evaluate`] what a placement comes to.
//!
//! Planners, one a file: [`sep()`], [`gcc()`] and [`hermes()`] are the baselines, [`optimum()`] is exact, [`auto()`] is ours.
//! [`sweep()`] compares them over budgets.
//!
//! # References
//! Chen, Wu, Zhang, Dai, Long, Yao, IEEE Transactions on Cloud Computing 10(4), 2022, 2451-2468; the hand-checked figures
//! are those of `tests/oracles/offload_mec.json`.

mod auto;
mod cheapest;
mod error;
mod gcc;
mod hermes;
mod improve;
mod instance;
mod labels;
mod model;
mod optimum;
mod sep;
mod sweep;
mod table;
#[cfg(test)]
mod tests;

pub use auto::{Answer, Effort, auto, auto_from};
pub use error::MecError;
pub use gcc::gcc;
pub use hermes::{EPSILON, hermes, hermes_for_all};
pub use instance::Instance;
pub use model::{Figures, Mec, Place, PowerLaw, evaluate};
pub use optimum::optimum;
pub use sep::sep;
pub use sweep::{Budget, Method, Row, sweep};
