//! The model and its planners against the published instance, against brute force, and against each other.

mod planners;
mod shapes;

use super::*;
use crate::rng::{Purpose, below, stream, unit};
use crate::units::Seconds;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

const ORACLE: &str = include_str!("../../../../tests/oracles/offload_mec.json");

fn oracle() -> (Value, Instance) {
    let all: Value = serde_json::from_str(ORACLE).unwrap();
    let list = |name: &str| serde_json::from_value(all["instance"][name].clone()).unwrap();
    let predecessors = serde_json::from_value(all["instance"]["predecessors"].clone()).unwrap();
    let instance = Instance::new(list("W"), list("d"), predecessors).unwrap();
    (all, instance)
}

#[test]
fn the_published_constants_are_ours() {
    let (all, _) = oracle();
    let mec = Mec::edge_cloud();
    let ours = [
        ("f_local", mec.local_speed),
        ("f_edge", mec.edge_speed),
        ("f_cloud", mec.cloud_speed),
        ("bandwidth", mec.bandwidth),
        ("P_tx", mec.transmit_power),
        ("gain", mec.gain),
        ("noise", mec.noise),
        ("W_cloud", mec.cloud_link),
        ("P0", mec.relay_power),
        ("k", mec.switched_capacitance),
        ("price_edge", mec.edge_prices[0]),
        ("price_cloud", mec.cloud_price),
    ];
    for (name, value) in ours {
        assert_eq!(all["constants"][name].as_f64(), Some(value), "{name}");
    }
    assert!((mec.edge_power.at(3.6) - 1.6).abs() < 1e-9 && (mec.cloud_power.at(4.0) - 2.6).abs() < 1e-9);
}

#[test]
fn the_published_figures_come_out() {
    let (all, instance) = oracle();
    let mec = Mec::edge_cloud();
    for (name, place) in [("all local", Place::Local), ("all edge", Place::Edge(0)), ("all cloud", Place::Cloud)] {
        let finish = evaluate(&instance, &mec, &[place; 4]).finish.0;
        assert!((finish - all["results"][name].as_f64().unwrap()).abs() < 5e-5, "{name}: {finish}");
    }
    let optima = all["results"]["optimum with utility >= 0, by budget"].as_object().unwrap();
    assert_eq!(optima.len(), 3);
    for (budget, expected) in optima {
        let (budget, expected) = (budget.parse().unwrap(), expected.as_f64().unwrap());
        let proved = optimum(&instance, &mec, budget, 1_000_000).unwrap();
        let ours = auto(&instance, &mec, budget, &Effort::default()).unwrap();
        for answer in [proved, ours] {
            assert!((answer.figures.finish.0 - expected).abs() < 5e-5, "{budget}: {answer:?}");
            assert!(answer.exact && answer.figures.feasible(budget), "{budget}: {answer:?}");
        }
    }
}

/// A chain of two tasks, W 2 and 4, d 3 and 6, under constants that make every way another round number.
#[test]
fn every_way_and_every_price_is_as_computed_by_hand() {
    use Place::{Cloud, Edge, Local};
    let instance = Instance::new(vec![2.0, 4.0], vec![3.0, 6.0], vec![vec![], vec![0]]).unwrap();
    let mec = Mec {
        edge_speed: 2.0,
        bandwidth: 2.0,
        transmit_power: 0.5,
        gain: 6.0, // R = 2 log2(1 + 3) = 4
        cloud_link: 12.0,
        edge_link: 24.0,
        switched_capacitance: 0.25,
        edge_prices: vec![1.0, 0.5],
        edge_power: PowerLaw { scale: 1e9, exponent: 1.0, base: 1.0 }, // 3 W at 2
        cloud_power: PowerLaw { scale: 0.0, exponent: 1.0, base: 2.0 },
        ..Mec::edge_cloud()
    };
    // T_t 0.75 and 1.5, E_t half of it; T_r 0.25 and 0.5, E_s a tenth of it.
    let cases = [
        ([Local, Local], 6.0, 1.5, 0.0, 0.0, 1.5),
        ([Local, Edge(0)], 2.0 + 1.5 + 2.0, 0.5 + 6.0 + 0.75, 6.0 - 6.0, 0.0, 0.5 + 0.75 + 6.0),
        ([Local, Cloud], 2.0 + 2.0 + 1.0, 0.5 + 12.0 + 0.75 + 0.05, -0.05, 12.0 - 2.0, 0.5 + 0.8 + 2.0),
        ([Edge(1), Local], 1.0 + 4.0, 1.5 + 0.375 + 1.0, 1.5 - 3.0, 0.0, 0.375 + 3.0 + 1.0),
        ([Edge(1), Edge(1)], 3.0, 1.5 + 0.375 + 3.0 + 0.75, 1.5 - 3.0 + 3.0 - 6.0, 0.0, 0.375 + 3.0 + 0.75 + 6.0),
        ([Edge(0), Edge(1)], 3.25, 3.0 + 0.375 + 3.0 + 0.75, 3.0 - 3.0 + 3.0 - 6.0, 0.0, 0.375 + 3.0 + 0.75 + 6.0),
        ([Edge(0), Cloud], 1.0 + 0.5 + 1.0, 3.375 + 12.8, 0.0 - 0.05, 10.0, 3.375 + 0.8 + 2.0),
        ([Cloud, Edge(0)], 0.5 + 2.0, 6.0 + 0.375 + 0.025 + 6.75, -0.025, 5.0, 0.4 + 1.0 + 6.75),
        ([Cloud, Cloud], 1.5, 6.4 + 12.8, -0.075, 15.0, 1.4 + 2.8),
    ];
    for (places, finish, cost, edge, cloud, energy) in cases {
        let it = evaluate(&instance, &mec, &places);
        let figures = [it.finish.0, it.cost, it.edge_utility, it.cloud_utility, it.energy.0];
        let expected = [finish, cost, edge, cloud, energy];
        let near = figures.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(near, "{places:?}: {figures:?}, expected {expected:?}");
    }
}

#[test]
fn constants_that_cannot_be_are_named() {
    let good = Mec::cooperating;
    let cases = [
        (Mec { edge_speed: 0.0, ..good() }, "edge speed is 0"),
        (Mec { bandwidth: f64::INFINITY, ..good() }, "bandwidth is inf"),
        (Mec { edge_link: f64::NAN, ..good() }, "edge link is NaN"),
        (Mec { edge_prices: vec![1.0, -0.5], ..good() }, "price of an edge server is -0.5"),
        (Mec { cloud_price: f64::NAN, ..good() }, "price of the cloud is NaN"),
        (Mec { edge_prices: vec![], ..good() }, "has no edge server"),
    ];
    assert_eq!((good().check(), Mec::edge_cloud().check()), (Ok(()), Ok(())));
    let (_, instance) = oracle();
    for (mec, expected) in cases {
        let message = auto(&instance, &mec, 50.0, &Effort::default()).unwrap_err().to_string();
        assert!(message.contains(expected) && !message.contains('\n'), "{message}");
    }
}

#[test]
fn a_budget_that_nothing_meets_is_told_the_smallest_that_works() {
    let (_, instance) = oracle();
    let mec = Mec::edge_cloud();
    let effort = Effort::default();
    let refused = auto(&instance, &mec, 1e-10, &effort).unwrap_err();
    let MecError::Budget { given: 1e-10, least } = refused else { panic!("{refused}") };
    // Everything on the device: k W f².
    assert!((least - 42e-11).abs() < 1e-20, "{least}");
    assert!(refused.to_string().contains("costs 4.2e-10; give a budget"), "{refused}");
    assert_eq!(auto(&instance, &mec, least, &effort).unwrap().figures.finish, Seconds(34.0));
    assert_eq!(optimum(&instance, &mec, 0.0, 1_000).unwrap_err(), MecError::Budget { given: 0.0, least });
    // Data that cost nothing make the edge cheaper than the device's energy, but the server would lose by it, unless
    // another task pays for it.
    let (work, data) = (vec![1.0, 1.0], vec![0.0, 0.1]);
    let two = Instance::new(work, data, vec![vec![], vec![0]]).unwrap();
    let generous = Mec { switched_capacitance: 1.0, edge_prices: vec![9.0], ..mec };
    let refused = auto(&two, &generous, 0.5, &effort).unwrap_err();
    let MecError::Budget { least, .. } = refused else { panic!("{refused}") };
    let both_on_edge = evaluate(&two, &generous, &[Place::Edge(0); 2]);
    assert!(both_on_edge.meets_utility() && least == both_on_edge.cost, "{least} {both_on_edge:?}");
}

/// Random numbers of a test.
pub(super) struct Draws(ChaCha8Rng);

impl Draws {
    fn new(test: u64, case: u64) -> Self {
        Self(stream(7, Purpose::Placement, test, case))
    }

    fn between(&mut self, least: f64, most: f64) -> f64 {
        least + (most - least) * unit(&mut self.0)
    }

    fn below(&mut self, count: usize) -> usize {
        below(&mut self.0, count as u64) as usize
    }

    /// A cost; one in eight is nothing.
    fn cost(&mut self, most: f64) -> f64 {
        if self.below(8) == 0 { 0.0 } else { self.between(0.0, most) }
    }

    /// Tasks that wait for random earlier ones.
    fn instance(&mut self, most: usize) -> Instance {
        let count = 1 + self.below(most);
        let predecessors = (0..count).map(|task| (0..task).filter(|_| self.below(3) == 0).collect()).collect();
        self.costs(predecessors)
    }

    /// Tasks that hand over to one other.
    fn tree(&mut self, most: usize) -> Instance {
        let count = 1 + self.below(most);
        let mut predecessors = vec![Vec::new(); count];
        (1..count).for_each(|task| predecessors[task + self.below(count - task)].push(task - 1));
        self.costs(predecessors)
    }

    fn costs(&mut self, predecessors: Vec<Vec<usize>>) -> Instance {
        let mut list = |most| predecessors.iter().map(|_| self.cost(most)).collect();
        Instance::new(list(15.0), list(12.0), predecessors).unwrap()
    }

    /// A model with so many edge servers at most.
    fn mec(&mut self, servers: usize) -> Mec {
        let count = 1 + self.below(servers);
        Mec {
            edge_speed: self.between(1.0, 6.0),
            cloud_speed: self.between(2.0, 8.0),
            bandwidth: self.between(1.0, 20.0),
            cloud_link: self.between(5.0, 100.0),
            edge_link: if self.below(2) == 0 { f64::INFINITY } else { self.between(5.0, 100.0) },
            edge_prices: (0..count).map(|_| self.between(0.2, 1.5)).collect(),
            cloud_price: self.between(0.5, 3.0),
            max_workload: self.between(5.0, 100.0),
            ..Mec::cooperating()
        }
    }

    /// A budget: mostly something between nothing and everything in the cloud, sometimes hardly enough for the device.
    fn budget(&mut self, instance: &Instance, mec: &Mec) -> f64 {
        let part = if self.below(10) == 0 { 0.0 } else { self.between(0.0, 1.2) };
        evaluate(instance, mec, &vec![Place::Local; instance.tasks()]).cost
            + Budget::OfCloud(part).amount(instance, mec)
    }
}
