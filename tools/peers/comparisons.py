"""What is compared with what, in which group, and which ratio is wanted."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    """PyTorch: `world` processes (DDP over gloo when more than one) of `threads` threads. Without a variant, the
    fastest one on this machine is found first."""

    net: str
    threads: int = 1
    world: int = 1
    variant: str | None = None

    def __str__(self):
        if self.world > 1:
            return f"DDP/gloo, {self.world} processes"
        best = " at its best" if self.variant is None else f" {self.variant}"
        return f"PyTorch{best}, {counted(self.threads, 'thread')}"


@dataclass(frozen=True)
class Ours:
    """goai-rs: `ranks` MPI ranks of `threads` threads; `isa` holds it to an older instruction set."""

    net: str
    threads: int = 1
    ranks: int = 1
    isa: str | None = None

    def __str__(self):
        size = counted(self.ranks, "MPI rank") if self.ranks > 1 else counted(self.threads, "thread")
        return f"{self.net}, {size}" + (f", {self.isa} only" if self.isa else "")


@dataclass(frozen=True)
class Row:
    """One line of the table: the rate of `ours` over that of `against`, which is PyTorch's or another one of ours."""

    ours: Ours
    against: Peer | Ours
    target: float | None


def counted(number, noun):
    return f"{number} {noun}" + ("s" if number > 1 else "")


def two_threads(net):
    return [Row(Ours(net, threads=2), Ours(net), 1.8), Row(Ours(net, threads=2), Peer(net, threads=2), None)]


def two_ranks(net, target):
    return [Row(Ours(net, ranks=2), Ours(net), 1.9), Row(Ours(net, ranks=2), Peer(net, world=2), target)]


def iris_ddp(world):
    # On iris the eager form is the one to compare with: the figures of the first release were taken so.
    return [Row(Ours("iris", ranks=world), Peer("iris", world=world, variant="eager"), 100)]


# A group is what --only names; all sides of a group take part in each of its rounds.
GROUPS = {
    "eager": [Row(Ours("iris"), Peer("iris", variant="eager"), 80), Row(Ours("iris"), Peer("iris"), None)],
    "ddp2": iris_ddp(2),
    "ddp20": iris_ddp(20),
    "img_cnn": [Row(Ours("img_cnn"), Peer("img_cnn"), 3.5)],
    "vgg5_plain": [Row(Ours("vgg5_plain"), Peer("vgg5_plain"), 2.0)],
    "vgg5": [Row(Ours("vgg5"), Peer("vgg5"), 1.5)],
    "img_mlp": [Row(Ours("img_mlp"), Peer("img_mlp"), 1.5)],
    "img_cnn_avx2": [Row(Ours("img_cnn", isa="avx2"), Peer("img_cnn"), 1.5)],
    "img_cnn_threads": two_threads("img_cnn"),
    "vgg5_plain_threads": two_threads("vgg5_plain"),
    "img_cnn_ranks": two_ranks("img_cnn", 4),
    "vgg5_plain_ranks": two_ranks("vgg5_plain", 2),
}


def sides_of(rows):
    """Everything that has to be measured for these rows, each once, PyTorch first."""
    sides = [row.against for row in rows] + [row.ours for row in rows]
    return sorted(dict.fromkeys(sides), key=lambda side: isinstance(side, Ours))
