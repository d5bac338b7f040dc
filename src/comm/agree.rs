//! Error agreement: before training, a failure of any rank is known to all, and ends all in order.

use super::{CommError, Communicator, Reduce, Values};

/// What the ranks agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// No rank failed.
    Go,
    /// These did: rank, exit code, message.
    Stop(Vec<(usize, u8, String)>),
}

/// Collects a text of every rank on every rank, in rank order.
///
/// # Collective
/// Every rank must call it; the texts may differ in length.
///
/// # Errors
/// When communication fails.
pub fn gather_texts(comm: &dyn Communicator, mine: &str) -> Result<Vec<String>, CommError> {
    let mut longest = [mine.len() as i64];
    comm.all_reduce(Values::I64(&mut longest), Reduce::Max)?;
    let room = longest[0] as usize + 8;
    let mut record = vec![0; room];
    record[..8].copy_from_slice(&(mine.len() as u64).to_le_bytes());
    record[8..8 + mine.len()].copy_from_slice(mine.as_bytes());
    let mut all = vec![0; room * comm.size()];
    comm.all_gather(&record, &mut all)?;
    let texts = all.chunks_exact(room).map(|record| {
        let len = u64::from_le_bytes(record[..8].try_into().expect("eight bytes")) as usize;
        String::from_utf8_lossy(&record[8..8 + len.min(room - 8)]).into_owned()
    });
    Ok(texts.collect())
}

/// Tells every rank whether all are well. A failure is an exit code and a message.
///
/// # Collective
/// Every rank must call it.
///
/// # Errors
/// When communication fails.
pub fn agree(comm: &dyn Communicator, mine: Result<(), (u8, String)>) -> Result<Verdict, CommError> {
    let mine = match mine {
        Ok(()) => String::new(),
        Err((code, message)) => format!("{code} {message}"),
    };
    let failures: Vec<_> = gather_texts(comm, &mine)?
        .into_iter()
        .enumerate()
        .filter_map(|(rank, text)| {
            let (code, message) = text.split_once(' ')?;
            Some((rank, code.parse().unwrap_or(101), message.to_string()))
        })
        .collect();
    Ok(if failures.is_empty() { Verdict::Go } else { Verdict::Stop(failures) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comm::{ThreadOptions, run_threads};

    #[test]
    fn all_ranks_learn_who_failed_and_why() {
        for failing in [vec![], vec![2], vec![0, 1, 2]] {
            let verdicts = run_threads(3, ThreadOptions::default(), |comm| {
                let mine = if failing.contains(&comm.rank()) {
                    Err((4, format!("no data on {}", comm.rank())))
                } else {
                    Ok(())
                };
                agree(comm, mine).unwrap()
            });
            let expected = match failing.is_empty() {
                true => Verdict::Go,
                false => Verdict::Stop(failing.iter().map(|r| (*r, 4, format!("no data on {r}"))).collect()),
            };
            assert!(verdicts.iter().all(|v| *v == expected), "{verdicts:?}");
        }
    }
}
