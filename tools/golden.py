#!/usr/bin/env python3
"""Makes tests/golden/iris_mlp.json: what PyTorch computes for the iris MLP, step by step.

Why: our layers, losses and optimisers are written by hand, so an independent implementation has to say what the
right numbers are. A test loads the same initial weights and the same batches and must see the same losses.

    ${PEERS_VENV:-target/peers-venv}/bin/python tools/golden.py      (tools/bench_peers.sh makes that environment)

The data are made here, not read: three noisy clusters in four dimensions, so the file changes only when this script
does. Every random number comes from the generator below (not from PyTorch's, which may change between versions).
Another PyTorch version, BLAS or CPU may move the last digits; the script compares each case with the same case in
float64 and refuses to write a file in which rounding alone moves a loss by more than 1e-5.

What the file holds
    weights0        initial weights, flat, in PyTorch's order: layer.weight ([out, in] row-major), layer.bias, next layer
    inputs, labels  [20][4][4] and [20][4]: step s trains on inputs[s], labels[s]
    cases           one object a case, with
        hidden, output        activation after the two hidden layers and after the last one ("none": bare logits)
        standardise           true: each hidden layer's output z goes through (z - mean) / sqrt(var + 1e-5) before its
                              activation; mean and population variance over the sample's own features, no parameters
        loss                  "cross_entropy": mean over the batch of -log softmax(z)[label]
                              "l2": mean over the batch of 0.5 * sum over the outputs of (onehot - output)^2
        optimizer and its numbers   sgd: w -= lr g.  momentum: v = mu v + g, w -= lr v (v starts at 0).
                              adam: bias-corrected, eps added after the square root
        losses                the 20 losses, each computed before its own step
        gradient0             the gradient of the first step, flat like the weights
        weights20             the weights after the 20 steps
Numbers are the shortest decimals that read back to the same float32.
"""

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

OUT = Path(__file__).resolve().parent.parent / "tests" / "golden" / "iris_mlp.json"
WIDTHS = [4, 30, 20, 3]
STEPS, BATCH = 20, 4
SEED = 20260101
EPSILON = 1e-5

SGD = {"optimizer": "sgd", "lr": 0.1}
MOMENTUM = {"optimizer": "momentum", "lr": 0.05, "mu": 0.9}
ADAM = {"optimizer": "adam", "lr": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
PLAIN = {"hidden": "sigmoid", "output": "none", "standardise": False, "loss": "cross_entropy"}
CASES = [
    {"name": "sgd", **PLAIN, **SGD},
    {"name": "momentum", **PLAIN, **MOMENTUM},
    {"name": "adam", **PLAIN, **ADAM},
    {"name": "sgd_l2", **PLAIN, "output": "sigmoid", "loss": "l2", **SGD},
    {"name": "adam_tanh", **PLAIN, "hidden": "tanh", **ADAM},
    {"name": "sgd_relu", **PLAIN, "hidden": "relu", **SGD},
    {"name": "sgd_standardised", **PLAIN, "standardise": True, **SGD},
]
ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}


class SplitMix64:
    """Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        mask = (1 << 64) - 1
        self.state = (self.state + 0x9E3779B97F4A7C15) & mask
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    def uniform(self, low, high):
        return low + (high - low) * (self.next() >> 11) / (1 << 53)


def make_batches(rng):
    """Rows drawn around one random centre a class; the noise makes the classes touch, so losses stay informative."""
    centres = [[rng.uniform(-1.5, 1.5) for _ in range(WIDTHS[0])] for _ in range(WIDTHS[-1])]
    labels = [[rng.next() % WIDTHS[-1] for _ in range(BATCH)] for _ in range(STEPS)]
    inputs = [[[c + rng.uniform(-1.0, 1.0) for c in centres[label]] for label in row] for row in labels]
    return np.array(inputs, dtype=np.float32), np.array(labels)


def make_weights(rng):
    """Glorot-uniform weights, as a real run starts. Biases are not zero, so that a misplaced bias shows at once."""
    flat = []
    for fan_in, fan_out in zip(WIDTHS, WIDTHS[1:]):
        bound = (6.0 / (fan_in + fan_out)) ** 0.5
        flat += [rng.uniform(-bound, bound) for _ in range(fan_out * fan_in)]
        flat += [rng.uniform(-0.1, 0.1) for _ in range(fan_out)]
    return np.array(flat, dtype=np.float32)


def build(case):
    layers = []
    for depth, (fan_in, fan_out) in enumerate(zip(WIDTHS, WIDTHS[1:])):
        hidden = depth < len(WIDTHS) - 2
        layers.append(nn.Linear(fan_in, fan_out))
        if hidden and case["standardise"]:
            layers.append(nn.LayerNorm(fan_out, eps=EPSILON, elementwise_affine=False))
        activation = case["hidden"] if hidden else case["output"]
        if activation != "none":
            layers.append(ACTIVATIONS[activation]())
    return nn.Sequential(*layers)


def optimizer_of(case, parameters):
    if case["optimizer"] == "adam":
        return torch.optim.Adam(parameters, lr=case["lr"], betas=(case["beta1"], case["beta2"]), eps=case["eps"])
    return torch.optim.SGD(parameters, lr=case["lr"], momentum=case.get("mu", 0.0))


def loss_of(case, output, labels):
    if case["loss"] == "cross_entropy":
        return nn.functional.cross_entropy(output, labels)
    onehot = nn.functional.one_hot(labels, WIDTHS[-1]).to(output.dtype)
    return 0.5 * ((onehot - output) ** 2).sum(dim=1).mean()


def flat(tensors):
    return torch.cat([t.detach().reshape(-1) for t in tensors]).numpy().copy()


def train(case, weights0, inputs, labels, dtype):
    """Losses, first gradient and last weights of one case, computed in `dtype`."""
    model = build(case).to(dtype)
    # A copy: the parameters become views of this vector, and training would write into the shared initial weights.
    start = torch.tensor(weights0, dtype=dtype)
    nn.utils.vector_to_parameters(start, model.parameters())
    optimizer = optimizer_of(case, model.parameters())
    losses, gradient0 = [], None
    for x, y in zip(torch.from_numpy(inputs).to(dtype), torch.from_numpy(labels)):
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(case, model(x), y)
        loss.backward()
        losses.append(loss.item())
        if gradient0 is None:
            gradient0 = flat(p.grad for p in model.parameters())
        optimizer.step()
    return np.array(losses), gradient0, flat(model.parameters())


def decimals(array):
    """Nested lists of the shortest decimals of the float32 values; proves that they read back by way of a double."""
    if array.ndim > 1:
        return [decimals(row) for row in array]
    values = [float(str(v)) for v in array.astype(np.float32)]
    assert all(np.isfinite(values)) and np.array_equal(np.array(values).astype(np.float32), array.astype(np.float32))
    return values


def main():
    torch.set_num_threads(1)
    rng = SplitMix64(SEED)
    inputs, labels = make_batches(rng)
    weights0 = make_weights(rng)
    document = {
        "made_by": "tools/golden.py",
        "torch": torch.__version__,
        "widths": WIDTHS,
        "epsilon": EPSILON,
        "weights0": decimals(weights0),
        "inputs": decimals(inputs),
        "labels": labels.tolist(),
        "cases": [],
    }
    for case in CASES:
        losses, gradient0, weights20 = train(case, weights0, inputs, labels, torch.float32)
        exact = train(case, weights0, inputs, labels, torch.float64)[0]
        rounding = np.abs(losses - exact).max()
        assert rounding < 1e-5, f"{case['name']}: float32 and float64 losses differ by {rounding}"
        results = {"losses": losses, "gradient0": gradient0, "weights20": weights20}
        document["cases"].append(case | {key: decimals(value) for key, value in results.items()})
        print(f"{case['name']:18} loss {losses[0]:.6f} -> {losses[-1]:.6f}   float32 against float64: {rounding:.1e}")
    dense = (",", ":")
    lines = [f'"{key}": {json.dumps(value, separators=dense)}' for key, value in document.items() if key != "cases"]
    cases = ",\n".join(json.dumps(case, separators=dense) for case in document["cases"])
    text = "{\n" + ",\n".join(lines) + ',\n"cases": [\n' + cases + "\n]\n}\n"
    assert json.loads(text) == document
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(text)
    print(f"{OUT.name}: {len(text) / 1000:.0f} kB, {len(weights0)} parameters, torch {torch.__version__}")


if __name__ == "__main__":
    main()
