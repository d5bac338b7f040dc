//! What a rank's training will take, before it takes it.

use super::Hyper;
use super::evaluate::block;
use super::learner::MOST_ROWS;
use crate::nn::{Flavor, Network, Program};
use crate::units::Bytes;

/// The memory that a training rank asks for: θ, its gradient and their exchange, the optimizer's vectors, and the
/// workspaces of training and measuring. The program itself, its threads and data held in memory are not counted.
pub fn predicted_memory(network: &Network, hyper: &Hyper, trainers: usize) -> Bytes {
    let program = Program::compile(network, Flavor::Fused);
    let batch = match hyper.micro_chunk {
        Some(chunk) => chunk.min(hyper.global_batch),
        None => hyper.global_batch.div_ceil(trainers.max(1)),
    };
    let rows = batch.clamp(1, MOST_ROWS);
    let pieces = if batch > rows { 1 } else { 0 };
    let exact = if hyper.micro_chunk.is_some() { 3 } else { 0 };
    let averaged = if hyper.local.is_some() { 1 + hyper.rule.vectors() } else { 0 };
    let vectors = 3 + hyper.rule.vectors() + pieces + exact + averaged;
    let theta = (network.theta_len() + network.sigma_len()) as u64 * 4;
    let workspaces = program.workspace_bytes(rows, true) + program.workspace_bytes(block(&program), false);
    Bytes(vectors as u64 * theta + workspaces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::zoo::by_name;
    use crate::nn::{Init, Shape};
    use crate::optim::{Rule, Schedule};

    #[test]
    fn more_rows_and_more_vectors_take_more() {
        let network = Network::build(by_name("mnist_cnn", &Shape::image(1, 12, 12), 10).unwrap()).unwrap();
        let memory = |rule, global_batch, micro_chunk| {
            let schedule = Schedule { rate: 0.1, warmup: 0.0, epochs: 1.0, shape: crate::optim::Shape::Constant };
            let (epochs, seed, weight_decay, init) = (1, 1, 0.0, Init::He);
            let (sampler, local) = (None, None);
            let hyper =
                Hyper { epochs, global_batch, rule, weight_decay, schedule, seed, init, micro_chunk, sampler, local };
            predicted_memory(&network, &hyper, 2).0
        };
        let theta = network.theta_len() as u64 * 4;
        let least = memory(Rule::Sgd, 8, None);
        assert!(least > 3 * theta);
        assert_eq!(memory(Rule::Adam, 8, None), least + 2 * theta);
        assert!(memory(Rule::Sgd, 32, None) > least);
        assert_eq!(memory(Rule::Sgd, 512, Some(4)), memory(Rule::Sgd, 8, None) + 3 * theta);
    }
}
