#!/usr/bin/env python3
"""goai-rs against PyTorch on the iris MLP (4-30-20-3 sigmoid, Adam, cross-entropy, batch 4), in interleaved rounds.

Why rounds: a shared machine drifts by tens of per cent within minutes. Each round measures every competitor once, in
alternating order, and gives one ratio; the median of these paired ratios is the figure, and its range is printed.

What is measured: training samples a second of the training loop. On PyTorch's side: a permutation an epoch, selection
of the rows, zero_grad, forward, loss, backward, step; no logging, no evaluation; start-up and a warm-up epoch excluded.
On ours: the field final.samples_per_s that --json prints (start-up and evaluation excluded, batches' preparation
included). One core for one process, two cores for all processes of a distributed run, on both sides.

Run it through tools/bench_peers.sh, which makes the Python environment. The table goes to target/bench-peers.md too.
"""

import argparse
import json
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GOAI = os.environ.get("PEERS_BIN", "./goai-rs")
TRAIN = ["--batch", "4", "--optimizer", "adam", "--json"]
EPOCHS = {"eager": 10_000, "ddp2": 2_000, "ddp20": 500}
RANKS = {"ddp2": 2, "ddp20": 20}
LABEL = {
    "eager": "PyTorch eager, one thread",
    "best": "PyTorch at its best, one thread",
    "ddp2": "DDP/gloo, 2 processes on two cores",
    "ddp20": "DDP/gloo, 20 processes on two cores",
}
TARGET = {"eager": 80, "ddp2": 100, "ddp20": 100}
WHOLE_PROCESS_TARGET = 0.3
CORES = sorted(os.sched_getaffinity(0))
# Open MPI refuses to run as root, or more ranks than cores, unless told; both are what is wanted here.
MPI_ENV = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
}


def fail(message):
    sys.exit(f"bench_peers.py: {message}")


# ---------------------------------------------------------------------------------------------------------------------
# The PyTorch side. It runs in processes of its own (--worker), so that nothing of one measurement is left in the next.


def training_set():
    """120 of the 150 rows, standardised: the same number of each class, as the 0.8 part of a stratified split has."""
    import torch

    path = ROOT / "datasets" / "iris.csv"
    if path.exists():
        rows = [line.split(",") for line in path.read_text().split("\n")[1:] if line.strip()]
        names = sorted({row[4] for row in rows})
        kept = [row for i, row in enumerate(rows) if i % 10 < 8]
        x = torch.tensor([[float(v) for v in row[:4]] for row in kept])
        y = torch.tensor([names.index(row[4]) for row in kept])
    else:  # The speed does not depend on the values.
        torch.manual_seed(1)
        y = torch.arange(120) % 3
        x = torch.randn(120, 4) + y[:, None]
    return (x - x.mean(0)) / x.std(0), y


def network():
    from torch import nn

    return nn.Sequential(nn.Linear(4, 30), nn.Sigmoid(), nn.Linear(30, 20), nn.Sigmoid(), nn.Linear(20, 3))


def loss_of(model):
    import torch

    return lambda x, y: torch.nn.functional.cross_entropy(model(x), y)


def one_epoch(loss_at, optimizer, x, y, rank=0, world=1, generator=None):
    """The whole loop that is timed. With several processes every one draws the same permutation and takes its share."""
    import torch

    order = torch.randperm(len(x), generator=generator)[rank::world]
    for rows in order.split(4):
        optimizer.zero_grad(set_to_none=True)
        loss = loss_at(x[rows], y[rows])
        loss.backward()
        optimizer.step()
    return float(loss.detach())


def worker_single(variant, seconds):
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(1)
    x, y = training_set()
    model = network()
    # A compiled step wants its learning rate as a tensor, or it is compiled again whenever that changes.
    lr = torch.tensor(0.01) if variant == "compile" else 0.01
    options = {"foreach": {"foreach": True}, "fused": {"fused": True}}.get(variant, {})
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, **options)
    loss_at = loss_of(model)
    if variant == "compile":
        loss_at, optimizer.step = torch.compile(loss_at), torch.compile(optimizer.step)
    one_epoch(loss_at, optimizer, x, y)
    epochs, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        loss = one_epoch(loss_at, optimizer, x, y)
        epochs += 1
    return epochs * len(x) / (time.perf_counter() - start), loss


def ddp_process(rank, world, seconds, folder):
    """One process of DDP over gloo. 120 rows over 20 processes are 6 each: a batch of 4 and one of 2."""
    import torch
    import torch.distributed as dist

    if world <= len(CORES):
        os.sched_setaffinity(0, {CORES[rank]})  # as mpirun binds two ranks
    torch.set_num_threads(1)
    torch.manual_seed(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world)
    x, y = training_set()
    model = torch.nn.parallel.DistributedDataParallel(network())
    loss_at = loss_of(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    shared = torch.Generator().manual_seed(7)
    one_epoch(loss_at, optimizer, x, y, rank, world, shared)
    # All processes must agree on the number of epochs beforehand: rank 0 times a few and says.
    start = time.perf_counter()
    for _ in range(3):
        one_epoch(loss_at, optimizer, x, y, rank, world, shared)
    epochs = torch.tensor(max(1, int(seconds / ((time.perf_counter() - start) / 3))))
    dist.broadcast(epochs, 0)
    dist.barrier()
    start = time.perf_counter()
    for _ in range(int(epochs)):
        loss = one_epoch(loss_at, optimizer, x, y, rank, world, shared)
    dist.barrier()
    if rank == 0:
        rate = int(epochs) * len(x) / (time.perf_counter() - start)
        Path(folder, "result").write_text(json.dumps([rate, loss]))
    dist.destroy_process_group()


def worker_ddp(world, seconds):
    import torch.multiprocessing as mp

    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    with tempfile.TemporaryDirectory() as folder:
        # Forked after the import: twenty imports of PyTorch on two cores would take a minute.
        mp.start_processes(ddp_process, (world, seconds, folder), nprocs=world, start_method="fork")
        return json.loads(Path(folder, "result").read_text())


def worker(name, seconds):
    import warnings

    warnings.simplefilter("ignore")
    rate, loss = worker_ddp(RANKS[name], seconds) if name in RANKS else worker_single(name, seconds)
    print(json.dumps({"samples_per_s": rate, "loss": loss}))


# ---------------------------------------------------------------------------------------------------------------------
# The side that measures.


def pinned(command, cores):
    return ["taskset", "-c", ",".join(map(str, cores)), *command]


def output_of(command, limit=300):
    try:
        env = os.environ | MPI_ENV
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"no result after {limit} s: {shlex.join(command)}") from None
    if done.returncode != 0:
        # mpirun frames its own words with rules of dashes below the program's; the first line is the program's.
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip("- ")]
        said = said[-1:] if said[:1] == ["Traceback (most recent call last):"] else said[:1]
        raise RuntimeError(f"exit code {done.returncode}: {' '.join(said) or 'no message'}: {shlex.join(command)}")
    return done.stdout


def cores_of(name):
    return CORES[:2] if name in RANKS else CORES[-1:]


def peer(name, seconds):
    command = [sys.executable, __file__, "--worker", name, "--seconds", str(seconds)]
    return json.loads(output_of(pinned(command, cores_of(name))))["samples_per_s"]


def goai_command(name):
    """The command as a user types it; the run directory, a throw-away one, is added when it runs."""
    epochs = ["--epochs", str(EPOCHS[name])]
    if name in RANKS:
        return ["mpirun", "-n", str(RANKS[name]), GOAI, "--mode", "allreduce", *epochs, *TRAIN]
    return [GOAI, "--single", "iris", *epochs, *TRAIN]


def goai(name):
    with tempfile.TemporaryDirectory() as folder:
        out = output_of(pinned([*goai_command(name), "--run-dir", f"{folder}/run"], cores_of(name)))
    try:
        run = json.loads(out)
        if run["state"] == "complete":
            return float(run["final"]["samples_per_s"])
        problem = f"state {run['state']}"
    except (ValueError, TypeError, KeyError) as error:
        problem = f"no final.samples_per_s in its JSON ({error})"
    raise RuntimeError(f"{problem}: {shlex.join(goai_command(name))}")


def whole_process():
    """Seconds from start to exit of the run everybody tries first."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        output_of(pinned([GOAI, "--single", "iris", "--run-dir", f"{folder}/run"], CORES[-1:]))
        return time.perf_counter() - start


def best_variant(seconds, notes):
    """PyTorch's fast roads, each tried twice in turn, since one try on a busy machine picks by luck. The one with the
    best try takes part in every round; one that does not work here is named in the notes."""
    rates = {}
    variants = ["foreach", "fused", "compile"]
    for variant in variants + variants:
        try:
            rates[variant] = max(rates.get(variant, 0.0), peer(variant, seconds))
        except RuntimeError as error:
            note = f"PyTorch {variant} does not run here: {error}"
            notes += [note] if note not in notes else []
    if not rates:
        return None
    tried = ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items())
    notes.append(f"PyTorch at its best was chosen from (samples/s; compile: loss and optimizer step compiled): {tried}")
    return max(rates, key=rates.get)


def measure(args, notes):
    """Samples a second per competitor and round: {row: ([peer], [ours])}; rows of one group share our runs."""
    rows, processes = {}, []
    for group in args.only:
        peers = {group: group}
        if group == "eager" and (variant := best_variant(args.seconds, notes)):
            peers["best"] = variant
            notes.append(f"PyTorch at its best is `{variant}`")
        for row in peers:
            rows[row] = ([], [])
        for turn in range(args.rounds):
            sides = [(row, lambda name=name: peer(name, args.seconds)) for row, name in peers.items()]
            if not args.peers_only:
                sides.append(("ours", lambda: goai(group)))
            # Every other round backwards, so that a drift in one direction favours nobody.
            found = {side: run() for side, run in (sides if turn % 2 == 0 else sides[::-1])}
            for row in peers:
                rows[row][0].append(found[row])
                rows[row][1].append(found.get("ours"))
            if group == "eager" and not args.peers_only:
                processes.append(whole_process())
            told = "  ".join(f"{side} {rate:.0f}" for side, rate in found.items())
            print(f"{group} round {turn + 1}: {told}", file=sys.stderr)
    return rows, processes


def first_line(command):
    try:
        return output_of(command).splitlines()[0]
    except (OSError, RuntimeError, IndexError):
        return f"{command[0]}: not found"


def cpu_model():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def verdict(target, reached):
    return f"{target} {'reached' if reached else 'MISSED'}"


def table(args, rows, processes, notes):
    import torch

    out = ["| against | PyTorch, samples/s | goai-rs, samples/s | median paired ratio (min..max) | target |"]
    out += ["|---|---|---|---|---|"]
    for row, (theirs, ours) in rows.items():
        cells = [LABEL[row], f"{statistics.median(theirs):.0f} ({min(theirs):.0f}..{max(theirs):.0f})"]
        if args.peers_only:
            cells += ["not run", "", f"{TARGET[row]}x" if row in TARGET else "none"]
        else:
            ratios = [b / a for a, b in zip(theirs, ours)]
            median = statistics.median(ratios)
            cells += [f"{statistics.median(ours):.0f} ({min(ours):.0f}..{max(ours):.0f})"]
            cells += [f"{median:.1f}x ({min(ratios):.1f}..{max(ratios):.1f})"]
            cells += [verdict(f"{TARGET[row]}x", median >= TARGET[row]) if row in TARGET else "none"]
        out.append("| " + " | ".join(cells) + " |")
    out.append("")
    if processes:
        median = statistics.median(processes)
        reached = verdict(f"{WHOLE_PROCESS_TARGET} s", median < WHOLE_PROCESS_TARGET)
        spread = f"{min(processes):.3f}..{max(processes):.3f}"
        out += [f"`{GOAI} --single iris`, whole process: {median:.3f} s ({spread}); target {reached}.", ""]
    machine = f"{cpu_model()}, {len(CORES)} cores; load average at the end {os.getloadavg()[0]:.1f}"
    out += [f"{args.rounds} rounds, {args.seconds:g} s a PyTorch run. {machine}.", ""]
    versions = [f"Python {platform.python_version()}", f"PyTorch {torch.__version__}"]
    versions.append(first_line(["mpirun", "--version"]))
    if not args.peers_only:
        versions.append(first_line([GOAI, "--version"]))
    out += ["Versions: " + ", ".join(versions) + ".", "", "Commands:", ""]
    out.append("    tools/bench_peers.sh " + shlex.join(sys.argv[1:]))
    if not args.peers_only:
        out += ["    " + shlex.join(pinned(goai_command(group), cores_of(group))) for group in args.only]
        out.append("    with " + " ".join(f"{key}={value}" for key, value in MPI_ENV.items()))
    out += [""] + [f"- {note}" for note in notes]
    return "\n".join(out).rstrip() + "\n"


def options():
    parser = argparse.ArgumentParser(description="Measures goai-rs against PyTorch on the iris MLP, side by side.")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each comparison (default 5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each PyTorch run (default 2)")
    parser.add_argument("--only", choices=list(EPOCHS), action="append", help="this comparison only; may be repeated")
    parser.add_argument("--peers-only", action="store_true", help="measure PyTorch alone; needs no goai-rs")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.only = [group for group in EPOCHS if group in (args.only or EPOCHS)]
    if args.rounds < 1 or args.seconds <= 0:
        parser.error("--rounds and --seconds must be positive")
    return args


def main():
    args = options()
    if args.worker:
        return worker(args.worker, args.seconds)
    if not args.peers_only and not shutil.which(GOAI, path=f"{ROOT}:{os.environ['PATH']}"):
        fail(f"{GOAI} is not there; run make first, or set PEERS_BIN, or measure PyTorch alone with --peers-only")
    if len(CORES) < 2 and set(args.only) & set(RANKS):
        fail("the distributed comparisons need two cores; use --only eager")
    notes = []
    try:
        rows, processes = measure(args, notes)
    except RuntimeError as error:
        fail(str(error))
    text = table(args, rows, processes, notes)
    target = ROOT / "target" / "bench-peers.md"
    target.parent.mkdir(exist_ok=True)
    target.write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
