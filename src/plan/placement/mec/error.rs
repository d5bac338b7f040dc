//! What can be wrong with a plan under the mobile-edge-cloud model: one line each.

/// What cannot be planned.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MecError {
    /// Nothing to do.
    #[error("the instance has no tasks: give it at least one")]
    Empty,
    /// Lists that do not belong together.
    #[error(
        "the instance has {work} tasks' work, {data} tasks' data and {predecessors} tasks' predecessors: give each task all three"
    )]
    Lengths {
        /// Tasks whose work is given.
        work: usize,
        /// Tasks whose data is given.
        data: usize,
        /// Tasks whose predecessors are given.
        predecessors: usize,
    },
    /// Work or data that cannot be.
    #[error("task {task} has {what} {value}: give a number that is neither negative nor infinite")]
    Cost {
        /// The task.
        task: usize,
        /// Its work or its data.
        what: &'static str,
        /// As given.
        value: f64,
    },
    /// A predecessor that there is not.
    #[error("task {task} waits for task {predecessor}, and the tasks are 0 to {last}: name one of them")]
    Unknown {
        /// Who waits.
        task: usize,
        /// For whom.
        predecessor: usize,
        /// The last task.
        last: usize,
    },
    /// Tasks that wait for each other.
    #[error("task {task} waits for itself along a cycle: remove one of the cycle's edges")]
    Cyclic {
        /// One of them.
        task: usize,
    },
    /// A constant of the model that cannot be.
    #[error("the mobile-edge-cloud constant {name} is {value}: give {cure}")]
    Constant {
        /// Which.
        name: &'static str,
        /// As given.
        value: f64,
        /// What it may be.
        cure: &'static str,
    },
    /// No edge servers.
    #[error("the mobile-edge-cloud model has no edge server: give at least one price of an edge server")]
    NoEdge,
    /// A budget that nothing meets.
    #[error(
        "no placement costs at most {given}: the cheapest whose edge servers lose nothing costs {least:e}; give a budget of at least that"
    )]
    Budget {
        /// The budget.
        given: f64,
        /// The smallest that works.
        least: f64,
    },
}
