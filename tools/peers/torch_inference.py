"""PyTorch's side of the inference comparison: one picture at a time through torchvision's networks, one thread.

Variants: `nchw`, eager as it comes; `channels_last`, eager with that layout. Weights are PyTorch's own initial ones: the
speed does not depend on them. The networks are written out here, because torchvision need not be installed.
"""

import statistics
import time

VGG16 = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
RESNET50 = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))


def vgg16():
    from torch import nn

    layers, channels = [], 3
    for out, convolutions in VGG16:
        for _ in range(convolutions):
            layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU(inplace=True)]
            channels = out
        layers += [nn.MaxPool2d(2)]
    dense = [nn.Linear(25088, 4096), nn.ReLU(True), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(True), nn.Dropout()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(7), nn.Flatten(), *dense, nn.Linear(4096, 1000))


def resnet50():
    from torch import nn

    class Bottleneck(nn.Module):
        def __init__(self, inputs, planes, stride):
            super().__init__()
            self.relu = nn.ReLU(inplace=True)
            self.conv1, self.bn1 = nn.Conv2d(inputs, planes, 1, bias=False), nn.BatchNorm2d(planes)
            self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(planes)
            self.conv3, self.bn3 = nn.Conv2d(planes, 4 * planes, 1, bias=False), nn.BatchNorm2d(4 * planes)
            self.down = None
            if stride != 1 or inputs != 4 * planes:
                project = nn.Conv2d(inputs, 4 * planes, 1, stride, bias=False)
                self.down = nn.Sequential(project, nn.BatchNorm2d(4 * planes))

        def forward(self, x):
            y = self.relu(self.bn1(self.conv1(x)))
            y = self.relu(self.bn2(self.conv2(y)))
            y = self.bn3(self.conv3(y))
            y += x if self.down is None else self.down(x)
            return self.relu(y)

    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    blocks, channels = [], 64
    for planes, count, stride in RESNET50:
        for block in range(count):
            blocks.append(Bottleneck(channels, planes, stride if block == 0 else 1))
            channels = 4 * planes
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


NETWORKS = {"resnet50": resnet50, "vgg16": vgg16}


def milliseconds(name, variant, seconds):
    """The median and the least processor time of a pass, after three to warm up; alone on a core that is the time that
    passes."""
    import torch

    torch.set_num_threads(1)
    model, x = NETWORKS[name]().eval(), torch.randn(1, 3, 224, 224)
    if variant == "channels_last":
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    times = []
    with torch.no_grad():
        for _ in range(3):
            model(x)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(times) < 3:
            start = time.process_time()
            model(x)
            times.append(1e3 * (time.process_time() - start))
    return statistics.median(times), min(times)
