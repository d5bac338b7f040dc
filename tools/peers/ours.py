"""Our side: the commands as a user types them, and the rate each says in its JSON."""

import json
import math
import os
import shlex
import tempfile
import time

from peers.networks import NETS
from peers.process import CORES, ROOT, output_of, pinned

GOAI = os.environ.get("PEERS_BIN", "./goai-rs")
DATA = "target/peers-data"
# Iris runs of one to two seconds, by ranks; an image run is as long as PyTorch's, see `Program`.
IRIS_EPOCHS = {1: 10_000, 2: 2_000, 20: 500}


class Program:
    """Runs goai-rs. Remembers how many epochs of a run fill the wanted seconds: that depends on the machine."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.epochs = {}

    def command(self, side):
        """The command as a user types it; the run directory, a throw-away one, is added when it runs."""
        return self.command_of(side, self.epochs[side])

    def rate(self, side):
        """Samples a second of all ranks together: the training loop, preparation of the batches included."""
        if side not in self.epochs:
            self.epochs[side] = self.enough_epochs(side)
        return self.final(self.command(side))["samples_per_s"]

    def command_of(self, side, epochs):
        images = side.net in NETS
        first = [GOAI, "--single", NETS[side.net].dataset if images else "iris"]
        if side.ranks > 1:
            first = ["mpirun", "-n", str(side.ranks), GOAI, "--mode", "allreduce"]
            first += ["--dataset", NETS[side.net].dataset] if images else []
        if side.isa:
            first = ["env", f"GOAI_TEST_ISA={side.isa}", *first]
        if images:
            net = NETS[side.net]
            first += ["--model", side.net, "--data-dir", data_folder(net.dataset), "--batch", str(net.batch)]
            first += ["--optimizer", "sgd", "--lr", str(net.lr), "--threads", str(side.threads)]
        else:
            first += ["--batch", "4", "--optimizer", "adam"]
        return pinned([*first, "--epochs", str(epochs), "--json"], side.threads * side.ranks)

    def enough_epochs(self, side):
        if side.net not in NETS:
            return IRIS_EPOCHS[side.ranks]
        make_data(NETS[side.net].dataset)
        # The first run also decodes the pictures into the cache, which no timed run should have to do.
        one = self.final(self.command_of(side, 1))["elapsed_s"]
        return max(2, math.ceil(self.seconds / max(one, 1e-3)))

    def final(self, command):
        with tempfile.TemporaryDirectory() as folder:
            out = output_of([*command, "--run-dir", f"{folder}/run"])
        try:
            run = json.loads(out)
            if run["state"] == "complete":
                return {key: float(run["final"][key]) for key in ("samples_per_s", "elapsed_s")}
            problem = f"state {run['state']}"
        except (ValueError, TypeError, KeyError) as error:
            problem = f"no final.samples_per_s in its JSON ({error})"
        raise RuntimeError(f"{problem}: {shlex.join(command)}")


def data_folder(dataset):
    return f"{DATA}/{dataset}"


def synth_command(dataset, folder):
    return [GOAI, "data", "synth", "--dataset", dataset, "--out", folder]


def make_data(dataset):
    """The synthetic set, made once. Made beside its place and moved there, so that half a set is never found."""
    folder = ROOT / data_folder(dataset)
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        output_of(synth_command(dataset, f"{made}/set"))
        os.rename(f"{made}/set", folder)


def whole_process():
    """Seconds from start to exit of the run everybody tries first."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["taskset", "-c", str(CORES[-1]), GOAI, "--single", "iris", "--run-dir", f"{folder}/run"]
        start = time.perf_counter()
        output_of(command)
        return time.perf_counter() - start
