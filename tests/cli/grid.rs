//! A parameter server's rules, on threads: what each leaves in the tables, on the virtual clock and on the real one.

use crate::run::{Launch, Outcome, Run};

fn train(args: &str, ranks: usize) -> Outcome {
    let outcome = Run::new(&format!("--mode sendrecv {args}")).launch(Launch::Threads(ranks)).ok();
    assert_eq!(outcome.json()["state"], "complete", "{args}");
    outcome
}

/// A column of a table of the run, its empty cells left out; of one rank or, without a rank column, of all.
fn column(outcome: &Outcome, table: &str, name: &str, rank: Option<usize>) -> Vec<f64> {
    let text = outcome.text(&format!("runs/latest/{table}"));
    let mut rows = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = rows.next().expect("a table has a header");
    let place = |name: &str| header.iter().position(|cell| *cell == name).unwrap_or_else(|| panic!("no {name}"));
    let mine = |row: &Vec<&str>| rank.is_none_or(|rank| row[place("rank")] == rank.to_string());
    rows.filter(mine).filter_map(|row| row[place(name)].parse().ok()).collect()
}

fn sum(outcome: &Outcome, name: &str) -> f64 {
    column(outcome, "ranks.csv", name, None).iter().sum()
}

fn hash(outcome: &Outcome) -> String {
    outcome.json()["final"]["weights_hash"].as_str().expect("a hash").to_owned()
}

/// 120 rows on four workers: 8 steps an epoch of 16 samples, in lock-step.
#[test]
fn every_rule_trains_and_counts_what_it_took() {
    for (rule, contributions) in [
        ("k-sync --k 3", 3),
        ("k-batch --k 3", 3),
        ("k-async --k 2", 2),
        ("k-batch-async --k 2", 2),
        ("async", 1),
        ("backup", 3),
        ("shards --shards 12 --k 4", 4),
        ("shards --shards 100 --k 8 --local-epochs 5", 8),
    ] {
        let outcome = train(&format!("--sync {rule} --epochs 20"), 5);
        let ledger = outcome.text("runs/latest/ledger.csv");
        let mut applied: Vec<Vec<u64>> =
            ledger.lines().skip(1).map(|line| line.split(',').map(|cell| cell.parse().unwrap()).collect()).collect();
        let steps = applied.last().expect("steps")[1] as usize;
        assert!(applied.len() <= steps * contributions && applied.len() > steps * (contributions - 1), "{rule}");
        let stale = applied.iter().filter(|row| row[4] > 0).count();
        assert!(rule.contains("async") || stale == 0, "{rule}: {stale} stale contributions");
        applied.sort();
        applied.dedup_by_key(|row| (row[0], row[2]));
        assert_eq!(applied.len(), ledger.lines().count() - 1, "{rule}: a chunk was applied twice");
        let taken = sum(&outcome, "taken");
        assert_eq!(taken as usize, applied.len(), "{rule}");
        for name in ["stale", "duplicate", "cancelled", "repeated"] {
            assert!(column(&outcome, "ranks.csv", name, Some(2)).iter().all(|count| *count >= 0.0), "{rule}: {name}");
        }
        for rank in 1..5 {
            let mean = column(&outcome, "ranks.csv", "staleness_mean", Some(rank));
            let most = column(&outcome, "ranks.csv", "staleness_max", Some(rank));
            assert_eq!(mean.len(), 20, "{rule}");
            assert!(mean.iter().zip(&most).all(|(mean, most)| mean <= most), "{rule}");
        }
        // The training loss of a shard is that of its own passes over it.
        let loss = column(&outcome, "metrics.csv", "val_loss", None);
        assert!(loss[19] < loss[0], "{rule}: {loss:?}");
        assert_eq!(column(&outcome, "metrics.csv", "samples", None)[0], 120.0, "{rule}");
    }
}

#[test]
fn delays_on_the_virtual_clock_are_the_seed_s() {
    for rule in ["k-sync --k 3", "k-batch --k 3", "k-async --k 2", "async", "shards --shards 12 --k 4", "full"] {
        let seconds = |seed: u64| {
            let args = format!("--sync {rule} --epochs 3 --delay exp:0.01 --seed {seed}");
            let outcome = train(&args, 5);
            (column(&outcome, "metrics.csv", "modelled_epoch_s", None), hash(&outcome))
        };
        let (first, again, other) = (seconds(1), seconds(1), seconds(2));
        assert_eq!(first, again, "{rule}");
        assert_ne!(first, other, "{rule}");
        assert!(first.0.len() == 3 && first.0.iter().all(|epoch| (0.005..5.0).contains(epoch)), "{rule}: {first:?}");
    }
}

#[test]
fn a_fixed_grid_has_one_hash_at_any_number_of_workers() {
    for args in ["--sync k-batch --k 3", "--sync k-sync --k 3", "--sync shards --shards 30 --k 3"] {
        let batch = if args.contains("shards") { "" } else { "--global-batch 12" };
        let hashes =
            [2, 3, 5, 9].map(|ranks| hash(&train(&format!("{args} {batch} --deterministic --epochs 5"), ranks)));
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{args}: {hashes:?}");
        let alone = Run::new("--deterministic --global-batch 12 --epochs 5").launch(Launch::Solo).ok();
        assert_eq!(hash(&alone), hashes[0], "{args}");
    }
}

#[test]
fn a_grid_goes_on_from_its_checkpoint() {
    for (rule, deterministic) in [
        ("k-batch --k 3", true),
        ("k-sync --k 4", false),
        ("async", false),
        ("shards --shards 40 --k 8 --local-epochs 2", false),
        ("shards --shards 30 --k 3", true),
    ] {
        let fixed = if deterministic { "--deterministic" } else { "" };
        let args = format!("--mode sendrecv --sync {rule} {fixed} --epochs 6 --checkpoint-every 7");
        let whole = Run::new(&format!("{args} --run-dir a")).launch(Launch::Threads(5)).ok();
        let folder = whole.path("a/ckpt");
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .expect("checkpoints")
            .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
            .filter(|name| name.starts_with("step"))
            .collect();
        names.sort();
        let from = format!("a/ckpt/{}", names[0]);
        let expected = whole.json_of("a")["final"]["weights_hash"].clone();
        let mut outcome = whole.again(&format!("--resume {from} --run-dir b")).launch(Launch::Threads(5)).ok();
        assert_eq!(outcome.json_of("b")["state"], "complete", "{rule}");
        let same = outcome.json_of("b")["final"]["weights_hash"] == expected;
        assert!(same || rule == "async", "{rule}");
        // Other ranks, and other modes, find the same steps.
        for (mode, launch) in [("", Launch::Threads(3)), ("", Launch::Solo), ("--mode allreduce", Launch::Threads(2))] {
            if deterministic {
                let dir = format!("c{}{launch:?}", mode.len()).replace(['(', ')'], "");
                outcome = outcome.again(&format!("--resume {from} --run-dir {dir} {mode}")).launch(launch).ok();
                assert_eq!(outcome.json_of(&dir)["final"]["weights_hash"], expected, "{rule} {mode} {launch:?}");
            }
        }
    }
}

/// The mean of the fourth of eight exponential times is (1/8 + 1/7 + 1/6 + 1/5) of their mean.
#[test]
fn the_law_of_k_sync_holds_on_the_real_clock() {
    let step = |law: &str| {
        let args = format!("--sync k-sync --k 4 --epochs 2 --global-batch 4 --clock real --delay {law}");
        let outcome = train(&args, 9);
        let (seconds, steps) = (column(&outcome, "metrics.csv", "epoch_s", None), 30.0);
        assert_eq!(column(&outcome, "metrics.csv", "step", None), [steps, 2.0 * steps]);
        seconds.iter().sum::<f64>() / (2.0 * steps)
    };
    let (mean, overhead) = (step("exp:0.02"), step("const:0"));
    let law = 0.6345 * 0.02;
    println!(
        "{:.2} ms a step, {:.2} ms of them overhead; the law says {:.2} ms",
        mean * 1e3,
        overhead * 1e3,
        law * 1e3
    );
    assert!(((mean - overhead) / law - 1.0).abs() < 0.15, "{mean} s a step, {overhead} s of overhead, not {law} s");
}
