"""PyTorch's side of the image comparisons: the loop a good user writes, timed in a process of its own.

Pixels lie in memory as uint8. A batch is gathered, made float, standardised per channel (no augmentation), and goes
through zero_grad, forward, loss, backward and a step of plain SGD. All of it is inside the timing. The pixels are
random: speed depends on shapes alone, and goai-rs reads its own synthetic set of the same shapes.

Variants: `nchw`; `channels_last`, whose set is stored height x width x channel so that a gathered batch is already in
that layout; `compile`, which compiles standardisation, network and loss together; `compile_last`, both at once. Each
has a form with `-fused`, PyTorch's single-kernel SGD.
"""

import json
import os
import tempfile
import time
from pathlib import Path

from peers.networks import CHANNEL_MEAN, CHANNEL_STD, NETS, network

LAYOUTS = ["nchw", "channels_last", "compile", "compile_last"]
WARM_UP_STEPS = 5


def variants_of(name):
    """The variants worth trying: a layout means nothing to a network that flattens its input at once, whereas its
    step is mostly the optimiser's."""
    return ["nchw", "nchw-fused", "compile", "compile-fused"] if name == "img_mlp" else LAYOUTS


class Trainer:
    """A network, its set and its step, in one of the variants."""

    def __init__(self, name, variant, rank=0, world=1):
        import torch

        net = NETS[name]
        layout, _, optimizer = variant.partition("-")
        self.last = layout in ("channels_last", "compile_last")
        self.batch, self.rank, self.world = net.batch, rank, world
        channels, height, width = net.shape
        stored = (height, width, channels) if self.last else net.shape
        self.pixels = torch.randint(0, 256, (net.samples, *stored), dtype=torch.uint8)
        self.labels = torch.randint(0, net.classes, (net.samples,))
        model = network(name)
        if self.last:
            model = model.to(memory_format=torch.channels_last)
        if world > 1:
            model = torch.nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
        self.loss_at = standardised_loss(model, self.last)
        if layout.startswith("compile"):
            self.loss_at = torch.compile(self.loss_at)
        self.optimizer = torch.optim.SGD(model.parameters(), lr=net.lr, **({"fused": True} if optimizer else {}))
        self.shuffle = torch.Generator().manual_seed(7)

    def batches(self):
        """Rows of one whole batch after the other, without end; processes draw one permutation and share it."""
        import torch

        while True:
            order = torch.randperm(len(self.pixels), generator=self.shuffle)[self.rank :: self.world]
            yield from (rows for rows in order.split(self.batch) if len(rows) == self.batch)

    def step(self, rows):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss_at(self.pixels[rows], self.labels[rows])
        loss.backward()
        self.optimizer.step()
        return loss


def standardised_loss(model, last):
    """From bytes to the loss, in as few passes over the pixels as eager PyTorch allows: bytes to float, then two in
    place. A compiled one does it in one pass."""
    import torch

    shape = (1, 1, 3) if last else (3, 1, 1)
    shift = torch.tensor(CHANNEL_MEAN).mul(255).view(shape)
    scale = torch.tensor(CHANNEL_STD).mul(255).reciprocal().view(shape)

    def loss_at(pixels, labels):
        x = pixels.float().sub_(shift).mul_(scale)
        return torch.nn.functional.cross_entropy(model(x.permute(0, 3, 1, 2) if last else x), labels)

    return loss_at


def single(name, variant, threads, seconds):
    """Images a second of one process."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    trainer = Trainer(name, variant)
    batches = trainer.batches()
    for _ in range(WARM_UP_STEPS):
        trainer.step(next(batches))
    steps, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        loss = trainer.step(next(batches))
        steps += 1
    return steps * trainer.batch / passed, float(loss.detach())


def ddp_process(rank, world, name, variant, seconds, folder):
    """One process of DDP over gloo with one thread, on a core of its own, as mpirun binds its ranks."""
    import torch
    import torch.distributed as dist

    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[rank % len(cores)]})
    torch.set_num_threads(1)
    torch.manual_seed(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world)
    trainer = Trainer(name, variant, rank, world)
    batches = trainer.batches()
    for _ in range(WARM_UP_STEPS):
        trainer.step(next(batches))
    # All processes must agree on the number of steps beforehand: rank 0 times a few and says.
    start = time.perf_counter()
    for _ in range(3):
        trainer.step(next(batches))
    steps = torch.tensor(max(1, int(3 * seconds / (time.perf_counter() - start))))
    dist.broadcast(steps, 0)
    dist.barrier()
    start = time.perf_counter()
    for _ in range(int(steps)):
        loss = trainer.step(next(batches))
    dist.barrier()
    if rank == 0:
        rate = int(steps) * trainer.batch * world / (time.perf_counter() - start)
        Path(folder, "result").write_text(json.dumps([rate, float(loss.detach())]))
    dist.destroy_process_group()


def ddp(name, variant, world, seconds):
    """Images a second of all processes together."""
    import torch.multiprocessing as mp

    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    with tempfile.TemporaryDirectory() as folder:
        start_method = "spawn" if variant.startswith("compile") else "fork"
        mp.start_processes(ddp_process, (world, name, variant, seconds, folder), world, start_method=start_method)
        return json.loads(Path(folder, "result").read_text())
