//! What can be wrong with a network's description.

use super::Shape;

/// A network that cannot be built.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// A node names an input that does not exist before it.
    #[error(
        "node '{node}' reads '{input}', which is no earlier node and not the input; nodes come in topological order"
    )]
    UnknownInput {
        /// The reading node.
        node: String,
        /// The missing name.
        input: String,
    },
    /// Two nodes share a name.
    #[error("two nodes are named '{0}'; names must differ, they name the tensors of the model file")]
    DuplicateName(String),
    /// A layer got the wrong number of inputs.
    #[error("node '{node}': a {layer} layer takes {expected} input(s), got {got}")]
    InputCount {
        /// The node.
        node: String,
        /// The kind of layer.
        layer: &'static str,
        /// How many it takes.
        expected: usize,
        /// How many it got.
        got: usize,
    },
    /// A layer cannot take a tensor of this shape.
    #[error("node '{node}': a {layer} layer with {expected} inputs cannot read a tensor of {got}")]
    InputShape {
        /// The node.
        node: String,
        /// The kind of layer.
        layer: &'static str,
        /// What it wants.
        expected: String,
        /// What it got.
        got: Shape,
    },
    /// A layer's own numbers are wrong, or do not fit its input.
    #[error("node '{node}': a {layer} layer {why}; {cure}")]
    Unfit {
        /// The node.
        node: String,
        /// The kind of layer.
        layer: &'static str,
        /// What it has or got.
        why: String,
        /// What to do.
        cure: &'static str,
    },
    /// Two dropout layers draw the same numbers.
    #[error("dropout nodes '{first}' and '{second}' both have stream {stream}; give each its own number")]
    SameStream {
        /// The earlier node.
        first: String,
        /// The later node.
        second: String,
        /// The number.
        stream: u32,
    },
    /// No network of the zoo has this name.
    #[error("there is no network named '{name}'{question}; choose one of {known}, or give a model file")]
    UnknownNetwork {
        /// The name.
        name: String,
        /// The nearest name, as a question.
        question: String,
        /// All names.
        known: String,
    },
    /// A width that is no multiplier.
    #[error("a width of {0} makes no network; give a number above 0, 1 is the network as it was published")]
    Width(f64),
    /// A network that comes in one width.
    #[error("{name} comes in one width; width applies to {wide}: leave it at 1, or choose one of them")]
    NoWidth {
        /// The network.
        name: String,
        /// Those that have a width.
        wide: String,
    },
    /// No output, or an output that is no node.
    #[error("output '{0}' is no node of the network; name the node whose values the loss reads")]
    UnknownOutput(String),
    /// Two outputs name the same node.
    #[error("output '{0}' has two losses; name each node once")]
    TwoLosses(String),
    /// A network without outputs has nothing to learn.
    #[error("the network has no output; name at least one node and its loss")]
    NoOutput,
    /// A dimension is zero, or the sizes overflow.
    #[error("node '{node}': sizes must be at least 1 and their product must fit in memory ({what})")]
    Size {
        /// The node.
        node: String,
        /// Which size.
        what: String,
    },
}
