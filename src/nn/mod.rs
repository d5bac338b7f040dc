//! The network core: a network is a graph over one flat parameter vector θ.
//!
//! [`Spec`] says what a network is, [`Network`] is the checked graph with the span of every
//! parameter tensor, and [`Program`] is the network compiled for execution: the fused program
//! is the fast one, the naive program walks the layers one by one and stays as its oracle.
//! Nothing here knows a rank, a file or a clock.
//!
//! Dimensions: B batch, D features, C H W image, K classes, P parameters.

mod context;
mod cost;
mod error;
mod exits;
mod incremental;
mod inference;
mod init;
mod layer;
mod loss;
mod nearest;
mod network;
mod objective;
mod parameters;
mod part;
mod program;
mod shape;
mod spec;
mod team;
mod window;

#[cfg(test)]
mod gradient_check;
#[cfg(test)]
mod picture_tests;
#[cfg(test)]
mod stage_tests;

pub mod kernels;
pub mod layers;
pub mod model_text;
pub mod zoo;

pub use context::{Context, Phase};
pub use cost::Cost;
pub use error::NetError;
pub use exits::with_exits;
pub use incremental::Incremental;
pub use inference::{Answers, Inference};
pub use init::Init;
pub use layer::{At, Inputs, Layer, TensorSpec};
pub use loss::{Loss, Tally, argmax};
pub use network::{Network, Node, Output, Tensor, ValueId};
pub use objective::{BatchObjective, Objective};
pub use parameters::{ParameterKind, Parameters};
pub use part::Part;
pub use program::{Around, Flavor, Pass, PassFlops, Program, StepInfo, Workspace};
pub use shape::{Shape, Span};
pub use spec::{NodeSpec, OutputSpec, Spec};
pub use team::{Alone, Team};
