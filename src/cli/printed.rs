//! What becomes of a command when nobody, or a full disk, takes what it prints.

use super::failure::{DATA, Failure};
use std::io::{self, ErrorKind};

/// The end of a command whose printing went like this.
///
/// A reader that has left, as `head` does, has seen all that it wanted: no failure.
///
/// # Errors
/// Any other refusal of the system, exit code 4.
pub(super) fn printed(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(why) if why.kind() != ErrorKind::BrokenPipe => {
            let text = format!("standard output: cannot write on: {why}; free some space, or write it somewhere else");
            Err(Failure::new(DATA, text))
        }
        _ => Ok(()),
    }
}

/// A writer for tests that refuses everything.
#[cfg(test)]
pub(super) struct Refusing(pub ErrorKind);

#[cfg(test)]
impl io::Write for Refusing {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(self.0.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn only_a_reader_that_left_is_forgiven() {
        for (kind, code) in [(ErrorKind::BrokenPipe, None), (ErrorKind::StorageFull, Some(4))] {
            let end = printed(writeln!(Refusing(kind), "text"));
            assert_eq!(end.err().map(|failure| failure.code), code, "{kind}");
        }
        assert_eq!(printed(Ok(())), Ok(()));
    }
}
