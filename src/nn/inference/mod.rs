//! A network made ready to be asked: its parameters do not change any more.
//!
//! What training must keep apart is done once here: weights are packed when the network is made ready, not at every
//! pass. Whoever holds an [`Inference`] shares it among threads, each with its own [`Answers`].

mod answers;

pub use answers::Answers;

use super::{Context, Flavor, Network, Program, Team};

/// A network, or a part of one, with its parameters: forward passes alone. Immutable, shared by threads.
#[derive(Debug)]
pub struct Inference {
    program: Program,
    theta: Vec<f32>,
    sigma: Vec<f32>,
}

impl Inference {
    /// Makes a network ready; `theta` and `sigma` are not looked at afterwards.
    ///
    /// # Shapes
    /// `theta`: `[P]`, `sigma`: `[S]`, those of `network`.
    ///
    /// # Panics
    /// If they have other lengths.
    pub fn new(network: &Network, theta: &[f32], sigma: &[f32]) -> Self {
        assert_eq!((theta.len(), sigma.len()), (network.theta_len(), network.sigma_len()), "this network's θ and σ");
        let program = Program::compile(network, Flavor::Fused);
        Self { program, theta: theta.to_vec(), sigma: sigma.to_vec() }
    }

    /// The network.
    pub fn network(&self) -> &Network {
        self.program.network()
    }

    /// Memory for passes of up to `capacity` rows.
    pub fn answers(&self, capacity: usize) -> Answers {
        Answers::new(self.program.forward_workspace(capacity))
    }

    /// Computes what the network's outputs and exports are for the inputs that were assigned.
    pub fn run(&self, answers: &mut Answers, team: &dyn Team) {
        let samples = vec![0; answers.batch()];
        let context = Context { team, ..Context::eval(&samples, &self.sigma) };
        self.program.forward(&context, &self.theta, &mut answers.workspace);
    }
}
