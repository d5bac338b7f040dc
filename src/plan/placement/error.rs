//! Why a method finds no placement: the same words whichever method was asked.

use crate::units::Bytes;

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlacementError {
    /// A task that fits into no memory, or into what others left of it.
    #[error(
        "the task '{task}' needs {bytes} of memory and the roomiest rank that may run it has {most} left, {missing} too \
         little: give a rank more memory, add one, or cut the graph finer", missing = Bytes(bytes.0.saturating_sub(most.0))
    )]
    NoRoom {
        /// The task.
        task: String,
        /// What it needs.
        bytes: Bytes,
        /// What is left on the rank that has most, of those that may run it.
        most: Bytes,
    },
    /// A task that no rank may run.
    #[error(
        "no rank can run the task '{task}': its pin, the ranks' speeds and the links to them leave none; pin it elsewhere or give a rank a speed and a link above 0"
    )]
    NoRank {
        /// The task.
        task: String,
    },
    /// A graph that is too large for an exact method.
    #[error(
        "{method} takes graphs of at most {most} tasks and this one has {tasks}: fuse tasks or choose another policy"
    )]
    TooLarge {
        /// The method.
        method: &'static str,
        /// The graph's tasks.
        tasks: usize,
        /// What the method takes.
        most: usize,
    },
    /// A limit that no plan keeps.
    #[error("no plan keeps the {limit} of {given}: the smallest that works is {least}")]
    Budget {
        /// What is limited, with its unit: "deadline in s".
        limit: &'static str,
        /// The limit.
        given: f64,
        /// The smallest with which there is a plan.
        least: f64,
    },
    /// A method that needs what the devices or the graph do not have.
    #[error("the policy {method} needs {lacks}: choose another policy, or a graph and a device file that have it")]
    Needs {
        /// The method.
        method: &'static str,
        /// What it needs and did not find.
        lacks: String,
    },
    /// A search that ended without an answer.
    #[error(
        "the policy {method} gave up after {after} begun schedules: fuse tasks, let it try more, or choose another"
    )]
    GaveUp {
        /// The method.
        method: &'static str,
        /// How far it went.
        after: u64,
    },
    /// A name that no policy has.
    #[error("no policy is named '{policy}': choose one of {known}")]
    Unknown {
        /// The name.
        policy: String,
        /// Those that there are.
        known: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_with_what_is_missing_and_a_cure() {
        let task = || "conv1".to_owned();
        let cases = [
            (PlacementError::NoRoom { task: task(), bytes: Bytes(9), most: Bytes(4) }, "5 B too little: give"),
            (PlacementError::NoRank { task: task() }, "no rank can run the task 'conv1'"),
            (PlacementError::TooLarge { method: "exact", tasks: 40, most: 20 }, "at most 20 tasks and this one has 40"),
            (PlacementError::GaveUp { method: "exact", after: 9 }, "gave up after 9 begun schedules: fuse"),
            (PlacementError::Unknown { policy: "hefty".into(), known: "heft".into() }, "'hefty': choose one of heft"),
            (PlacementError::Budget { limit: "deadline in s", given: 1.0, least: 1.5 }, "smallest that works is 1.5"),
            (
                PlacementError::Needs { method: "edge", lacks: "a rank of tier \"edge\"".into() },
                "of tier \"edge\": choose another policy",
            ),
        ];
        for (error, expected) in cases {
            let message = error.to_string();
            assert!(message.contains(expected) && !message.contains('\n'), "{message}");
            assert!(!message.contains("  "), "{message}");
        }
    }
}
