"""PyTorch's side of the iris comparisons: 4-30-20-3 sigmoid, Adam, cross-entropy, batch 4.

Timed: a permutation an epoch, selection of the rows, zero_grad, forward, loss, backward, step; no logging, no
evaluation; start-up and a warm-up epoch excluded.
"""

import json
import os
import tempfile
import time
from pathlib import Path

from peers.networks import network
from peers.process import ROOT

VARIANTS = ["foreach", "fused", "compile"]


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


def single(variant, seconds):
    """Samples a second of one process with one thread."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(1)
    x, y = training_set()
    model = network("iris")
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

    cores = sorted(os.sched_getaffinity(0))
    if world <= len(cores):
        os.sched_setaffinity(0, {cores[rank]})  # as mpirun binds two ranks
    torch.set_num_threads(1)
    torch.manual_seed(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world)
    x, y = training_set()
    model = torch.nn.parallel.DistributedDataParallel(network("iris"))
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


def ddp(world, seconds):
    """Samples a second of all processes together."""
    import torch.multiprocessing as mp

    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    with tempfile.TemporaryDirectory() as folder:
        # Forked after the import: twenty imports of PyTorch on two cores would take a minute.
        mp.start_processes(ddp_process, (world, seconds, folder), nprocs=world, start_method="fork")
        return json.loads(Path(folder, "result").read_text())
