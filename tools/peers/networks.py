"""The networks that are measured, built in PyTorch exactly as goai-rs has them, and what is trained with each.

Why here: both sides of a comparison must train the same network on samples of the same shape with the same batch; this
table is the only place that says which.
"""

from dataclasses import dataclass

CHANNEL_MEAN, CHANNEL_STD = (0.45, 0.46, 0.44), (0.25, 0.25, 0.27)


@dataclass(frozen=True)
class Net:
    """A network with the batch it is trained with; `dataset` is the program's word, `samples` PyTorch's set."""

    dataset: str
    shape: tuple  # channels, height, width
    classes: int
    batch: int
    samples: int
    lr: float


# The sets are larger than a last-level cache, so that reading a batch costs what it costs in real training.
NETS = {
    "img_cnn": Net("img", (3, 150, 150), 6, 32, 1024, 0.002),
    "vgg5_plain": Net("cifar10", (3, 32, 32), 10, 64, 16384, 0.002),
    "vgg5": Net("cifar10", (3, 32, 32), 10, 64, 16384, 0.002),
    "img_mlp": Net("img", (3, 150, 150), 6, 4, 1024, 0.01),
}


def iris_mlp():
    from torch import nn

    return nn.Sequential(nn.Linear(4, 30), nn.Sigmoid(), nn.Linear(30, 20), nn.Sigmoid(), nn.Linear(20, 3))


def img_cnn():
    from torch import nn

    layers, channels = [], 3
    for out in (16, 32, 64):
        layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        channels = out
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(20736, 128), nn.ReLU(inplace=True), nn.Linear(128, 6))


def vgg5(batch_norm=True):
    """Two poolings only: the third convolution works on 8x8 and leaves 4096 values."""
    from torch import nn

    layers, channels = [], 3
    for out, pooled in ((32, True), (64, True), (64, False)):
        layers += [nn.Conv2d(channels, out, 3, padding=1)]
        layers += [nn.BatchNorm2d(out)] if batch_norm else []
        layers += [nn.ReLU(inplace=True)]
        layers += [nn.MaxPool2d(2)] if pooled else []
        channels = out
    between = [] if batch_norm else [nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4096, 128), *between, nn.Linear(128, 10))


def img_mlp():
    from torch import nn

    hidden = [nn.Linear(67500, 40), nn.Sigmoid(), nn.Linear(40, 10), nn.Sigmoid()]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(10, 6))


def network(name):
    """A fresh network of this name, with PyTorch's own initial weights: the speed does not depend on them."""
    makers = {"iris": iris_mlp, "img_cnn": img_cnn, "vgg5": vgg5, "img_mlp": img_mlp}
    return vgg5(batch_norm=False) if name == "vgg5_plain" else makers[name]()
