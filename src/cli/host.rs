//! What this process knows about where it runs.

use crate::run::state::Placement;
use serde::{Deserialize, Serialize};

/// One rank's place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Host name.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// The cores it may run on, as a list: `0-3,8`.
    pub cores: String,
    /// How many these are.
    pub num_cores: usize,
}

impl Place {
    /// This process's place.
    pub fn here() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let cores = field(&status, "Cpus_allowed_list:").unwrap_or("?").to_string();
        Self {
            host: host(),
            pid: std::process::id(),
            cores,
            num_cores: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// This machine's name.
pub fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = name.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    match name.trim() {
        "" => "localhost".into(),
        name => name.into(),
    }
}

/// Ends the processes of ranks on this host that stand still: nobody waits for them any more, but the launcher would.
///
/// A process that does not stand still is left alone: a number may belong to another one by now.
pub fn end_frozen(places: &[Place], ranks: &[usize]) {
    let here = host();
    for place in ranks.iter().filter_map(|rank| places.get(*rank)).filter(|place| place.host == here) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", place.pid)).unwrap_or_default();
        let ours =
            field(&status, "PPid:").and_then(|parent| parent.parse().ok()) == Some(std::os::unix::process::parent_id());
        if ours && field(&status, "State:").is_some_and(|state| state.starts_with('T')) {
            let _ = std::process::Command::new("kill").args(["-KILL", &place.pid.to_string()]).status();
        }
    }
}

/// Threads of each rank: the cores of its mask shared with the ranks that have the same one, within
/// `most`; `asked` overrides, 0 asks for nothing.
pub fn threads(places: &[Place], asked: usize, most: Option<usize>) -> Vec<usize> {
    let share = |place: &Place| {
        let sharing = places.iter().filter(|p| p.host == place.host && p.cores == place.cores).count();
        (place.num_cores / sharing.max(1)).clamp(1, most.unwrap_or(usize::MAX).max(1))
    };
    places.iter().map(|place| if asked > 0 { asked } else { share(place) }).collect()
}

/// The rows of run.json.
pub fn placement(places: &[Place], threads: &[usize]) -> Vec<Placement> {
    let rows = places.iter().zip(threads).enumerate();
    rows.map(|(rank, (place, threads))| Placement {
        rank,
        host: place.host.clone(),
        pid: place.pid,
        cores: place.cores.clone(),
        threads: *threads,
    })
    .collect()
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_share_the_cores_of_their_mask() {
        let place = |host: &str, cores: &str, n| Place { host: host.into(), pid: 1, cores: cores.into(), num_cores: n };
        let bound = [place("a", "0", 1), place("a", "1", 1), place("b", "0-7", 8), place("b", "0-7", 8)];
        assert_eq!(threads(&bound, 0, None), [1, 1, 4, 4]);
        assert_eq!(threads(&bound, 0, Some(2)), [1, 1, 2, 2]);
        assert_eq!(threads(&bound, 3, Some(2)), [3, 3, 3, 3]);
        assert_eq!(threads(&vec![place("a", "0-1", 2); 20], 0, Some(8)), [1; 20]);
    }
}
