//! Faults on purpose, for the tests that prove that no rank is left behind.
//!
//! `GOAI_FAULT=KIND@rank=R,step=S` makes rank R fail at the beginning of step S (from 1).

use signal_hook::consts::{SIGABRT, SIGKILL, SIGSEGV};
use signal_hook::low_level::raise;

/// The variable.
pub const VARIABLE: &str = "GOAI_FAULT";

/// A way to end abnormally.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A panic of the rank's own thread.
    Panic,
    /// A panic in another thread of the process.
    PanicThread,
    /// An error that only this rank has.
    Error,
    /// The process exits with this code and without a word.
    Exit(i32),
    /// A signal that ends the process.
    Signal(i32),
}

/// A planned fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    kind: Kind,
    rank: usize,
    step: u64,
}

impl Fault {
    /// Reads a plan.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{VARIABLE}={text}: write KIND@rank=R,step=S with KIND one of panic, panic_thread, error, exit0, exit3, segv, abort, kill"
            )
        };
        let (kind, place) = text.split_once('@').ok_or_else(wrong)?;
        let kind = match kind {
            "panic" => Kind::Panic,
            "panic_thread" => Kind::PanicThread,
            "error" => Kind::Error,
            "exit0" => Kind::Exit(0),
            "exit3" => Kind::Exit(3),
            "segv" => Kind::Signal(SIGSEGV),
            "abort" => Kind::Signal(SIGABRT),
            "kill" => Kind::Signal(SIGKILL),
            _ => return Err(wrong()),
        };
        let number = |name: &str| {
            let mut parts = place.split(',').filter_map(|part| part.split_once('='));
            parts.find(|(n, _)| *n == name).and_then(|(_, value)| value.parse::<u64>().ok()).ok_or_else(wrong)
        };
        Ok(Self { kind, rank: number("rank")? as usize, step: number("step")? })
    }

    /// Fails, when it is this rank's turn to.
    ///
    /// # Errors
    /// The planned error.
    ///
    /// # Panics
    /// The planned panic.
    pub fn strike(&self, rank: usize, step: u64) -> Result<(), String> {
        if (rank, step) != (self.rank, self.step) {
            return Ok(());
        }
        match self.kind {
            Kind::Panic => panic!("{VARIABLE}: rank {rank}, step {step}"),
            Kind::PanicThread => {
                let other = std::thread::spawn(move || panic!("{VARIABLE}: rank {rank}, step {step}"));
                let _ = other.join();
                Ok(())
            }
            Kind::Error => Err(format!("{VARIABLE}: an error at step {step}")),
            Kind::Exit(code) => std::process::exit(code),
            // Rust's handler of SIGSEGV puts the default back and returns, since a real fault strikes again at once.
            Kind::Signal(signal) => loop {
                let _ = raise(signal);
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_read_and_strike_once() {
        let fault = Fault::parse("error@rank=2,step=5").unwrap();
        assert_eq!(fault, Fault { kind: Kind::Error, rank: 2, step: 5 });
        assert!(fault.strike(2, 4).is_ok() && fault.strike(1, 5).is_ok());
        assert!(fault.strike(2, 5).unwrap_err().contains("step 5"));
        for bad in ["", "panic", "panic@rank=1", "nap@rank=1,step=2", "panic@rank=x,step=2"] {
            assert!(Fault::parse(bad).unwrap_err().contains("KIND@rank=R,step=S"), "{bad}");
        }
    }
}
