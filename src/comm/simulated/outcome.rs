//! What a simulated world came to.

use crate::comm::Tag;
use std::fmt;
use std::time::Duration;

/// How a rank ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End<T> {
    /// Its body returned this.
    Returned(T),
    /// The plan let it crash.
    Crashed,
    /// The plan froze it for ever.
    Frozen,
    /// The world ended while it was running or waiting: see [`Outcome::stuck`].
    Stuck,
    /// Its body panicked with these words.
    Panicked(String),
}

impl<T> End<T> {
    /// What the body returned, if it did.
    pub fn returned(&self) -> Option<&T> {
        match self {
            End::Returned(result) => Some(result),
            _ => None,
        }
    }
}

/// Why a world ended before its ranks did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// All ranks wait, and nothing is on its way.
    Deadlock,
    /// [`Plan::limit`](super::Plan::limit) has passed.
    Time,
    /// [`Plan::most_events`](super::Plan::most_events) have happened.
    Events,
}

/// What a rank that did not end was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// It was running.
    Running,
    /// It waited for a message of one rank, or of any, on a channel.
    Receiving(Option<usize>, Tag),
    /// It waited until a rank receives its message on a channel.
    Sending(usize, Tag),
}

/// A world that ended before its ranks did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// Why it ended.
    pub why: Why,
    /// The ranks that had not ended, and what they were doing.
    pub ranks: Vec<(usize, Activity)>,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.why {
            Why::Deadlock => "deadlock",
            Why::Time => "the time limit has passed",
            Why::Events => "more events than allowed",
        })?;
        for (rank, doing) in &self.ranks {
            match doing {
                Activity::Running => write!(f, "; rank {rank} runs")?,
                Activity::Receiving(None, tag) => write!(f, "; rank {rank} waits for {tag:?} of any rank")?,
                Activity::Receiving(Some(from), tag) => write!(f, "; rank {rank} waits for {tag:?} of rank {from}")?,
                Activity::Sending(to, tag) => write!(f, "; rank {rank} waits for rank {to} to receive {tag:?}")?,
            }
        }
        Ok(())
    }
}

/// A message that nobody received, between two ranks that both returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// The sender.
    pub from: usize,
    /// The receiver.
    pub to: usize,
    /// The channel.
    pub tag: Tag,
    /// Its step.
    pub step: u32,
}

/// What a simulated world came to.
#[derive(Debug)]
pub struct Outcome<T> {
    /// How each rank ended.
    pub ends: Vec<End<T>>,
    /// Why the world ended before its ranks did, if it did.
    pub stuck: Option<Stuck>,
    /// Messages that nobody received. Those of or to a rank that did not return are not among them.
    pub left: Vec<Left>,
    /// When the last rank ended, in virtual time.
    pub time: Duration,
    /// How many calls of the communicator were made.
    pub calls: u64,
    /// The hash of all that happened, in order and with times, but for the messages' contents.
    pub hash: u64,
    /// What happened, if [`Plan::trace`](super::Plan::trace) asked for it.
    pub trace: Vec<String>,
}

impl<T> Outcome<T> {
    /// What the bodies returned.
    ///
    /// # Panics
    /// When a rank did not return, or messages were left.
    pub fn results(self) -> Vec<T> {
        assert!(self.stuck.is_none(), "{}", self.stuck.expect("it is stuck"));
        assert!(self.left.is_empty(), "messages that nobody received: {:?}", self.left);
        let returned = |(rank, end)| match end {
            End::Returned(result) => result,
            End::Panicked(words) => panic!("rank {rank} panicked: {words}"),
            End::Crashed | End::Frozen | End::Stuck => panic!("rank {rank} did not return"),
        };
        self.ends.into_iter().enumerate().map(returned).collect()
    }
}
