//! Mistakes with grids: rules, K, shards, delays, checkpoints.

use super::{Case, case};
use crate::run::{Launch, Run};

/// A grid on so many threads.
fn grid(args: &str, ranks: usize, code: i32, parts: &[&str]) -> Case {
    let name = format!("grid on {ranks}: {args}");
    case(&name, Run::new(&format!("--mode sendrecv {args}")), code, parts).on(Launch::Threads(ranks))
}

fn elsewhere(mode: &str, args: &str, parts: &[&str]) -> Case {
    let run = Run::new(&format!("--mode {mode} {args}"));
    case(&format!("{mode}: {args}"), run, 2, parts).on(Launch::Threads(3))
}

#[rustfmt::skip]
pub(super) fn cases() -> Vec<Case> {
    vec![
        elsewhere("allreduce", "--sync k-batch", &["--sync", "for mode sendrecv, and the mode is allreduce", "add --mode sendrecv"]),
        elsewhere("pipeline", "--delay exp:1", &["--delay", "for mode sendrecv, and the mode is pipeline"]),
        elsewhere("allreduce", "--k 2", &["--k: k is for mode sendrecv"]),
        case("grid: single", Run::new("--sync k-batch"), 2, &["--sync", "the mode is single", "add --mode sendrecv"]),
        grid("--sync k-batch", 1, 2, &["sendrecv needs a server and at least one worker", "--ranks 4"]),
        grid("--sync k-bach", 5, 2, &["--sync", "k-bach is none of", "did you mean k-batch?"]),
        grid("--sync k-sync --k 0", 5, 2, &["--k", "zero", "1 or more"]),
        grid("--sync k-sync --k two", 5, 2, &["--k"]),
        grid("--sync k-sync --k 5", 5, 2, &["--sync k-sync --k 5", "only 4 workers", "give --k 4 or less", "--sync k-batch"]),
        case("grid: K above the workers", Run::new("--mode sendrecv --sync k-sync --k 5"), 2, &["only 3 workers"]).on(Launch::Mpi(4)),
        grid("--sync k-async --k 5", 5, 2, &["--sync k-async --k 5", "only 4 workers", "--sync k-batch-async"]),
        grid("--sync backup --k 9", 5, 2, &["--sync backup --k 9", "only 4 workers"]),
        grid("--sync k-batch --k 9 --global-batch 8", 5, 2, &["--k 9", "only 8 samples", "a smaller --k or a larger --global-batch"]),
        grid("--sync k-batch --k 200", 5, 2, &["--k 200", "only 120 samples"]),
        grid("--sync k-batch --k 3 --deterministic --micro-chunk 16", 5, 2, &["--k 3", "micro-chunks", "--global-batch"]),
        grid("--sync async --k 3", 5, 2, &["--k", "means nothing with sync = async", "leave it out"]),
        grid("--k 3", 5, 2, &["--k", "means nothing with sync = full", "add --sync"]),
        grid("--sync k-async --k 2 --deterministic", 5, 2, &["--sync k-async --deterministic", "arrives first", "take --sync k-sync"]),
        grid("--sync async --deterministic", 5, 2, &["--sync async --deterministic", "take --sync k-batch"]),
        grid("--sync shards --k 20 --shards 10", 5, 2, &["--sync shards --k 20", "only 10 chunks", "--k 10 or less"]),
        grid("--sync shards --k 2 --shards 500", 5, 2, &["--shards 500", "only 120 samples", "--shards 120 or less"]),
        grid("--sync shards --shards 0", 5, 2, &["--shards", "zero"]),
        grid("--shards 10", 5, 2, &["--shards", "means nothing with sync = full", "--sync shards"]),
        grid("--sync shards --global-batch 20", 5, 2, &["--global-batch", "K shards each", "give --k and --shards"]),
        grid("--sync shards --local-epochs 3 --deterministic", 5, 2, &["--deterministic", "several passes", "leave it out"]),
        grid("--sync shards --local-steps 3", 5, 2, &["--local-steps", "--mode allreduce"]),
        grid("--sync k-batch --local-epochs 2", 5, 2, &["--local-epochs", "--mode allreduce"]),
        grid("--sync shards --max-contributors 0", 5, 2, &["--max-contributors", "zero"]),
        grid("--sync k-batch --max-contributors 2", 5, 2, &["--max-contributors", "means nothing with sync = k-batch", "--sync shards"]),
        grid("--sync shards --straggler-factor 0.5", 5, 2, &["--straggler-factor 0.5", "at least 1, as 1.5"]),
        grid("--sync shards --straggler-factor -1", 5, 2, &["--straggler-factor", "negative"]),
        grid("--sync async --straggler-factor 2", 5, 2, &["--straggler-factor", "means nothing with sync = async"]),
        grid("--sync k-batch --optimizer mcmc", 5, 2, &["--optimizer", "mcmc", "sendrecv"]),
        grid("--sync k-batch --delay expo:1", 5, 2, &["expo:1", "there is no law expo", "did you mean exp?"]),
        grid("--sync k-batch --delay exp:-1", 5, 2, &["exp:-1", "above 0"]),
        grid("--sync k-batch --delay exp:nan", 5, 2, &["exp:nan", "cannot be"]),
        grid("--sync k-batch --delay x0.5", 5, 2, &["x0.5", "a factor from 1"]),
        grid("--sync k-batch --delay pareto:1", 5, 2, &["pareto:1", "write pareto:SCALE,SHAPE"]),
        grid("--sync k-batch --delay trace:none.csv", 5, 2, &["trace:none.csv", "cannot read none.csv", "delay_s"]),
        grid("--sync k-batch --delay 9=exp:1", 5, 2, &["9=exp:1", "there is no rank 9 among 5", "start 10 ranks"]),
        grid("--delay 9=exp:1", 5, 2, &["there is no rank 9 among 5"]),
        grid("--sync k-batch --delay 1=exp:1;1=x2", 5, 2, &["1=x2", "rank 1 has a law already"]),
        grid("--sync k-batch --checkpoint-every 0", 5, 2, &["--checkpoint-every", "zero", "30s"]),
        grid("--sync k-batch --checkpoint-every 5m", 5, 2, &["--checkpoint-every", "5m", "30s"]),
        grid("--sync k-batch --stall-warn -1", 5, 2, &["--stall-warn", "negative"]),
        grid("--sync k-batch --heartbeat 1e9", 5, 2, &["--heartbeat", "too large"]),
        grid("--sync k-batch --resume nothing", 5, 4, &["nothing: there is nothing here to resume", "--resume"]),
    ]
}
