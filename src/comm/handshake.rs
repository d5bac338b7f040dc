//! The handshake: ranks that differ are refused, with the rank and the key that differ.

use super::{CommError, Communicator, gather_texts};
use std::collections::BTreeMap;

/// The version of the wire protocol: raised whenever a message or the step protocol changes.
pub const PROTOCOL: u16 = 1;

/// Bytes of the first frame. Its layout is frozen: any two versions can read each other's.
const FRAME: usize = 64;

/// What must be equal on all ranks: key to value, with values short enough to print.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity(pub BTreeMap<String, String>);

impl Identity {
    /// Adds a key.
    pub fn with(mut self, key: impl Into<String>, value: impl ToString) -> Self {
        self.0.insert(key.into(), value.to_string());
        self
    }
}

/// `GOAI`, the protocol, the program's version: what the first exchange holds.
fn frame() -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    frame[..4].copy_from_slice(b"GOAI");
    frame[4..6].copy_from_slice(&PROTOCOL.to_le_bytes());
    let version = env!("CARGO_PKG_VERSION").as_bytes();
    frame[6..6 + version.len()].copy_from_slice(version);
    frame
}

/// Compares this rank's identity with all others'.
///
/// Returns one line a difference, the same on every rank; none when all are equal.
///
/// # Collective
/// Every rank must call it.
///
/// # Errors
/// When communication fails.
pub fn compare(comm: &dyn Communicator, mine: &Identity) -> Result<Vec<String>, CommError> {
    let frame = frame();
    let mut frames = vec![0; FRAME * comm.size()];
    comm.all_gather(&frame, &mut frames)?;
    let strangers: Vec<String> = frames
        .chunks_exact(FRAME)
        .enumerate()
        .filter(|(_, other)| *other != &frames[..FRAME])
        .map(|(rank, other)| {
            let protocol = u16::from_le_bytes([other[4], other[5]]);
            let version = String::from_utf8_lossy(&other[6..]).trim_end_matches('\0').to_string();
            format!(
                "rank {rank} runs goai-rs {version} with wire protocol {protocol}, rank 0 another; install one binary on all nodes"
            )
        })
        .collect();
    if !strangers.is_empty() {
        return Ok(strangers); // what follows the frame may be of another form
    }
    let lines: Vec<String> = mine.0.iter().map(|(key, value)| format!("{key}\u{1}{value}")).collect();
    let texts = gather_texts(comm, &lines.join("\u{2}"))?;
    let identities: Vec<BTreeMap<&str, &str>> =
        texts.iter().map(|text| text.split('\u{2}').filter_map(|line| line.split_once('\u{1}')).collect()).collect();
    Ok(differences(&identities))
}

/// One line for each key and value that differs from rank 0's, with the ranks that have it.
fn differences(identities: &[BTreeMap<&str, &str>]) -> Vec<String> {
    let shown = |identity: &BTreeMap<&str, &str>, key: &str| {
        identity.get(key).map_or("unset".to_string(), |value| format!("'{value}'"))
    };
    let mut groups: BTreeMap<(&str, String), Vec<usize>> = BTreeMap::new();
    for (rank, other) in identities.iter().enumerate().skip(1) {
        let mut keys: Vec<&str> = identities[0].keys().chain(other.keys()).copied().collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys.into_iter().filter(|key| identities[0].get(key) != other.get(key)) {
            groups.entry((key, shown(other, key))).or_default().push(rank);
        }
    }
    let line = |((key, value), ranks): ((&str, String), Vec<usize>)| {
        let more = if ranks.len() > 1 { format!(" and {} more", ranks.len() - 1) } else { String::new() };
        format!("{key} is {value} on rank {}{more}, {} on rank 0", ranks[0], shown(&identities[0], key))
    };
    groups.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comm::{ThreadOptions, run_threads};

    #[test]
    fn the_rank_and_the_key_that_differ_are_named() {
        let results = run_threads(3, ThreadOptions::default(), |comm| {
            let mut mine = Identity::default().with("--lr", "0.1").with("data", 17);
            if comm.rank() == 2 {
                mine = mine.with("--lr", "0.2").with("GOAI_SEED", 4);
            }
            compare(comm, &mine).unwrap()
        });
        let expected = ["--lr is '0.2' on rank 2, '0.1' on rank 0", "GOAI_SEED is '4' on rank 2, unset on rank 0"];
        assert!(results.iter().all(|lines| lines == &expected), "{results:?}");
    }

    #[test]
    fn a_program_of_another_version_is_named() {
        let results = run_threads(3, ThreadOptions::default(), |comm| {
            if comm.rank() != 2 {
                return compare(comm, &Identity::default()).unwrap();
            }
            // What a later version sends first; behind it, whatever it likes.
            let mut later = frame();
            later[4..6].copy_from_slice(&(PROTOCOL + 1).to_le_bytes());
            later[6..].fill(0);
            later[6..11].copy_from_slice(b"9.9.9");
            comm.all_gather(&later, &mut [0; 3 * FRAME]).unwrap();
            Vec::new()
        });
        let named = format!("rank 2 runs goai-rs 9.9.9 with wire protocol {}, rank 0 another", PROTOCOL + 1);
        for lines in &results[..2] {
            assert!(lines.len() == 1 && lines[0].starts_with(&named), "{lines:?}");
        }
    }
}
