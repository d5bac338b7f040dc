#!/usr/bin/env python3
"""What `goai-rs plan` predicts for an epoch of each mode beside what the modes then take, in the same run.

    make bench-plan                 iris_mlp and, with pictures below DATA, img_cnn, on 1 and 2 ranks
    tools/plan_vs_measured.py --binary ./goai-rs --data DIR --ranks 2 --rounds 3 [--mpi]

Plan and training alternate, so that both meet the same machine; of the rounds the median is taken. An epoch's measured
seconds are the median of metrics.csv without the first epoch, which warms up. With --mpi the ranks are mpirun's, for the
plan too. Prints a Markdown table for docs/benchmarks.md.
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
    elif args.mpi:
        line = ["mpirun", "-n", str(ranks), *line]
    else:
        line += ["--ranks", str(ranks)]
    run(line, cwd)
    with open(os.path.join(out, "metrics.csv")) as file:
        epochs = [float(row["epoch_s"]) for row in csv.DictReader(file)]
    return statistics.median(epochs[1:] or epochs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="./goai-rs")
    parser.add_argument("--data", help="folder with pictures in the layout of img; else iris alone")
    parser.add_argument("--ranks", type=int, nargs="+", default=[2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mpi", action="store_true")
    parser.add_argument("--modes", nargs="*", help="only modes whose flags begin with one of these")
    args = parser.parse_args()
    args.binary = os.path.abspath(args.binary)
    cores = len(os.sched_getaffinity(0))
    print("| set | ranks | mode | predicted | measured | predicted/measured |")
    print("|---|---|---|---|---|---|")
    off = 0
    for name, words in SETS.items():
        if name != "iris" and not args.data:
            continue
        words = words + (["--data-dir", os.path.abspath(args.data)] if name != "iris" else [])
        for ranks in args.ranks:
            with tempfile.TemporaryDirectory() as cwd:
                pairs = {}
                for _ in range(args.rounds):
                    plan = planned(args, words, ranks, cwd)
                    for row in plan["modes"]:
                        wanted = not args.modes or any(row["mode"].startswith(mode) for mode in args.modes)
                        if "predicted" not in row or not wanted:
                            continue
                        key = (row["mode"], row["ranks"])
                        pair = (row["predicted"]["epoch_s"], measured(args, words, *key, cwd))
                        pairs.setdefault(key, []).append(pair)
                for (mode, of), pair in pairs.items():
                    predicted, seen = (statistics.median(column) for column in zip(*pair))
                    crowded = of > cores
                    ratio = predicted / seen
                    off += not crowded and not 0.8 <= ratio <= 1.25
                    note = ", oversubscribed" if crowded else ""
                    print(f"| {name} | {of}{note} | {mode} | {predicted:.3g} s | {seen:.3g} s | {ratio:.2f} |", flush=True)
    print(f"\n{off} beyond 20 %, the oversubscribed ones left out", file=sys.stderr)


if __name__ == "__main__":
    main()
