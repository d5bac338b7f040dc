//! Which device each rank is, and what lies between them.

use super::{DeviceError, Link, Profile};
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
    use crate::units::Seconds;

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
