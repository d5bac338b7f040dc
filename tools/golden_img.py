#!/usr/bin/env python3
"""Makes tests/golden/img_cnn.json and vgg5.json: what PyTorch computes for the networks for pictures, step by step.

Why: convolutions, pools and batch-norm are written by hand, and fused and reordered by the compiler of networks, so an
independent implementation has to say what the right numbers are, at the real sizes.

    ${PEERS_VENV:-target/peers-venv}/bin/python tools/golden_img.py      (tools/bench_peers.sh makes that environment)

Weights and pictures are not in the files, they would be megabytes: both sides compute them, with the formula below in
integers and single roundings, so they agree to the last bit. Another PyTorch version, BLAS or CPU may move the last
digits; the script runs every network in float64 too and refuses to write a file in which rounding alone moves a loss
by more than 1e-4 of itself.

    noise(stream, i)   splitmix64 of (stream << 40) + i, its upper 24 bits as a number in [-1, 1)
    weights            tensor t (running statistics not counted) of PyTorch's parameters(): noise(t, i) times
                       sqrt(6 / fan_in) for weights of conv and dense layers, 0.1 for biases, 0.25 plus 1 for the scale
                       of a batch-norm; fan_in = elements of the weight / its first dimension
    pictures           picture p, element i in C,H,W order: noise(1000 + p, i) + label / classes; label = p mod classes
    batches            step s trains on pictures b + batch (s mod 2), b = 0..batch: twice seen, so that the losses move

What a file holds: network, input, classes, batch, lr (plain SGD on the mean cross-entropy), losses (each computed before
its own step), and for a network with batch-norm statistics: name -> values after the last step (PyTorch's momentum of
0.1, unbiased variance).
"""

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

OUT = Path(__file__).resolve().parent.parent / "tests" / "golden"
STEPS = 10
CASES = [
    {"network": "img_cnn", "input": [3, 150, 150], "classes": 6, "batch": 4, "lr": 0.0002},
    {"network": "vgg5", "input": [3, 32, 32], "classes": 10, "batch": 8, "lr": 0.003},
]


def noise(stream, count):
    with np.errstate(over="ignore"):
        z = (np.uint64(stream) << np.uint64(40)) + np.arange(count, dtype=np.uint64)
        z = z + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float32) / np.float32(1 << 23) - np.float32(1)


def conv(inputs, outputs):
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def build(case):
    channels, height, width = case["input"]
    if case["network"] == "img_cnn":
        widths, norm, pools, between = [16, 32, 64], False, 3, True
    else:
        widths, norm, pools, between = [32, 64, 64], True, 2, False
    layers = []
    for depth, outputs in enumerate(widths):
        layers.append((f"conv{depth + 1}", conv(channels, outputs)))
        if norm:
            layers.append((f"bn{depth + 1}", nn.BatchNorm2d(outputs)))
        layers.append((f"relu{depth + 1}", nn.ReLU()))
        if depth < pools:
            layers.append((f"pool{depth + 1}", nn.MaxPool2d(2)))
            height, width = height // 2, width // 2
        channels = outputs
    layers += [("flatten1", nn.Flatten()), ("fc1", nn.Linear(channels * height * width, 128))]
    if between:
        layers.append(("relu4", nn.ReLU()))
    layers.append(("fc2", nn.Linear(128, case["classes"])))
    model = nn.Sequential()
    for name, layer in layers:
        model.add_module(name, layer)
    return model


def fill(model):
    with torch.no_grad():
        for t, (name, tensor) in enumerate(model.named_parameters()):
            values = noise(t, tensor.numel())
            if name.endswith("bias"):
                values = values * np.float32(0.1)
            elif tensor.dim() == 1:
                values = values * np.float32(0.25) + np.float32(1)
            else:
                values = values * np.float32((6.0 / (tensor.numel() // tensor.shape[0])) ** 0.5)
            tensor.copy_(torch.from_numpy(values).reshape(tensor.shape))


def pictures(case):
    size = int(np.prod(case["input"]))
    labels = [p % case["classes"] for p in range(2 * case["batch"])]
    images = [noise(1000 + p, size) + np.float32(y) / np.float32(case["classes"]) for p, y in enumerate(labels)]
    return torch.from_numpy(np.stack(images).reshape(-1, *case["input"])), torch.tensor(labels)


def train(case, dtype):
    model = build(case)
    fill(model)
    model.to(dtype).train()
    images, labels = pictures(case)
    batch, losses = case["batch"], []
    optimizer = torch.optim.SGD(model.parameters(), lr=case["lr"])
    for step in range(STEPS):
        rows = slice(batch * (step % 2), batch * (step % 2 + 1))
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images[rows].to(dtype)), labels[rows])
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
    statistics = {n: b for n, b in model.named_buffers() if n.endswith(("running_mean", "running_var"))}
    return losses, statistics


def main():
    torch.set_num_threads(1)
    for case in CASES:
        losses, statistics = train(case, torch.float32)
        exact, _ = train(case, torch.float64)
        worst = max(abs(a - b) / abs(b) for a, b in zip(losses, exact))
        print(f"{case['network']}: {losses[0]:.4f} -> {losses[-1]:.4f}, float32 differs from float64 by {worst:.1e}")
        print("  ", " ".join(f"{loss:.4f}" for loss in losses))
        if worst > 1e-4:
            raise SystemExit("rounding alone moves a loss by more than 1e-4: choose a smaller lr")
        result = {**case, "losses": losses}
        result["statistics"] = {name: [float(f"{v:.9g}") for v in b.tolist()] for name, b in statistics.items()}
        path = OUT / f"{case['network']}.json"
        path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
