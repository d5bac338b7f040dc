//! Trainings on emulated machines: the same weights as without, and the same virtual times in any real order.

use super::comm_threads::{BUFFERED, RENDEZVOUS};
use crate::cases::iris::{Iris, hyper};
use crate::cases::training::{Recorder, train};
use goai::comm::{Communicator, Emulated, ThreadOptions, run_threads};
use goai::device::{Clock, Devices, EmulatedClock, Ledger, Machine, Pace};
use goai::nn::{Flavor, Program};
use goai::optim::Rule;
use goai::strategy::{Strategy, Task, fit};
use std::time::Duration;

/// Weights, and what the machine did; `late` ranks begin later in real time.
fn emulate(strategy: Strategy, task: &Task, options: ThreadOptions, late: u64) -> Vec<(Vec<f32>, Ledger)> {
    let devices = Devices::load("greenai").unwrap();
    run_threads(devices.profiles().len(), options, |comm| {
        std::thread::sleep(Duration::from_millis(late * comm.rank() as u64));
        let clock = EmulatedClock::start(Machine::new(devices.profile(comm.rank()), "iris_mlp"), Pace::Virtual);
        let machine = clock.machine().unwrap();
        let emulated = Emulated::new(comm, machine, &devices);
        let fit = fit(strategy, task, &emulated, &clock, &mut Recorder::default()).unwrap();
        (fit.theta, machine.ledger())
    })
}

#[test]
fn virtual_times_and_weights_are_the_program_s_alone() {
    let iris = Iris::load();
    let (batch, epochs) = (iris.train.labels.len(), 3);
    let task = iris.task(hyper(Rule::Sgd, 0.1, batch, epochs));
    for strategy in [Strategy::AllReduce, Strategy::SendRecv] {
        let expected = emulate(strategy, &task, BUFFERED, 0);
        for (options, late) in [(BUFFERED, 0), (BUFFERED, 3), (RENDEZVOUS, 0)] {
            assert!(emulate(strategy, &task, options, late) == expected, "{}: other times", strategy.name());
        }
        let plain = run_threads(5, BUFFERED, |comm| train(strategy, &task, comm).unwrap().theta);
        assert!(expected.iter().map(|(theta, _)| theta).eq(&plain), "{}: other weights", strategy.name());
        let cost = Program::compile(&iris.network, Flavor::Fused).flops();
        let backward = cost.backward().0 as f64;
        let devices = Devices::load("greenai").unwrap();
        // All ranks together go once through all samples in an epoch, each at its own speed.
        let rows = |(rank, (_, ledger)): (usize, &(Vec<f32>, Ledger))| {
            let profile = devices.profile(rank);
            let sample = cost.forward.0 as f64 / profile.flops_per_s + backward / profile.backward_flops_per_s;
            ledger.computing.0 / sample
        };
        let all: f64 = expected.iter().enumerate().map(rows).sum();
        assert!((all / (batch as f64 * epochs as f64) - 1.0).abs() < 1e-9, "{}: {all} rows", strategy.name());
        assert!(expected.iter().all(|(_, ledger)| ledger.sending.0 > 0.0 && ledger.time > ledger.computing));
    }
}
