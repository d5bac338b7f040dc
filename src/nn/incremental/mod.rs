//! The loss of a small network where few parameters change at a time: only what a change reaches is computed again.
//!
//! Made for a stage that learns by proposals: a convolution with its ReLU (the trunk, whose value is handed on) and a dense
//! head, or the head alone. A change of one filter costs one channel and the products of the head that read it; a change of
//! the head costs the products of the blocks of inputs that it is in. The head's sums are kept block by block and added up in
//! order, and a channel is computed the same way whether alone or with all others: so the bits are those of computing
//! everything anew with [`Objective::loss`].
//!
//! Channels and blocks have two copies each. A trial writes the ones that are not kept; keeping it turns them round, and
//! undoing it costs nothing.

mod plan;
#[cfg(test)]
mod tests;

use super::kernels::Isa;
use super::kernels::lanes::{self, LANES, Lanes};
use super::{Network, Objective, Parameters, Tally, ValueId};
use ndarray::{Array2, ArrayView2, ArrayViewMut2, s};
use plan::Plan;

/// The mean loss over a batch as a function of θ that remembers what it has computed.
#[derive(Debug, Clone)]
pub struct Incremental {
    plan: Plan,
    isa: Isa,
    theta_len: usize,
    labels: Vec<u32>,
    /// Groups of samples of the batch.
    groups: usize,
    /// What the trunk reads, `[G, I, H, W + 2 pw]`.
    x: Vec<Lanes>,
    /// What the head reads: two copies of each block, `[G, block]` each; without a trunk, one.
    features: Vec<Lanes>,
    /// The products of the head: two copies of each block, `[G, K]` each.
    products: Vec<Lanes>,
    /// Which copy is kept, for each block.
    kept_features: Vec<bool>,
    kept_products: Vec<bool>,
    /// The blocks that the trial computes: features and products, products alone.
    trial: Trial,
    /// The head's outputs of one group.
    sums: Vec<Lanes>,
    logits: Array2<f32>,
    kept: Tally,
    tried: Tally,
}

/// What a trial reaches.
#[derive(Debug, Clone, Default)]
struct Trial {
    features: Vec<usize>,
    products: Vec<usize>,
    seen: Vec<[bool; 2]>,
}

impl Trial {
    fn clear(&mut self) {
        self.features.iter().chain(&self.products).for_each(|block| self.seen[*block] = [false; 2]);
        self.features.clear();
        self.products.clear();
    }

    fn add_products(&mut self, block: usize) {
        if !std::mem::replace(&mut self.seen[block][1], true) {
            self.products.push(block);
        }
    }

    fn add_channel(&mut self, channel: usize) {
        if !std::mem::replace(&mut self.seen[channel][0], true) {
            self.features.push(channel);
            self.add_products(channel);
        }
    }
}

/// The output that parameter `i` of θ feeds, if it is one of these, and its place among the output's weights; the place
/// behind the last is the bias.
fn locate(parameters: &Parameters, i: usize) -> Option<(usize, usize)> {
    let len = parameters.weight.len / parameters.outputs;
    match parameters.bias {
        _ if parameters.weight.range().contains(&i) => {
            let i = i - parameters.weight.start;
            Some((i / len, i % len))
        }
        Some(bias) if bias.range().contains(&i) => Some((i - bias.start, len)),
        _ => None,
    }
}

impl Incremental {
    /// An objective of a network that is a convolution, an optional ReLU, an optional flatten and a dense layer, or the last
    /// two alone, with one loss at the end; none of any other.
    pub fn new(network: &Network) -> Option<Self> {
        let plan = Plan::of(network)?;
        let blocks = plan.blocks();
        let outputs = plan.head.outputs;
        Some(Self {
            isa: Isa::detect(),
            theta_len: network.theta_len(),
            labels: Vec::new(),
            groups: 0,
            x: Vec::new(),
            features: Vec::new(),
            products: Vec::new(),
            kept_features: vec![false; blocks],
            kept_products: vec![false; blocks],
            trial: Trial { seen: vec![[false; 2]; blocks], ..Trial::default() },
            sums: vec![Lanes::ZERO; outputs],
            logits: Array2::zeros((0, outputs)),
            kept: Tally::default(),
            tried: Tally::default(),
            plan,
        })
    }

    /// Takes a batch. Nothing is kept until [`Objective::loss`] has been asked for.
    ///
    /// # Shapes
    /// `rows`: `[B, D]`, pictures in C, H, W order; `labels`: `[B]`.
    ///
    /// # Panics
    /// If the shapes are other ones.
    pub fn assign(&mut self, rows: ArrayView2<f32>, labels: &[u32]) {
        assert_eq!(rows.dim(), (labels.len(), self.plan.input_len), "[batch, elements of a sample]");
        self.labels.clear();
        self.labels.extend_from_slice(labels);
        self.groups = labels.len().div_ceil(LANES);
        let (groups, blocks, block) = (self.groups, self.plan.blocks(), self.plan.block);
        self.products.resize(2 * blocks * groups * self.plan.head.outputs, Lanes::ZERO);
        match &self.plan.trunk {
            Some(trunk) => {
                self.x.clear();
                self.x.resize(groups * trunk.input_len(), Lanes::ZERO);
                self.features.resize(2 * blocks * groups * block, Lanes::ZERO);
                for (group, x) in self.x.chunks_exact_mut(trunk.input_len()).enumerate() {
                    transpose(group_of(rows, group), |i, lanes| x[trunk.place(i)] = lanes);
                }
            }
            None => {
                self.features.resize(blocks * groups * block, Lanes::ZERO);
                for group in 0..groups {
                    transpose(group_of(rows, group), |i, lanes| {
                        self.features[(i / block * groups + group) * block + i % block] = lanes;
                    });
                }
            }
        }
        if self.logits.nrows() != labels.len() {
            self.logits = Array2::zeros((labels.len(), self.plan.head.outputs));
        }
        self.trial.clear();
        self.kept = Tally::default();
    }

    /// Sums of the loss and of right answers at the kept θ.
    pub fn tally(&self) -> Tally {
        self.kept
    }

    /// The share of a whole evaluation's arithmetic that the open trial took.
    pub fn reached(&self) -> f64 {
        let block = self.plan.block;
        let product = (block * self.plan.head.outputs) as f64;
        let channel = self
            .plan
            .trunk
            .as_ref()
            .map_or(0.0, |trunk| (block * (trunk.parameters.weight.len / trunk.parameters.outputs)) as f64);
        let trial = channel * self.trial.features.len() as f64 + product * self.trial.products.len() as f64;
        trial / (self.plan.blocks() as f64 * (channel + product))
    }

    /// The value that the trunk hands on; none of a head alone.
    pub fn trunk(&self) -> Option<ValueId> {
        self.plan.trunk.as_ref().map(|trunk| trunk.value)
    }

    /// Copies what the head reads at the kept θ: what the trunk hands on.
    ///
    /// # Shapes
    /// `rows`: `[B, D]`, pictures in C, H, W order.
    ///
    /// # Panics
    /// If the shape is another one.
    pub fn value(&self, mut rows: ArrayViewMut2<f32>) {
        assert_eq!(rows.dim(), (self.labels.len(), self.plan.inputs), "[batch, what the head reads]");
        let block = self.plan.block;
        for (b, mut row) in rows.outer_iter_mut().enumerate() {
            for (channel, mut elements) in row.axis_chunks_iter_mut(ndarray::Axis(0), block).enumerate() {
                let from = &self.features[self.features_at(channel, self.kept_features[channel])..];
                let from = &from[b / LANES * block..];
                elements.iter_mut().zip(from).for_each(|(to, from)| *to = from.0[b % LANES]);
            }
        }
    }

    /// Where a copy of a block of features begins.
    fn features_at(&self, block: usize, copy: bool) -> usize {
        let copies = if self.plan.trunk.is_some() { 2 * block + usize::from(copy) } else { block };
        copies * self.groups * self.plan.block
    }

    /// Where a copy of a block of products begins.
    fn products_at(&self, block: usize, copy: bool) -> usize {
        (2 * block + usize::from(copy)) * self.groups * self.plan.head.outputs
    }

    /// Writes a copy of a channel of the trunk.
    fn channel(&mut self, theta: &[f32], channel: usize, copy: bool) {
        let at = self.features_at(channel, copy);
        let Some(trunk) = &self.plan.trunk else { return };
        let parameters = &trunk.parameters;
        let len = parameters.weight.len / parameters.outputs;
        let filter = &theta[parameters.weight.start + channel * len..][..len];
        let bias = parameters.bias.map_or(0.0, |bias| theta[bias.start + channel]);
        let y = self.features[at..][..self.groups * self.plan.block].chunks_exact_mut(self.plan.block);
        for (x, y) in self.x.chunks_exact(trunk.input_len()).zip(y) {
            lanes::filter(self.isa, trunk.shape, filter, bias, x, y);
        }
    }

    /// Writes a copy of a block of products from a copy of its features.
    fn block_products(&mut self, theta: &[f32], block: usize, features: bool, copy: bool) {
        let (first, len, outputs) = (block * self.plan.block, self.plan.block, self.plan.head.outputs);
        let used = len.min(self.plan.inputs - first);
        let weights = &theta[self.plan.head.weight.range()][first..];
        let x = &self.features[self.features_at(block, features)..][..self.groups * len];
        let at = self.products_at(block, copy);
        let y = self.products[at..][..self.groups * outputs].chunks_exact_mut(outputs);
        for (x, y) in x.chunks_exact(len).zip(y) {
            lanes::dots(self.isa, weights, self.plan.inputs, &x[..used], y);
        }
    }

    /// Adds the products up and takes the loss; the trial's blocks give the copies that are not kept.
    fn sum_up(&mut self, theta: &[f32]) -> Tally {
        let outputs = self.plan.head.outputs;
        let bias = self.plan.head.bias.map(|bias| &theta[bias.range()]);
        let mut sums = std::mem::take(&mut self.sums);
        for group in 0..self.groups {
            for (k, sum) in sums.iter_mut().enumerate() {
                *sum = Lanes([bias.map_or(0.0, |bias| bias[k]); LANES]);
            }
            for block in 0..self.plan.blocks() {
                let copy = self.kept_products[block] != self.trial.seen[block][1];
                let products = &self.products[self.products_at(block, copy) + group * outputs..][..outputs];
                lanes::add(self.isa, products, &mut sums);
            }
            let first = group * LANES;
            for (lane, mut row) in self.logits.slice_mut(s![first.., ..]).outer_iter_mut().take(LANES).enumerate() {
                row.iter_mut().zip(&sums).for_each(|(to, sum)| *to = sum.0[lane]);
            }
        }
        self.sums = sums;
        self.plan.loss.evaluate(self.logits.view(), &self.labels, None)
    }
}

impl Objective for Incremental {
    fn len(&self) -> usize {
        self.theta_len
    }

    fn loss(&mut self, theta: &[f32]) -> f64 {
        self.trial.clear();
        for block in 0..self.plan.blocks() {
            let [features, products] = [self.kept_features[block], self.kept_products[block]];
            self.channel(theta, block, features);
            self.block_products(theta, block, features, products);
        }
        self.kept = self.sum_up(theta);
        self.kept.mean_loss().unwrap_or(0.0)
    }

    fn loss_if(&mut self, theta: &[f32], changed: &[usize]) -> f64 {
        self.trial.clear();
        for i in changed {
            if let Some((channel, _)) = self.plan.trunk.as_ref().and_then(|trunk| locate(&trunk.parameters, *i)) {
                self.trial.add_channel(channel);
            } else if let Some((_, place)) = locate(&self.plan.head, *i).filter(|(_, place)| *place < self.plan.inputs)
            {
                self.trial.add_products(place / self.plan.block);
            }
        }
        for n in 0..self.trial.features.len() {
            let channel = self.trial.features[n];
            self.channel(theta, channel, !self.kept_features[channel]);
        }
        for n in 0..self.trial.products.len() {
            let block = self.trial.products[n];
            let features = self.kept_features[block] != self.trial.seen[block][0];
            self.block_products(theta, block, features, !self.kept_products[block]);
        }
        self.tried = self.sum_up(theta);
        self.tried.mean_loss().unwrap_or(0.0)
    }

    fn keep(&mut self) {
        for block in &self.trial.features {
            self.kept_features[*block] ^= true;
        }
        for block in &self.trial.products {
            self.kept_products[*block] ^= true;
        }
        self.trial.clear();
        self.kept = self.tried;
    }

    fn undo(&mut self) {
        self.trial.clear();
    }
}

/// The rows of a group.
fn group_of(rows: ArrayView2<f32>, group: usize) -> ArrayView2<f32> {
    let first = group * LANES;
    rows.slice_move(s![first..(first + LANES).min(rows.nrows()), ..])
}

/// Gives each element of the rows with its number; samples that the last group lacks are zero.
fn transpose(rows: ArrayView2<f32>, mut write: impl FnMut(usize, Lanes)) {
    for (i, column) in rows.columns().into_iter().enumerate() {
        let mut lanes = Lanes::ZERO;
        lanes.0.iter_mut().zip(column).for_each(|(to, from)| *to = *from);
        write(i, lanes);
    }
}
