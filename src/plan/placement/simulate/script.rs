//! What ranks do, task by task: what a simulation found, and what the ranks of an emulated cluster follow.

use super::{Request, RequestId};
use crate::device::Ledger;
use crate::plan::placement::{TaskId, TensorId};
use crate::units::{Bytes, Seconds};

/// A task that a rank did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Act {
    /// For which request.
    pub request: RequestId,
    /// Which.
    pub task: TaskId,
    /// When it began.
    pub start: Seconds,
    /// When it was done.
    pub end: Seconds,
}

/// A tensor that went from a rank to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Message {
    /// For which request.
    pub request: RequestId,
    /// Which.
    pub tensor: TensorId,
    /// Its sender.
    pub from: usize,
    /// Its receiver.
    pub to: usize,
    /// Its length on the wire.
    pub bytes: Bytes,
    /// When it was given to the transmitter.
    pub sent: Seconds,
    /// When it was there.
    pub arrival: Seconds,
}

/// How a request fared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// Who asked.
    pub source: usize,
    /// When it came up.
    pub arrival: Seconds,
    /// When it was taken up: until then it waited for the queue.
    pub begun: Seconds,
    /// When its last task was done.
    pub end: Seconds,
    /// Its plan.
    pub plan: usize,
}

impl Answer {
    /// How long the one who asked waited.
    pub fn time(&self) -> Seconds {
        self.end - self.arrival
    }
}

/// All that was done.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// By rank, in the order in which it did them.
    pub acts: Vec<Vec<Act>>,
    /// In the order in which they were sent.
    pub messages: Vec<Message>,
    /// By request.
    pub answers: Vec<Answer>,
    /// By rank, until the last answer.
    pub ledgers: Vec<Ledger>,
}

impl Script {
    pub(super) fn new(ranks: usize, requests: &[Request]) -> Self {
        let answer = |request: &Request| {
            let never = Seconds(f64::NAN);
            Answer { source: request.source, arrival: request.arrival, begun: never, end: never, plan: usize::MAX }
        };
        let answers = requests.iter().map(answer).collect();
        Self { acts: vec![Vec::new(); ranks], messages: Vec::new(), answers, ledgers: Vec::new() }
    }

    pub(super) fn did(&mut self, rank: usize, act: Act) {
        self.acts[rank].push(act);
    }

    pub(super) fn sent(&mut self, message: Message) {
        self.messages.push(message);
    }

    pub(super) fn taken_up(&mut self, request: RequestId, plan: usize, at: Seconds) {
        (self.answers[request].plan, self.answers[request].begun) = (plan, at);
    }

    pub(super) fn answered(&mut self, request: RequestId, at: Seconds) {
        self.answers[request].end = at;
    }

    pub(super) fn with_ledgers(self, ledgers: Vec<Ledger>) -> Self {
        Self { ledgers, ..self }
    }

    /// When the last request was answered.
    pub fn end(&self) -> Seconds {
        let ends = self.acts.iter().flatten().map(|act| act.end.0);
        Seconds(ends.fold(0.0, f64::max))
    }
}
