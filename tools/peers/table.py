"""The table that is printed, with everything needed to believe it: machine, versions, commands, notes."""

import os
import platform
import shlex
import statistics
import sys
from pathlib import Path

from peers.comparisons import Ours, sides_of
from peers.networks import NETS
from peers.ours import GOAI, data_folder, synth_command
from peers.process import CORES, MPI_ENV, first_line

WHOLE_PROCESS_TARGET = 0.3


def table(args, rounds):
    """The text of target/bench-peers.md."""
    lines = ["| goai-rs | against | goai-rs, samples/s | against, samples/s | median paired ratio (min..max) | target |"]
    lines += ["|---|---|---|---|---|---|"]
    lines += ["| " + " | ".join(cells(row, pairs)) + " |" for row, pairs in rounds.rates.items()]
    lines.append("")
    if rounds.processes:
        median = statistics.median(rounds.processes)
        reached = verdict(f"{WHOLE_PROCESS_TARGET} s", median < WHOLE_PROCESS_TARGET)
        spread = f"{min(rounds.processes):.3f}..{max(rounds.processes):.3f}"
        lines += [f"`{GOAI} --single iris`, whole process: {median:.3f} s ({spread}); target {reached}.", ""]
    machine = f"{cpu_model()}, {len(CORES)} cores; load average at the end {os.getloadavg()[0]:.1f}"
    lines += [f"{args.rounds} rounds, {args.seconds:g} s a PyTorch run. {machine}.", ""]
    lines += [versions(args), "", "Commands:", ""]
    lines += [f"    {command}" for command in commands(args, rounds)]
    lines += [""] + [f"- {note}" for note in rounds.notes + data_notes(args, rounds)]
    return "\n".join(lines).rstrip() + "\n"


def cells(row, pairs):
    ours, theirs = zip(*pairs)
    against = f"ours, {row.against}" if isinstance(row.against, Ours) else str(row.against)
    wanted = f"{row.target:g}x" if row.target else "none"
    if None in ours:
        return [str(row.ours), against, "not run", spread_of(theirs), "", wanted]
    ratios = [a / b for a, b in pairs]
    median = statistics.median(ratios)
    ratio = f"{digits(median)}x ({digits(min(ratios))}..{digits(max(ratios))})"
    return [
        str(row.ours),
        against,
        spread_of(ours),
        spread_of(theirs),
        ratio,
        verdict(wanted, median >= row.target) if row.target else wanted,
    ]


def spread_of(rates):
    return f"{statistics.median(rates):.0f} ({min(rates):.0f}..{max(rates):.0f})"


def digits(ratio):
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def verdict(target, reached):
    return f"{target} {'reached' if reached else 'MISSED'}"


def versions(args):
    import torch

    found = [f"Python {platform.python_version()}", f"PyTorch {torch.__version__}"]
    found.append(first_line(["mpirun", "--version"]))
    if not args.peers_only:
        found.append(first_line([GOAI, "--version"]))
    return "Versions: " + ", ".join(found) + "."


def datasets_of(rounds):
    return list(dict.fromkeys(NETS[row.ours.net].dataset for row in rounds.rates if row.ours.net in NETS))


def commands(args, rounds):
    said = ["tools/bench_peers.sh " + shlex.join(sys.argv[1:])]
    if args.peers_only:
        return said
    said += [shlex.join(synth_command(dataset, data_folder(dataset))) for dataset in datasets_of(rounds)]
    sides = [side for side in sides_of(list(rounds.rates)) if isinstance(side, Ours)]
    said += [shlex.join(rounds.program.command(side)) for side in sides]
    return said + ["with " + " ".join(f"{key}={value}" for key, value in MPI_ENV.items())]


def data_notes(args, rounds):
    if not datasets_of(rounds):
        return []
    said = "PyTorch trains on random bytes of the pictures' shape, held in memory; the speed depends on shapes alone"
    return [said if args.peers_only else f"{said}. goai-rs reads the synthetic set that it makes itself"]


def cpu_model():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
