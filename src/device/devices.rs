//! Which device each rank is, and what lies between them.

use super::{DeviceError, Link, Profile};
use crate::units::Seconds;
use std::collections::BTreeMap;

/// An emulated cluster or chain: a device a rank, a link a pair.
#[derive(Debug, Clone, PartialEq)]
pub struct Devices {
    name: String,
    profiles: Vec<Profile>,
    between: Link,
    pairs: BTreeMap<(usize, usize), Link>,
}

impl Devices {
    /// Devices, one a rank, with the same link between any two of them.
    pub fn new(name: &str, profiles: Vec<Profile>, between: Link) -> Self {
        Self { name: name.to_owned(), profiles, between, pairs: BTreeMap::new() }
    }

    /// The same devices with another link from one of them to one other; the way back stays as it is.
    pub fn with_link(mut self, from: usize, to: usize, link: Link) -> Self {
        self.pairs.insert((from, to), link);
        self
    }

    /// Where they were read from.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All devices, in the order of the ranks.
    pub fn profiles(&self) -> &[Profile] {
        &self.profiles
    }

    /// The device that a rank is.
    ///
    /// # Panics
    /// If there are fewer devices.
    pub fn profile(&self, rank: usize) -> &Profile {
        &self.profiles[rank]
    }

    /// The link from one rank to another.
    pub fn link(&self, from: usize, to: usize) -> &Link {
        self.pairs.get(&(from, to)).unwrap_or(&self.between)
    }

    /// When the first of the links' traces ends: from then on it keeps its last bandwidth. None, where no link changes, or
    /// each begins again.
    pub fn traces_end(&self) -> Option<Seconds> {
        self.links().filter_map(|link| link.bandwidth.ends()).reduce(|a, b| if b < a { b } else { a })
    }

    /// Until when conditions change in a way that they have not before: the longest trace, or one turn of it, and the last
    /// switch of a power mode. None where they never change.
    pub fn news_until(&self) -> Option<Seconds> {
        let traces = self.links().filter_map(|link| link.bandwidth.news_until());
        let switches = self.profiles.iter().filter_map(|profile| profile.switches.last().map(|switch| switch.at));
        traces.chain(switches).reduce(|a, b| if b > a { b } else { a })
    }

    /// The first so many of them.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn first(mut self, ranks: usize) -> Result<Self, DeviceError> {
        if ranks > self.profiles.len() {
            self.check_ranks(ranks)?;
        }
        self.profiles.truncate(ranks);
        Ok(self)
    }

    /// The links between all pairs of ranks: what lies between any two only where nothing else does.
    fn links(&self) -> impl Iterator<Item = &Link> {
        let ranks = 0..self.profiles.len();
        let pairs = ranks.clone().flat_map(move |from| ranks.clone().map(move |to| (from, to)));
        pairs.filter(|(from, to)| from != to).map(|(from, to)| self.link(from, to))
    }

    /// One line for a run that went on for longer than a trace: it says from when on the conditions were not the file's.
    pub fn outlived(&self, run: Seconds) -> Option<String> {
        let end = self.traces_end().filter(|end| *end < run)?;
        // Runs of milliseconds are as good as runs of hours.
        let digits = if run.0 < 10.0 { 3 } else { 0 };
        Some(format!(
            "{}: a link's trace ends at {:.digits$} s and the run went on to {:.digits$} s at its last value; add \
             repeat = true or more lines",
            self.name, end.0, run.0
        ))
    }

    /// Checks that there is a device for every rank and a rank for every device.
    ///
    /// # Errors
    /// When there are more or fewer; both numbers are in it.
    pub fn check_ranks(&self, ranks: usize) -> Result<(), DeviceError> {
        match self.profiles.len() {
            devices if devices == ranks => Ok(()),
            devices => Err(DeviceError::Ranks { path: self.name.clone(), devices, ranks }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Trace;

    #[test]
    fn a_run_longer_than_a_trace_is_told() {
        let trace = |text: &str| Trace::parse("toy.csv", &format!("time_s,mbit_per_s\n{text}")).unwrap();
        let link = |trace| Link { bandwidth: trace, latency: Seconds(0.0) };
        let profiles = ["a", "b"].map(|name| Profile::new(name, 1.0)).to_vec();
        let devices = Devices::new("toy.toml", profiles, link(trace("0,1\n5,2\n")))
            .with_link(0, 1, link(trace("0,1\n900,2\n")))
            .with_link(1, 0, link(trace("0,1\n300,2\n")));
        assert_eq!(devices.traces_end(), Some(Seconds(300.0)), "nobody uses the link between any two");
        assert_eq!(devices.news_until(), Some(Seconds(900.0)));
        assert_eq!(devices.outlived(Seconds(300.0)), None);
        let line = devices.outlived(Seconds(900.4)).unwrap();
        assert!(line.contains("ends at 300 s and the run went on to 900 s at its last value"), "{line}");
        let constant = Devices::new("toy.toml", devices.profiles().to_vec(), Link::new(1.0, Seconds(0.0)));
        assert_eq!((constant.traces_end(), constant.news_until(), constant.outlived(Seconds(1e9))), (None, None, None));
        assert_eq!(constant.clone().first(1).unwrap().profiles().len(), 1);
        assert!(constant.first(3).unwrap_err().to_string().contains("2 devices for 3 ranks"));
    }

    #[test]
    fn every_rank_has_a_device_and_every_pair_a_link() {
        let (usual, slow) = (Link::new(8.0, Seconds(0.0)), Link::new(1.0, Seconds(2.0)));
        let profiles = ["a", "b"].map(|name| Profile::new(name, 1.0)).to_vec();
        let devices = Devices::new("toy.toml", profiles, usual.clone()).with_link(0, 1, slow.clone());
        assert_eq!((devices.link(0, 1), devices.link(1, 0)), (&slow, &usual));
        assert_eq!(devices.profile(1).name, "b");
        devices.check_ranks(2).unwrap();
        for (ranks, cure) in [(1, "start 2 ranks"), (3, "start 2 ranks")] {
            let message = devices.check_ranks(ranks).unwrap_err().to_string();
            assert!(message.contains(&format!("2 devices for {ranks} rank")) && message.contains(cure), "{message}");
        }
    }
}
