#!/usr/bin/env python3
"""What `goai-rs plan` predicts for an epoch of each mode beside what the modes then take, in the same run.

    make bench-plan                 iris_mlp and, with pictures below DATA, img_cnn, on 1 and 2 ranks
    tools/plan_vs_measured.py --binary ./goai-rs --data DIR --ranks 2 --rounds 3 [--mpi]

Plan and training alternate, so that both meet the same machine; of the rounds the median is taken. An epoch's measured
seconds are the median of metrics.csv without the first epoch, which warms up. With --mpi the ranks are mpirun's, for the
plan too. Prints the table of docs/benchmarks.md in Markdown; its last column is the model alone,
without the modes' own steps.
"""

import argparse
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

SETS = {
    "iris": ["--dataset", "iris", "--model", "iris_mlp", "--epochs", "300"],
    "img": ["--dataset", "img", "--model", "img_cnn", "--epochs", "3"],
}


def run(words, cwd):
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)}: exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def planned(args, words, ranks, cwd):
    line = [args.binary, "plan", *words, "--json"]
    line = ["mpirun", "-n", str(ranks), *line] if args.mpi else [*line, "--ranks", str(ranks)]
    return json.loads(run(line, cwd))


def measured(args, words, flags, ranks, cwd):
    out = os.path.join(cwd, "run")
    shutil.rmtree(out, ignore_errors=True)
    line = [args.binary, *words, *f"--mode {flags}".split(), "--run-dir", out, "-q"]
    if ranks == 1:
        line = [args.binary, *words, "--single", "--run-dir", out, "-q"]
    if args.mpi:
        # A rank alone, too: it has the cores that mpirun gives a rank, as the plan under mpirun had.
        line = ["mpirun", "-n", str(ranks), *line]
    elif ranks > 1:
        line += ["--ranks", str(ranks)]
    run(line, cwd)
    with open(os.path.join(out, "metrics.csv")) as file:
        epochs = [float(row["epoch_s"]) for row in csv.DictReader(file)]
    return statistics.median(epochs[1:] or epochs)


def shown(seconds):
    """12.3 ms, as people read it."""
    for unit, size in (("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size or unit == "µs":
            return f"{seconds / size:.3g} {unit}"


def spread(column):
    return f"{shown(statistics.median(column))} ({shown(min(column))} to {shown(max(column))})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="./goai-rs")
    parser.add_argument("--data", help="folder with pictures in the layout of img; else iris alone")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--ranks", type=int, nargs="+", default=[2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mpi", action="store_true", help="ranks of mpirun, for the plan too")
    parser.add_argument("--modes", nargs="*", help="only modes whose flags begin with one of these")
    args = parser.parse_args()
    args.binary = os.path.abspath(args.binary)
    cores = len(os.sched_getaffinity(0))
    print("| set | ranks | mode | predicted | measured | predicted/measured | within 20 % | model/measured |")
    print("|---|---|---|---|---|---|---|---|")
    (off, of_all) = (0, 0)
    for name, words in SETS.items():
        if name not in args.sets or (name != "iris" and not args.data):
            continue
        words = words + (["--data-dir", os.path.abspath(args.data)] if name != "iris" else [])
        for ranks in args.ranks:
            with tempfile.TemporaryDirectory() as cwd:
                (pairs, models) = ({}, {})
                for _ in range(args.rounds):
                    plan = planned(args, words, ranks, cwd)
                    for row in plan["modes"]:
                        wanted = not args.modes or any(row["mode"].startswith(mode) for mode in args.modes)
                        if "predicted" not in row or not wanted:
                            continue
                        key = (row["mode"], row["ranks"])
                        pair = (row["predicted"]["epoch_s"], measured(args, words, *key, cwd))
                        # By the formulas alone, as for ranks that are not here.
                        model = row["predicted"].get("model_epoch_s") or pair[0]
                        models.setdefault(key, []).append(model / pair[1])
                        pairs.setdefault(key, []).append(pair)
            kind = "mpirun" if args.mpi else "threads"
            for (mode, of), pair in pairs.items():
                predicted, seen = zip(*pair)
                ratio = statistics.median(predicted) / statistics.median(seen)
                ratios = [a / b for a, b in pair]
                verdict = "yes" if 0.8 <= ratio <= 1.2 else "no"
                if of > cores:
                    verdict = "oversubscribed"
                else:
                    (off, of_all) = (off + (verdict == "no"), of_all + 1)
                span = f"{ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
                cells = [name, f"{of} {kind}", f"`{mode}`", spread(predicted), spread(seen), span, verdict, f"{statistics.median(models[(mode, of)]):.2f}"]
                print(f"| {' | '.join(cells)} |", flush=True)
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    print(f"\nMedians of {args.rounds} rounds (least to most), plan and training in turn; load of the machine at the end: {load};")
    print(f"{of_all - off} of {of_all} within 20 %, those with more threads than cores left out.")


if __name__ == "__main__":
    main()
