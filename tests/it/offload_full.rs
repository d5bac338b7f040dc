//! Offloading of networks as they were published.

use super::comm_threads::BUFFERED;
use crate::cases::offload::{SEED, answered, devices};
use goai::comm::{Communicator, HEADER, run_threads};
use goai::nn::{Network, zoo};
use goai::plan::placement::{Ask, Judge, Limits, Objective, Problem, by_name};
use goai::strategy::offload::{Granularity, OffloadGraph};
use goai::units::{Bytes, Seconds};

#[test]
#[ignore = "two networks of full size, gigabytes of weights (make test-long)"]
fn tasks_of_networks_of_full_size() {
    for name in ["resnet50", "vgg16"] {
        run_threads(2, BUFFERED, |comm| full_size(comm, name));
    }
}

/// The plans of two policies; both ranks have something to do in one of them at least.
fn full_size(comm: &dyn Communicator, name: &str) {
    let input = zoo::default_input(name).unwrap();
    let network = Network::build(zoo::by_name(name, &input, 1000).unwrap()).unwrap();
    let work = OffloadGraph::of(&network, Granularity::Block).unwrap();
    let devices = devices(comm.size());
    let problem = Problem::on_devices(&work.graph, &devices, 0, Bytes(HEADER as u64), Seconds(0.0));
    let judge = Judge::new(&problem, Objective::Time, Limits::default());
    let ask = Ask { judge, tiers: &[], seed: SEED, evaluations: 40 };
    let plans = ["random", "heft"].map(|policy| by_name(policy, &ask, &mut || true).unwrap().plan);
    assert!(plans[0].ranks().len() == 2);
    answered(comm, &devices, &network, &work, &plans);
}
