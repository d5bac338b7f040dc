//! Samples for devices that are not alike, and how that is said.

use crate::data::shards::dirichlet;
use crate::report::text::count;
use crate::run::error::one_line;

/// As many devices are listed one by one.
const LISTED: usize = 8;

/// The samples of each device by a Dirichlet law of this concentration, and a line about them.
pub(super) fn deal(
    labels: &[u32],
    classes: &[String],
    devices: usize,
    alpha: f64,
    seed: u64,
) -> (Vec<Vec<u32>>, String) {
    let shards = dirichlet(labels, classes.len(), devices, alpha, seed);
    let said = describe(&shards, labels, classes, alpha);
    (shards, said)
}

/// `nonIid = 0.1: device 1 has 812 samples, 61 % of them cat; …`, or from the least to the most where that is too long.
fn describe(shards: &[Vec<u32>], labels: &[u32], classes: &[String], alpha: f64) -> String {
    let main = |shard: &Vec<u32>| {
        let mut counts = vec![0usize; classes.len()];
        shard.iter().for_each(|sample| counts[labels[*sample as usize] as usize] += 1);
        let most = (0..counts.len()).rev().max_by_key(|class| counts[*class]).unwrap_or(0);
        (most, 100.0 * counts.get(most).copied().unwrap_or(0) as f64 / shard.len().max(1) as f64)
    };
    if shards.len() <= LISTED {
        let device = |(number, shard): (usize, &Vec<u32>)| {
            let (class, share) = main(shard);
            let name = classes.get(class).map_or(String::new(), |name| one_line(name));
            format!("device {number} has {}, {share:.0} % of them {name}", count(shard.len(), "sample"))
        };
        let devices: Vec<String> = (1..).zip(shards).map(device).collect();
        return format!("nonIid = {alpha}: {}", devices.join("; "));
    }
    let mut sizes: Vec<usize> = shards.iter().map(Vec::len).collect();
    let mut shares: Vec<f64> = shards.iter().map(|shard| main(shard).1).collect();
    sizes.sort_unstable();
    shares.sort_unstable_by(f64::total_cmp);
    let (middle, last) = (shards.len() / 2, shards.len() - 1);
    format!(
        "nonIid = {alpha}: {} devices have {} to {} samples, median {}; {:.0} to {:.0} % of them of one class, median {:.0} %",
        shards.len(),
        sizes[0],
        sizes[last],
        sizes[middle],
        shares[0],
        shares[last],
        shares[middle]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_devices_are_listed_and_many_are_summed_up() {
        let (labels, classes) = ([0, 0, 1, 1, 1, 0], ["cat", "d\tog"].map(str::to_owned));
        let few = describe(&[vec![0], vec![1, 2, 3, 4, 5]], &labels, &classes, 0.1);
        let expected =
            "nonIid = 0.1: device 1 has 1 sample, 100 % of them cat; device 2 has 5 samples, 60 % of them d\\tog";
        assert_eq!(few, expected);
        let mut many = vec![vec![0, 2]; 8];
        many.extend([vec![0, 1, 2, 3, 4, 5], vec![0]]);
        let expected =
            "nonIid = 0.1: 10 devices have 1 to 6 samples, median 2; 50 to 100 % of them of one class, median 50 %";
        assert_eq!(describe(&many, &labels, &classes, 0.1), expected);
    }
}
