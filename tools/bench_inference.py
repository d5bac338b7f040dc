#!/usr/bin/env python3
"""goai-rs against PyTorch: one picture of 3x224x224 through resnet50 and vgg16 on one thread, in interleaved rounds.

Each round measures every side once, in alternating order, each in a process of its own on the same core, and gives one
ratio of median times; the median of these paired ratios is the figure, and its range is printed. Ours is
`cargo bench --bench inference`, or the program that PEERS_INFERENCE names. The Python that runs this needs torch.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

from peers.process import ROOT, output_of, pinned
from peers.torch_inference import NETWORKS, milliseconds

VARIANTS = ["nchw", "channels_last"]


def built():
    """The measuring program, built where cargo puts it."""
    command = ["cargo", "bench", "--locked", "--bench", "inference", "--no-run", "--message-format=json"]
    lines = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    made = [message.get("executable") for message in map(json.loads, lines) if message.get("target", {}).get("name") == "inference"]
    return next(path for path in made if path)


def ours(program, network, seconds):
    line = output_of(pinned([program, network, f"seconds={seconds}"], 1)).splitlines()[-1]
    return float(line.split()[1])


def theirs(network, variant, seconds):
    command = [sys.executable, __file__, "--worker", network, variant, "--seconds", str(seconds)]
    return float(output_of(pinned(command, 1)).splitlines()[-1].split()[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each run (default 4)")
    parser.add_argument("--only", choices=list(NETWORKS), action="append")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return print(*milliseconds(*args.worker, args.seconds))
    program = os.environ.get("PEERS_INFERENCE") or built()
    print("| network, one thread, batch 1 | goai-rs ms | PyTorch | ms | ratio, median (range) |\n|---|---|---|---|---|")
    for network in args.only or NETWORKS:
        sides = {"goai-rs": lambda: ours(program, network, args.seconds)}
        sides |= {variant: lambda variant=variant: theirs(network, variant, args.seconds) for variant in VARIANTS}
        found = {side: [] for side in sides}
        for turn in range(args.rounds):
            # Every other round backwards, so that a drift in one direction favours nobody.
            for side in list(sides) if turn % 2 == 0 else list(sides)[::-1]:
                found[side].append(sides[side]())
        mine = found["goai-rs"]
        for variant in VARIANTS:
            ratios = sorted(other / own for own, other in zip(mine, found[variant]))
            middle = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            times = f"{statistics.median(mine):.1f} | {variant} | {statistics.median(found[variant]):.1f}"
            print(f"| {network} | {times} | {middle} |", flush=True)


if __name__ == "__main__":
    main()
