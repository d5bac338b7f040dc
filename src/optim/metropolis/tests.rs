//! Known laws as oracles: enumerated states, a Gaussian posterior, the prior alone.

use super::*;
use crate::nn::{BatchObjective, Flavor, Init, Network, Objective, Parameters, Program, Shape, Span, model_text};
use ndarray::Array2;

/// One dense layer of `outputs` with one weight each.
fn line(outputs: usize) -> [Parameters; 1] {
    let weight = Span { start: 0, len: outputs };
    [Parameters { node: 0, kind: ParameterKind::Dense, weight, bias: None, outputs }]
}

fn settings(lambda: f64, proposer: Proposer, prior: Prior, neighbourhood: Neighbourhood) -> Metropolis {
    let group = Group { kind: ParameterKind::Dense, probability: 1.0, lambda, proposer, prior, neighbourhood };
    Metropolis { groups: vec![group], iterations: 1 }
}

/// A function of θ.
struct Function<F>(F);

impl<F: FnMut(&[f32]) -> f64> Objective for Function<F> {
    fn len(&self) -> usize {
        1
    }

    fn loss(&mut self, theta: &[f32]) -> f64 {
        self.0(theta)
    }
}

/// The number of a state of ±1.
fn state(theta: &[f32]) -> usize {
    theta.iter().enumerate().map(|(i, x)| usize::from(*x > 0.0) << i).sum()
}

#[test]
fn a_binary_network_visits_its_states_as_often_as_enumeration_says() {
    const STEPS: u64 = 1_000_000;
    let text = "input = [2]\n[[layer]]\nkind = \"dense\"\noutputs = 2\n";
    let network = Network::build(model_text::parse(text, &Shape::vector(2), 2).unwrap()).unwrap();
    assert_eq!(network.theta_len(), 6);
    let program = Program::compile(&network, Flavor::Naive);
    let x = Array2::from_shape_fn((8, 2), |(b, d)| (b as f32 * 0.9 + d as f32 * 2.1).sin());
    let labels = [0, 1, 1, 0, 1, 1, 0, 1];
    let mut objective = BatchObjective::new(&program, x.view(), &labels);
    let theta_of = |state: usize| [0, 1, 2, 3, 4, 5].map(|i| if state >> i & 1 == 1 { 1.0 } else { -1.0f32 });
    let losses: Vec<f64> = (0..64).map(|state| objective.loss(&theta_of(state))).collect();
    let lambda = 8.0;
    let weights: Vec<f64> = losses.iter().map(|loss| (-lambda * loss).exp()).collect();
    let total: f64 = weights.iter().sum();
    let distance = |law: &dyn Fn(usize) -> f64| -> f64 {
        weights.iter().enumerate().map(|(state, weight)| (law(state) - weight / total).abs() / 2.0).sum()
    };
    assert!(distance(&|_| 1.0 / 64.0) > 0.3, "a law that is not even");
    for (proposer, neighbourhood) in [
        (Proposer::Flip, Neighbourhood::Elements(1)),
        (Proposer::Rademacher, Neighbourhood::Elements(2)),
        (Proposer::Rademacher, Neighbourhood::Filter),
    ] {
        let rule = settings(lambda, proposer, Prior::Binary, neighbourhood);
        let mut sampler = Sampler::new(&rule, &network.parameters(), 11).unwrap();
        let mut visits = [0u64; 64];
        let mut theta = [1.0f32; 6];
        let mut loss = losses[63];
        for i in 0..STEPS {
            let proposal = sampler.propose(0, i, &mut theta);
            let new = losses[state(&theta)];
            if proposal.accepts(loss, new) {
                loss = new;
                sampler.keep();
            } else {
                sampler.undo(&mut theta);
            }
            visits[state(&theta)] += 1;
        }
        let away = distance(&|state| visits[state] as f64 / STEPS as f64);
        assert!(away < 0.02, "{proposer:?} {neighbourhood:?}: total variation {away}");
    }
}

/// The mean of batches' means and its standard error, which holds for numbers that follow one another in a chain.
fn batch_means(values: &[f64]) -> (f64, f64) {
    const BATCHES: usize = 100;
    let mean_of = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let means: Vec<f64> = values.chunks_exact(values.len() / BATCHES).map(mean_of).collect();
    let mean = mean_of(&means);
    let squares: f64 = means.iter().map(|m| (m - mean) * (m - mean)).sum();
    (mean, (squares / (BATCHES * (BATCHES - 1)) as f64).sqrt())
}

#[test]
fn a_gaussian_posterior_has_its_mean_and_variance() {
    for (lambda, a, variance, proposer) in [
        (4.0, 1.5, 0.5, Proposer::Gaussian(0.3)),
        (4.0, 1.5, 0.5, Proposer::Student(0.05)),
        (0.5, -2.0, 3.0, Proposer::Student(1.0)),
    ] {
        let (precision, steps) = (lambda + 1.0 / variance, 300_000);
        let (mean, spread) = (lambda * a / precision, 1.0 / precision);
        let rule = settings(lambda, proposer, Prior::Gaussian(variance), Neighbourhood::Layer);
        let mut sampler = Sampler::new(&rule, &line(1), 5).unwrap();
        let mut objective = Function(|theta: &[f32]| (f64::from(theta[0]) - a).powi(2) / 2.0);
        let (mut theta, mut chain) = ([mean as f32], Vec::with_capacity(steps as usize));
        for step in 0..steps {
            sampler.run(&mut objective, &mut theta, step, 0..1, &mut |_| false);
            chain.push(f64::from(theta[0]));
        }
        let squares: Vec<f64> = chain.iter().map(|x| (x - mean).powi(2)).collect();
        for (values, expected) in [(&chain, mean), (&squares, spread)] {
            let (measured, error) = batch_means(values);
            assert!((measured - expected).abs() < 3.0 * error, "{proposer:?}: {measured} ± {error}, not {expected}");
            assert!(error < 0.02 * expected.abs(), "{proposer:?}: a chain long enough to tell");
        }
    }
}

#[test]
fn without_a_loss_the_chain_samples_the_prior() {
    // The quartiles of a Cauchy law are ±√S, those of a Gaussian ±0.67449 σ.
    for (prior, quartile) in [(Prior::Student(0.04), 0.2), (Prior::Gaussian(4.0), 2.0 * 0.674_49)] {
        for proposer in [Proposer::Student(0.09), Proposer::Gaussian(1.0)] {
            if matches!((prior, proposer), (Prior::Student(_), Proposer::Gaussian(_))) {
                continue; // its steps are too short for the tails
            }
            let rule = settings(0.0, proposer, prior, Neighbourhood::Filter);
            let mut sampler = Sampler::new(&rule, &line(2), 9).unwrap();
            let (mut theta, mut shares, steps) = ([0.0f32; 2], [0.0f64; 4], 500_000);
            for i in 0..steps {
                let proposal = sampler.propose(3, i, &mut theta);
                if proposal.accepts(1e30 * (i as f64).sin(), -1e30) {
                    sampler.keep()
                } else {
                    sampler.undo(&mut theta)
                }
                for x in theta {
                    let place = [-quartile, 0.0, quartile].iter().filter(|q| f64::from(x) > **q).count();
                    shares[place] += 0.5 / steps as f64;
                }
            }
            let even = shares.iter().all(|share| (share - 0.25).abs() < 0.01);
            assert!(even, "{prior:?} {proposer:?}: {shares:?}");
        }
    }
}

#[test]
fn in_the_cold_the_loss_never_rises() {
    let mut sampler = Sampler::new(
        &settings(1e300, Proposer::Student(0.01), Prior::Student(1e-3), Neighbourhood::Elements(2)),
        &line(5),
        1,
    )
    .unwrap();
    let mut bumpy =
        |t: &[f32]| t.iter().map(|x| f64::from(*x)).map(|x| (x - 1.0).powi(2) + (9.0 * x).sin()).sum::<f64>();
    let (mut theta, mut last) = ([0.0f32; 5], f64::INFINITY);
    for step in 0..20_000 {
        let loss = sampler.run(&mut Function(&mut bumpy), &mut theta, step, 0..1, &mut |_| false).loss;
        assert!(loss <= last);
        last = loss;
    }
    let count = sampler.counts().next().unwrap().1;
    assert!(count.accepted > 20 && last < 0.0, "{count:?}, {last}");
}

#[test]
fn any_difference_of_losses_is_decided() {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    let proposal = Proposal { group: 0, log_prior: -3.0, lambda: 1e5, ln_u: -1.0 };
    for (before, after, accepted) in [
        (1e30, -1e30, true),
        (-1e30, 1e30, false),
        (f64::MAX, f64::MIN, true),
        (f64::MIN, f64::MAX, false),
        (1.0, inf, false),
        (1.0, -inf, false),
        (1.0, nan, false),
        (inf, 1.0, true),
        (-inf, 1.0, true),
        (nan, 1.0, true),
        (nan, nan, false),
        (inf, inf, false),
        (1.0, 1.0 - 1e-5, false), // 1 - 3 < -1
        (1.0, 1.0 - 3e-5, true),
    ] {
        assert_eq!(proposal.accepts(before, after), accepted, "{before} -> {after}");
        let impossible = Proposal { log_prior: -inf, ..proposal };
        assert!(!impossible.accepts(before, after));
        let free = Proposal { lambda: 0.0, ..proposal };
        assert_eq!(free.accepts(before, after), after.is_finite() && !before.is_finite(), "{before} -> {after}");
    }
    // Elements that leave the finite numbers are never accepted, and the prior's part is never NaN.
    for (old, new, ratio) in [
        (f32::MAX, f32::INFINITY, -inf),
        (0.0, f32::NAN, -inf),
        (f32::MAX, -f32::MAX, 0.0),
        (1.0, 2.0, (1.001f64 / 4.001).ln()),
        (f32::MAX, 0.0, (f64::from(f32::MAX).powi(2) / 1e-3).ln()),
    ] {
        let sum = Prior::Student(1e-3).log_ratio((0..5).map(|_| (old, new)));
        assert!(sum == 5.0 * ratio || (sum / (5.0 * ratio) - 1.0).abs() < 1e-12, "{old} -> {new}: {sum}");
    }
}

/// A network with two convolutions and a dense layer.
fn picture_network() -> Network {
    let text = "input = [2, 6, 5]\n[[layer]]\nkind = \"conv2d\"\noutputs = 3\nkernel = 3\n[[layer]]\nkind = \"relu\"\n\
        [[layer]]\nkind = \"conv2d\"\noutputs = 4\nkernel = 2\n[[layer]]\nkind = \"flatten\"\n[[layer]]\n\
        kind = \"dense\"\noutputs = 3\n";
    Network::build(model_text::parse(text, &Shape::image(2, 6, 5), 3).unwrap()).unwrap()
}

#[test]
fn a_proposal_moves_its_neighbourhood_and_comes_out_the_same_everywhere() {
    let network = picture_network();
    let parameters = network.parameters();
    let mut rule = Metropolis::greenai();
    rule.groups[1].neighbourhood = Neighbourhood::Elements(7);
    rule.groups[1].probability = 1.5;
    let mut sampler = Sampler::new(&rule, &parameters, 4).unwrap();
    let mut twin = Sampler::new(&rule, &parameters, 4).unwrap();
    let mut theta: Vec<f32> = (0..network.theta_len()).map(|i| (i as f32).sin()).collect();
    let begin = theta.clone();
    let (mut nodes, mut touched) = ([0usize; 5], vec![0usize; theta.len()]);
    for i in 0..20_000 {
        let proposal = sampler.propose(2, i, &mut theta);
        let mut other = begin.clone();
        assert_eq!(proposal, twin.propose(2, i, &mut other));
        assert_eq!((&theta, sampler.changed()), (&other, twin.changed()));
        let changed = sampler.changed().to_vec();
        let differs = |i: usize| theta[i] != begin[i];
        assert!((0..theta.len()).all(|i| !differs(i) || changed.contains(&i)));
        assert!(changed.is_sorted_by(|a, b| a < b));
        let layer = parameters.iter().find(|p| p.weight.start <= changed[0] && changed[0] < p.weight.end());
        let layer = layer.unwrap_or(&parameters[2]);
        nodes[layer.node] += 1;
        match layer.kind {
            ParameterKind::Dense => assert_eq!(changed.len(), 7),
            _ => assert!((0..layer.outputs).any(|o| layer.filter(o).eq(changed.iter().copied()))),
        }
        changed.iter().for_each(|i| touched[*i] += 1);
        if i % 3 == 0 {
            twin.keep()
        } else {
            twin.undo(&mut other)
        }
        sampler.undo(&mut theta);
        assert_eq!(theta, begin);
    }
    assert!(nodes[0].abs_diff(2_500) < 200 && nodes[2].abs_diff(2_500) < 200, "{nodes:?}");
    assert!(nodes[4].abs_diff(15_000) < 300, "{nodes:?}");
    let dense = &touched[parameters[2].weight.start..];
    let expected = 15_000 * 7 / dense.len();
    assert!(dense.iter().all(|n| n.abs_diff(expected) < expected / 6), "{dense:?}");
    let kept: u64 = twin.counts().map(|(_, count)| count.accepted).sum();
    let decided: u64 = twin.counts().map(|(_, count)| count.proposed).sum();
    assert_eq!((kept, decided), (6_667, 20_000));
    twin.reset_counts();
    assert!(twin.counts().all(|(_, count)| count.rate().is_none()));
}

#[test]
fn a_run_learns_and_stops_when_it_is_told() {
    let network = picture_network();
    let program = Program::compile(&network, Flavor::Fused);
    let x = Array2::from_shape_fn((9, 60), |(b, d)| ((b * 7 + d) as f32 * 0.4).sin());
    let labels = [0, 1, 2, 0, 1, 2, 0, 1, 2];
    let mut objective = BatchObjective::new(&program, x.view(), &labels);
    let mut rule = Metropolis::greenai();
    rule.groups.iter_mut().for_each(|group| group.proposer = Proposer::Student(1e-4));
    let mut sampler = Sampler::new(&rule, &network.parameters(), 4).unwrap();
    let mut theta = Init::He.draw(&network, 1);
    let before = objective.loss(&theta);
    let run = sampler.run(&mut objective, &mut theta, 0, 0..1000, &mut |i| i == 400);
    assert_eq!(run.iterations, 400);
    assert!(run.loss < 0.9 * before && run.loss == objective.loss(&theta), "{} after {before}", run.loss);
}

#[test]
fn wrong_settings_are_refused_with_the_cure() {
    type Change = fn(&mut Metropolis);
    let cases: [(Change, &str); 9] = [
        (|m| m.groups[0].lambda = f64::NAN, "the lambda of Conv layers is NaN; give a number of at least 0"),
        (|m| m.groups[1].lambda = f64::INFINITY, "the lambda of Dense layers is inf"),
        (|m| m.groups[1].probability = -0.5, "the probability of Dense layers is -5e-1"),
        (|m| m.groups[1].proposer = Proposer::Gaussian(0.0), "the proposal scale of Dense layers is 0e0"),
        (|m| m.groups[0].prior = Prior::Student(1e60), "the prior scale of Conv layers is 1e60"),
        (|m| m.groups[1].neighbourhood = Neighbourhood::Elements(0), "at least 1 element"),
        (|m| m.groups[0].prior = Prior::Binary, "one is binary; make both so"),
        (|m| m.groups[1].kind = ParameterKind::Conv, "two groups sample Conv layers"),
        (|m| m.groups.iter_mut().for_each(|g| g.probability = 0.0), "no layer of a group with a probability above 0"),
    ];
    for (change, expected) in cases {
        let mut rule = Metropolis::greenai();
        change(&mut rule);
        let message = Sampler::new(&rule, &picture_network().parameters(), 0).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    // A group that the network lacks is no error as long as there is another.
    let sampler = Sampler::new(&Metropolis::greenai(), &line(3), 0).unwrap();
    assert_eq!(sampler.counts().map(|(kind, _)| kind).collect::<Vec<_>>(), [ParameterKind::Dense]);
}
