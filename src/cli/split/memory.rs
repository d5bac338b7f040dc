//! What a device's part of the network takes of its memory.

use crate::cli::failure::{DATA, Failure};
use crate::cli::stages::size;
use crate::device::Devices;
use crate::nn::{Flavor, Network, Program};
use crate::strategy::Hyper;
use crate::units::Bytes;

/// The memory that the first `cut` trunk blocks take on a device that trains them with `rows` samples a step, predicted:
/// θ, its gradient, what the optimizer remembers, σ, and the workspace of one batch. Without any block, the batch.
///
/// # Panics
/// If the network has fewer blocks.
pub(super) fn part_memory(network: &Network, hyper: &Hyper, cut: usize, rows: usize) -> Bytes {
    let places = network.cuts();
    let end = match cut {
        0 => return Bytes((4 * rows * network.shapes()[0].elements()) as u64),
        cut if cut == places.len() + 1 => network.nodes().len(),
        cut => places[cut - 1],
    };
    let nodes: Vec<usize> = (0..end).collect();
    let part = network.part(&nodes).expect("a part of a network that was built").network;
    let vectors = 2 + hyper.rule.vectors() as u64;
    let weights = 4 * (vectors * part.theta_len() as u64 + part.sigma_len() as u64);
    Bytes(weights + Program::compile(&part, Flavor::Fused).workspace_bytes(rows, true))
}

/// Refuses a device whose part does not fit into it.
///
/// # Errors
/// The first such device, with what it needs and what there is.
pub(super) fn check(network: &Network, hyper: &Hyper, cuts: &[usize], devices: &Devices) -> Result<(), Failure> {
    let rows = hyper.global_batch.div_ceil(cuts.len());
    for (rank, cut) in (1..).zip(cuts) {
        let (needed, profile) = (part_memory(network, hyper, *cut, rows), devices.profile(rank));
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
