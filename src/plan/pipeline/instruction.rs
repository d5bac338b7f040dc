//! What a stage does: one word of a schedule.

/// One thing that a stage does with one micro-batch, named by its number.
///
/// Sends do not wait; receives do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Instruction {
    /// Computes this stage's output; keeps what the backward pass reads.
    Forward(u32),
    /// Computes the gradients of input and parameters, and forgets what the forward pass kept.
    Backward(u32),
    /// Computes the gradient of the input only.
    BackwardInput(u32),
    /// Computes the gradient of the parameters only, and forgets what the forward pass kept.
    BackwardParams(u32),
    /// Waits for the activations of the stage before.
    ReceiveActivations(u32),
    /// Sends the activations to the stage behind.
    SendActivations(u32),
    /// Waits for the gradient from the stage behind.
    ReceiveGradient(u32),
    /// Sends the gradient to the stage before.
    SendGradient(u32),
}

/// A message to a neighbour, seen from one end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// To this stage.
    To(usize),
    /// From this stage.
    From(usize),
}

impl Instruction {
    /// How many words there are.
    pub(super) const WORDS: usize = 8;

    /// The micro-batch.
    pub fn micro(self) -> u32 {
        use Instruction::*;
        match self {
            Forward(m) | Backward(m) | BackwardInput(m) | BackwardParams(m) => m,
            ReceiveActivations(m) | SendActivations(m) | ReceiveGradient(m) | SendGradient(m) => m,
        }
    }

    /// Whether it occupies the stage's processor.
    pub fn computes(self) -> bool {
        self.word() < 4
    }

    /// The number of the word, whatever the micro-batch.
    pub(super) fn word(self) -> usize {
        use Instruction::*;
        match self {
            Forward(_) => 0,
            Backward(_) => 1,
            BackwardInput(_) => 2,
            BackwardParams(_) => 3,
            ReceiveActivations(_) => 4,
            SendActivations(_) => 5,
            ReceiveGradient(_) => 6,
            SendGradient(_) => 7,
        }
    }

    /// The stage at the other end of the message, which may not exist; nothing, if it is none.
    pub(super) fn end(self, stage: usize) -> Option<End> {
        use Instruction::*;
        match self {
            SendActivations(_) => Some(End::To(stage + 1)),
            SendGradient(_) => Some(End::To(stage.wrapping_sub(1))),
            ReceiveActivations(_) => Some(End::From(stage.wrapping_sub(1))),
            ReceiveGradient(_) => Some(End::From(stage + 1)),
            _ => None,
        }
    }

    /// The receive of this send.
    pub(super) fn received_as(self) -> Option<Instruction> {
        use Instruction::*;
        match self {
            SendActivations(m) => Some(ReceiveActivations(m)),
            SendGradient(m) => Some(ReceiveGradient(m)),
            _ => None,
        }
    }
}

impl std::fmt::Display for Instruction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use Instruction::*;
        let word = match self {
            Forward(_) => "forward",
            Backward(_) => "backward",
            BackwardInput(_) => "backward (input)",
            BackwardParams(_) => "backward (parameters)",
            ReceiveActivations(_) => "receive activations",
            SendActivations(_) => "send activations",
            ReceiveGradient(_) => "receive gradient",
            SendGradient(_) => "send gradient",
        };
        write!(f, "{word} of micro-batch {}", self.micro())
    }
}
