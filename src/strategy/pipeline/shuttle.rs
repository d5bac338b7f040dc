//! The traffic of a chain without its work, messages left as they are: what the links cost is measured with it, by the same ends that training uses.

use super::channel::{Gradients, Inlet, Outlet};
use crate::comm::{CommError, Communicator, Note};

/// Two ranks that send each other what two neighbouring stages would.
pub struct Shuttle<'a> {
    end: Option<End<'a>>,
    dims: usize,
    labels: Vec<u32>,
}

/// One rank's ends of the link.
enum End<'a> {
    Upper(Outlet<'a>, Gradients<'a>),
    Lower(Inlet<'a>, Gradients<'a>),
}

impl<'a> Shuttle<'a> {
    /// Between rank 0 and `peer`, for pieces of so many rows of `dims` elements. With a window gradients do not come back,
    /// but credits. The other ranks have nothing to do.
    pub fn new(comm: &'a dyn Communicator, peer: usize, rows: usize, dims: usize, window: Option<usize>) -> Self {
        let end = match comm.rank() {
            0 => {
                let outlet = Outlet::new(comm, peer, dims, window.unwrap_or(usize::MAX));
                Some(End::Upper(outlet, Gradients::new(comm, peer)))
            }
            rank if rank == peer => {
                let inlet = if window.is_some() { Inlet::new(comm, 0, dims) } else { Inlet::scheduled(comm, 0, dims) };
                Some(End::Lower(inlet, Gradients::new(comm, 0)))
            }
            _ => None,
        };
        Self { end, dims, labels: vec![0; rows] }
    }

    /// So many pieces go down, then as many gradients come up; with a window all credits are back at the end.
    ///
    /// # Collective
    /// Both ranks must call it with the same number.
    ///
    /// # Errors
    /// When the transport fails.
    pub fn round(&mut self, pieces: usize) -> Result<(), CommError> {
        let Self { end, dims, labels } = self;
        let len = labels.len() * *dims;
        match end {
            None => Ok(()),
            Some(End::Upper(outlet, gradients)) => {
                let credited = outlet.is_credited();
                for _ in 0..pieces {
                    outlet.send(Note::default(), labels, |_| {})?;
                }
                if credited {
                    return outlet.finish();
                }
                (0..pieces).try_for_each(|_| gradients.receive(len, |_| {}))?;
                outlet.finish()
            }
            Some(End::Lower(inlet, gradients)) => {
                for _ in 0..pieces {
                    let parcel = inlet.take(|| 0.0)?;
                    inlet.reuse(parcel);
                }
                if inlet.gives_credits() {
                    return inlet.finish();
                }
                (0..pieces).try_for_each(|_| gradients.send(Note::default(), len, |_| {}))?;
                gradients.finish()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comm::{ThreadOptions, run_threads};

    #[test]
    fn both_ends_agree_on_what_goes_and_comes() {
        for (window, rounds) in [(None, [1, 4, 2]), (Some(2), [1, 9, 3]), (Some(1), [2, 2, 2])] {
            let done = run_threads(3, ThreadOptions::default(), |comm| {
                let mut shuttle = Shuttle::new(comm, 2, 5, 7, window);
                rounds.into_iter().try_for_each(|pieces| shuttle.round(pieces))
            });
            assert!(done.iter().all(Result::is_ok), "{window:?} {done:?}");
        }
    }
}
