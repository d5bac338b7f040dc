//! What a device's part of the network takes of its memory.

use crate::cli::failure::{DATA, Failure};
use crate::cli::stages::size;
use crate::device::Devices;
use crate::nn::Network;
use crate::strategy::{Hyper, device_memory};

/// Refuses a device whose part does not fit into it.
///
/// # Errors
/// The first such device, with what it needs and what there is.
pub(super) fn check(network: &Network, hyper: &Hyper, cuts: &[usize], devices: &Devices) -> Result<(), Failure> {
    let needs = device_memory(network, hyper.global_batch.div_ceil(cuts.len()), hyper.rule.vectors());
    for (rank, cut) in (1..).zip(cuts) {
        let (needed, profile) = (needs[*cut], devices.profile(rank));
        if needed > profile.memory {
            let cure = "hand over earlier with --split, or lower --batch";
            let part = match cut {
                0 => "a batch needs".to_owned(),
                1 => "the first trunk block needs".to_owned(),
                cut => format!("the first {cut} trunk blocks need"),
            };
            let text = format!(
                "{}: on rank {rank} {part} {} and {} has {}; {cure}",
                devices.name(),
                size(needed.0),
                profile.name,
                size(profile.memory.0)
            );
            return Err(Failure::new(DATA, text));
        }
    }
    Ok(())
}
