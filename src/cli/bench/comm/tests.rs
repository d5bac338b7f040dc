//! Options, figures and JSON of `bench comm` on threads.

use super::*;
use crate::comm::{ThreadOptions, run_threads};

#[test]
fn a_quick_look_gives_all_ranks_the_same_network() {
    for ranks in [1, 2, 3] {
        let start = Instant::now();
        let networks = run_threads(ranks, ThreadOptions::default(), |comm| quick(comm).unwrap());
        assert!(networks.iter().all(|network| *network == networks[0]), "{networks:?}");
        let Some(network) = &networks[0] else {
            assert_eq!(ranks, 1);
            continue;
        };
        // The machine may be busy, but ten times over it is no quick look any more.
        assert!(start.elapsed().as_secs_f64() < 3.0, "{:?}", start.elapsed());
        assert!(network.wire.alpha.0 > 0.0 && network.wire.beta >= 0.0 && network.is_measured(ranks), "{network:?}");
        assert!(!network.serve.is_empty() && network.serve(ranks - 1, Bytes(1 << 20)).0 > 0.0, "{network:?}");
    }
}

#[test]
fn sums_in_shared_memory_count_where_training_has_them() {
    let cell = |us: f64| Cell { median: us * 1e-6, least: 0.0, most: 0.0, calls: 1 };
    let cells = |us: f64| vec![(8, cell(us)), (SHARED_FROM, cell(us * 10.0))];
    let sheets = vec![(Operation::AllReduce, cells(2.0)), (Operation::Shared, cells(1.0))];
    let sums: Vec<f64> =
        network(&sheets, 2, String::new()).all_reduce.iter().map(|point| point.seconds.0 * 1e6).collect();
    assert!((sums[0] - 2.0).abs() < 1e-9 && (sums[1] - 10.0).abs() < 1e-9 && sums.len() == 2, "{sums:?}");
}

#[test]
fn sizes_end_with_the_longest() {
    for (max, quick, expected) in [
        (Some(100), false, vec![8, 32, 100]),
        (Some(128), true, vec![8, 128]),
        (None, true, vec![8, 128, 2048, 32768, 524288, 1 << 20]),
    ] {
        let args = CommArgs { ranks: None, max: max.map(Bytes), quick, json: false };
        assert_eq!(Plan::new(&args).sizes, expected);
    }
}
