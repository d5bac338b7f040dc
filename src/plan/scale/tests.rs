//! The model by hand, and what must hold for any numbers.

use super::*;
use crate::device::{Network, Point, Wire};
use crate::plan::pipeline::ScheduleKind;
use proptest::prelude::*;

fn network(alpha: f64, beta: f64, gamma: f64) -> Fabric {
    let wire = Wire { alpha: Seconds(alpha), beta, gamma };
    let (name, source) = ("by hand".to_owned(), "assumed".to_owned());
    Fabric { network: Network { name, wire, source, all_reduce: vec![], serve: vec![] }, carrier: Carrier::Library }
}

fn work(samples: usize, global_batch: usize, payload: u64) -> Work {
    Work { samples, global_batch, payload: Bytes(payload) }
}

fn near(found: Seconds, expected: f64) {
    assert!((found.0 - expected).abs() < 1e-9 * expected.abs().max(1.0), "{found} for {expected}");
}

#[test]
fn steps_lie_on_the_lines_between_points() {
    let compute = Compute::from_points([(8, Seconds(5.0)), (2, Seconds(2.0)), (4, Seconds(3.0))]);
    for (rows, expected) in [(0, 1.0), (2, 2.0), (3, 2.5), (4, 3.0), (6, 4.0), (8, 5.0), (16, 9.0)] {
        near(compute.step(rows), expected);
    }
    near(Compute::from_points([(4, Seconds(2.0))]).step(6), 3.0);
    near(Compute::from_rates(Seconds(0.5), Seconds(1.0)).step(4), 3.0);
    near(Compute::from_rates(Seconds(0.5), Seconds(1.0)).crowded(10.0).step(4), 30.0);
    near(Compute::from_points([(4, Seconds(1.0)), (8, Seconds(1.0))]).crowded(0.1).step(4), 1.0);
}

/// 10 samples, 4 a step: two steps of 4 and one of 2. A row takes 1 s, an update 0.5 s.
#[test]
fn modes_by_hand() {
    let compute = Compute::from_rates(Seconds(1.0), Seconds(0.5));
    let network = network(0.25, 0.01, 0.0);
    let work = work(10, 4, 100);
    near(single(work, &compute).epoch, 2.0 * 4.5 + 2.5);
    // A message takes 1.25 s; two ranks exchange one each.
    let (found, how) = all_reduce(work, 2, &compute, &network, None);
    near(found.epoch, 2.0 * 2.5 + 1.5 + 3.0 * 1.25);
    assert_eq!((found.steps, how, found.sent), (3, "recursive doubling", Bytes(300)));
    // Three ranks: slices of 2, 1, 1 and of 1, 1, 0; in each step a part of the ranks waits for a row.
    near(all_reduce(work, 3, &compute, &network, None).0.wait, 2.0 * 2.0 / 3.0 + 1.0 / 3.0);
    let averaging = Averaging { steps: 2, payload: Bytes(200), packing: Seconds(0.0) };
    near(all_reduce(work, 2, &compute, &network, Some(averaging)).0.epoch, 6.5 + 2.0 * 2.25);
    // Two workers push and pull, one after the other.
    let found = send_recv(work, 2, &compute, &network);
    near(found.epoch, 6.5 + 3.0 * 4.0 * 1.25);
    assert_eq!(found.sent, Bytes(132 * 3 * 2));
}

#[test]
fn ranks_that_vary_wait_for_the_latest() {
    let compute = Compute::from_rates(Seconds(1.0), Seconds(0.0)).with_jitter(Seconds(0.3));
    let free = network(0.0, 0.0, 0.0);
    let lock_step = all_reduce(work(8, 8, 4), 4, &compute, &free, None).0;
    near(lock_step.epoch, 2.0 + 0.3 * (1.0 / 2.0 + 1.0 / 3.0 + 1.0 / 4.0));
    near(all_reduce(work(8, 8, 4), 1, &compute, &free, None).0.epoch, 8.0);
    // Four steps apart they are apart by twice as much as after one, and meet once instead of four times.
    let averaging = Some(Averaging { steps: 4, payload: Bytes(4), packing: Seconds(0.0) });
    let apart = all_reduce(work(32, 8, 4), 4, &compute, &free, averaging).0;
    near(apart.epoch, 8.0 + 2.0 * (lock_step.epoch.0 - 2.0));
}

#[test]
fn first_results_follow_order_statistics() {
    let compute = Compute::from_rates(Seconds(0.0), Seconds(0.0));
    let free = network(0.0, 0.0, 0.0);
    let law = crate::device::Law::Exp(Seconds(1.0));
    let kth = |n: usize, k: usize, task: Seconds| kth_of(n, k, &law, task);
    let step = |first| grid(work(16, 8, 4), 8, first, &compute, &free, &kth).epoch.0 / 2.0;
    assert!((step(First::Workers(8)) - 2.7179).abs() < 1e-4 && (step(First::Workers(4)) - 0.6345).abs() < 1e-4);
    assert!((step(First::Results(4)) - 0.5).abs() < 1e-12 && (step(First::Results(1)) - 0.125).abs() < 1e-12);
    // A server that needs 1 s for each message and back serves no faster than that.
    let slow = network(0.5, 0.0, 0.0);
    near(grid(work(8, 8, 4), 8, First::Results(8), &compute, &slow, &kth).epoch, 8.0);
}

#[test]
fn pipelines_by_hand() {
    let stage = |handed_on| StageCost {
        forward: Seconds(1.0),
        backward_input: Seconds(0.5),
        backward_params: Seconds(0.5),
        update: Seconds(0.25),
        handed_on,
        payload: Bytes(40),
    };
    let stages = [stage(3), stage(0)];
    let free = network(0.0, 0.0, 0.0);
    let plan = |schedule| Backprop { schedule, replicas: 1, micro_batches: 4, rows: 2 };
    // Fill and drain: (m + s - 1)(f + b), and an update.
    let found = backprop(work(16, 8, 0), plan(ScheduleKind::Gpipe), &stages, &free, None).unwrap();
    near(found.epoch, 2.0 * (5.0 * 2.0 + 0.25));
    near(found.wait, 2.0 * 2.0);
    // Down: 4 messages of 2 rows with 3 elements and a label; up: the same without labels. A word of agreement each.
    assert_eq!(found.sent, Bytes(2 * (8 * 4 * 4 + 4 * 32 + 8)));
    let zero_bubble = backprop(work(16, 8, 0), plan(ScheduleKind::ZeroBubbleH1), &stages, &free, None).unwrap();
    assert!(zero_bubble.epoch.0 < found.epoch.0);
    // Two chains do half each, and add up 40 bytes.
    let halves = Backprop { replicas: 2, micro_batches: 2, ..plan(ScheduleKind::Gpipe) };
    let slow = network(0.0, 0.001, 0.0);
    let found = backprop(work(8, 8, 0), halves, &stages[1..], &slow, None).unwrap();
    near(found.epoch, 2.0 * 2.0 + 0.25 + 0.04 + 0.008);
    // Local: the second stage begins a forward pass later than the first, and both take 2.25 s a batch.
    near(local(work(16, 2, 0), 2, 2, &stages, &free, None).epoch, 1.0 + 8.0 * 2.25);
    near(local(work(16, 2, 0), 4, 2, &stages, &free, None).epoch, 0.5 + 8.0 * 1.25);
    // A second stage that is slower holds the first up, and is not held up itself.
    let slower = [stages[0], StageCost { update: Seconds(3.25), ..stages[1] }];
    near(local(work(16, 2, 0), 2, 2, &slower, &free, None).epoch, 1.0 + 8.0 * 5.25);
    // A message that keeps both ends for 1 s and is under way for 2 s: twice down and twice up, two of them one behind the
    // other; the loop takes 0.5 s a piece and 3 s a step.
    let upkeep =
        Upkeep { end: Seconds(1.0), way: Seconds(2.0), piece: Seconds(0.5), step: Seconds(3.0), ..Upkeep::default() };
    let one = Backprop { micro_batches: 1, ..plan(ScheduleKind::Gpipe) };
    let found = backprop(work(2, 2, 0), one, &stages, &free, Some(upkeep)).unwrap();
    near(found.epoch, 4.0 + 0.25 + 4.0 * 1.0 + 2.0 * 2.0 + 4.0 * 0.25 + 3.0);
    near(found.talk, 2.0);
    // Each batch and its credit keep both stages for 1.5 s, and the loop takes 3 s.
    let upkeep = Upkeep { credited: Seconds(1.5), way: Seconds(2.0), step: Seconds(3.0), ..Upkeep::default() };
    near(local(work(16, 2, 0), 2, 2, &stages, &free, Some(upkeep)).epoch, 5.5 + 2.0 + 8.0 * 6.75);
    assert!(local(work(16, 2, 0), 2, 1, &slower, &network(0.1, 0.0, 0.0), None).epoch.0 > 1.0 + 8.0 * 5.25);
}

#[test]
fn sums_are_as_measured_else_at_rank_0_or_as_fast_as_can_be() {
    let fast = network(1e-6, 1e-9, 1e-10);
    assert_eq!(fast.all_reduce(64, Bytes(8)).1, "recursive doubling");
    assert_eq!(fast.all_reduce(64, Bytes(1 << 26)).1, "Rabenseifner");
    let mut other = fast.clone();
    other.carrier = Carrier::Threads;
    other.network.all_reduce = vec![Point { ranks: 2, bytes: Bytes(8), seconds: Seconds(1.5) }];
    assert_eq!(other.all_reduce(2, Bytes(8)), (Seconds(1.5), "as measured"));
    assert_eq!(other.all_reduce(1, Bytes(8)).0, Seconds(0.0));
    let (found, how) = other.all_reduce(4, Bytes(1000));
    near(found, 3.0 * (2e-6 + 2e-6 + 1e-7));
    assert_eq!(how, "at rank 0");
}

proptest! {
    #[test]
    fn better_networks_and_machines_are_never_slower(
        samples in 1usize..5000, batch in 1usize..600, ranks in 2usize..70, payload in 0u64..1_000_000,
        (alpha, beta, gamma) in (0.0..1e-3, 0.0..1e-6, 0.0..1e-8), row in 0.0..1e-2, better in 0.0..1.0f64,
    ) {
        let work = work(samples, batch, payload);
        let epochs = |network: &Fabric, row: f64| {
            let compute = Compute::from_rates(Seconds(row), Seconds(1e-4));
            let kth = |_: usize, _: usize, task: Seconds| task;
            [
                single(work, &compute),
                all_reduce(work, ranks, &compute, network, None).0,
                all_reduce(work, ranks, &compute, network, Some(Averaging { steps: 3, payload: Bytes(payload), packing: Seconds(row) })).0,
                send_recv(work, ranks - 1, &compute, network),
                grid(work, ranks - 1, First::Workers(ranks / 2), &compute, network, &kth),
                grid(work, ranks - 1, First::Results(2), &compute, network, &kth),
            ]
        };
        let before = epochs(&network(alpha, beta, gamma), row);
        let closer = |seconds: f64| seconds * (1.0 + 1e-9) + 1e-15;
        for other in [
            epochs(&network(alpha, beta * better, gamma), row),
            epochs(&network(alpha * better, beta, gamma), row),
            epochs(&network(alpha, beta, gamma * better), row),
            epochs(&network(alpha, beta, gamma), row * better),
        ] {
            for (better, worse) in other.iter().zip(&before) {
                prop_assert!(better.epoch.0 <= closer(worse.epoch.0), "{better:?} {worse:?}");
            }
        }
        for found in before {
            prop_assert!(found.epoch.0.is_finite() && found.wait.0 >= 0.0 && found.compute.0 <= closer(found.epoch.0));
        }
    }
}

#[test]
fn a_measured_epoch_changes_what_is_waited_for() {
    let model = Prediction {
        epoch: Seconds(10.0),
        compute: Seconds(6.0),
        talk: Seconds(2.0),
        wait: Seconds(2.0),
        ..Prediction::default()
    };
    let longer = model.of_length(Seconds(12.0));
    assert_eq!((longer.compute, longer.talk, longer.wait), (Seconds(6.0), Seconds(2.0), Seconds(4.0)));
    // Shorter than the work in it: the work is faster than thought.
    let shorter = model.of_length(Seconds(4.0));
    assert_eq!((shorter.compute, shorter.talk, shorter.wait), (Seconds(3.0), Seconds(1.0), Seconds(0.0)));
}
