#!/usr/bin/env python3
"""goai-rs against PyTorch, in interleaved rounds: the iris MLP, the image networks, threads and ranks.

Why rounds: a shared machine drifts by tens of per cent within minutes. Each round measures every competitor once, in
alternating order, and gives one ratio; the median of these paired ratios is the figure, and its range is printed.

What is measured: training samples a second of the training loop, loading and preparation of the batches included,
start-up, warm-up and evaluation excluded. PyTorch's loops are in tools/peers/torch_iris.py and torch_images.py; ours is
the field final.samples_per_s that --json prints. One core for one thread, two cores for more, on both sides.

Run it through tools/bench_peers.sh, which makes the Python environment. The table goes to target/bench-peers.md too.
"""

import argparse
import os
import shutil
import sys

from peers.comparisons import GROUPS, sides_of
from peers.measure import Rounds, worker
from peers.ours import GOAI, Program
from peers.process import CORES, ROOT
from peers.table import table


def fail(message):
    sys.exit(f"bench_peers.py: {message}")


def options():
    parser = argparse.ArgumentParser(description="Measures goai-rs against PyTorch, side by side.")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each comparison (default 5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each run (default 3)")
    parser.add_argument("--only", choices=list(GROUPS), action="append", help="this group only; may be repeated")
    parser.add_argument("--no-compile", action="store_true", help="leave out torch.compile, which takes minutes to try")
    parser.add_argument("--peers-only", action="store_true", help="measure PyTorch alone; needs no goai-rs")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.only = [group for group in GROUPS if group in (args.only or GROUPS)]
    if args.rounds < 1 or args.seconds <= 0:
        parser.error("--rounds and --seconds must be positive")
    return args


def needs_two_cores(group):
    return any(side.threads > 1 or getattr(side, "world", 1) > 1 for side in sides_of(GROUPS[group]))


def main():
    args = options()
    if args.worker:
        return worker(args.worker, args.seconds)
    if not args.peers_only and not shutil.which(GOAI, path=f"{ROOT}:{os.environ['PATH']}"):
        fail(f"{GOAI} is not there; run make first, or set PEERS_BIN, or measure PyTorch alone with --peers-only")
    if len(CORES) < 2 and (wide := [group for group in args.only if needs_two_cores(group)]):
        one = " ".join(f"--only {group}" for group in GROUPS if group not in wide)
        fail(f"{', '.join(wide)} need two cores; choose among {one}")
    rounds = Rounds(args, Program(args.seconds))
    try:
        rounds.run()
    except RuntimeError as error:
        fail(str(error))
    text = table(args, rounds)
    target = ROOT / "target" / "bench-peers.md"
    target.parent.mkdir(exist_ok=True)
    target.write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
