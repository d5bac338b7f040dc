//! Where devices hand a network over to a server: what each cut costs, and which is best.

mod objective;

pub use objective::{Infeasible, Objective, Point};
