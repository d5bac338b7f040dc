"""The rounds: every side of a group once a round, in alternating order."""

import dataclasses
import json
import sys
from pathlib import Path

from peers import torch_images, torch_iris
from peers.comparisons import GROUPS, Ours, Peer, sides_of
from peers.networks import NETS
from peers.ours import whole_process
from peers.process import output_of, pinned

SCRIPT = Path(__file__).resolve().parent.parent / "bench_peers.py"


def worker(task, seconds):
    """One measurement of PyTorch, in this process: prints its rate."""
    import warnings

    warnings.simplefilter("ignore")
    peer = Peer(**json.loads(task))
    if peer.net in NETS and peer.world > 1:
        rate, loss = torch_images.ddp(peer.net, peer.variant, peer.world, seconds)
    elif peer.net in NETS:
        rate, loss = torch_images.single(peer.net, peer.variant, peer.threads, seconds)
    elif peer.world > 1:
        rate, loss = torch_iris.ddp(peer.world, seconds)
    else:
        rate, loss = torch_iris.single(peer.variant, seconds)
    print(json.dumps({"samples_per_s": rate, "loss": loss}))


def peer_rate(peer, seconds):
    task = json.dumps(dataclasses.asdict(peer))
    command = [sys.executable, str(SCRIPT), "--worker", task, "--seconds", str(seconds)]
    # DDP's processes print as they please; the result is the last line.
    return json.loads(output_of(pinned(command, peer.threads * peer.world)).splitlines()[-1])["samples_per_s"]


class Rounds:
    """Measures groups; `ratios` and `rates` are what the table is made of."""

    def __init__(self, args, program):
        self.args, self.program = args, program
        self.rates = {}  # row: [(ours, against)], ours None with --peers-only
        self.processes = []
        self.notes = []
        self.best = {}  # a peer without a variant: the same peer with the fastest one, or None if none runs

    def run(self):
        for group in self.args.only:
            self.group(group, [row for row in GROUPS[group] if self.possible(row)])

    def possible(self, row):
        if isinstance(row.against, Ours):
            return not self.args.peers_only
        return self.resolved(row.against) is not None

    def group(self, name, rows):
        sides = [side for side in sides_of(rows) if not (self.args.peers_only and isinstance(side, Ours))]
        for row in rows:
            self.rates[row] = []
        for turn in range(self.args.rounds):
            # Every other round backwards, so that a drift in one direction favours nobody.
            found = {side: self.rate(side) for side in (sides if turn % 2 == 0 else sides[::-1])}
            for row in rows:
                self.rates[row].append((found.get(row.ours), found[row.against]))
            if name == "eager" and not self.args.peers_only:
                self.processes.append(whole_process())
            told = "; ".join(f"{'goai-rs ' * isinstance(side, Ours)}{side}: {found[side]:.0f}" for side in sides)
            print(f"{name} round {turn + 1}: {told}", file=sys.stderr)

    def rate(self, side):
        return self.program.rate(side) if isinstance(side, Ours) else peer_rate(self.resolved(side), self.args.seconds)

    def resolved(self, peer):
        if peer.variant:
            return peer
        if peer not in self.best:
            variant = self.best_variant(peer)
            self.best[peer] = variant and dataclasses.replace(peer, variant=variant)
        return self.best[peer]

    def best_variant(self, peer):
        """PyTorch's fast roads, each tried twice in turn, since one try on a busy machine picks by luck. The one with
        the best try takes part in every round; one that does not work here is named in the notes."""
        rates, failed = {}, set()
        variants = torch_images.variants_of(peer.net) if peer.net in NETS else torch_iris.VARIANTS
        if self.args.no_compile:
            variants = [variant for variant in variants if "compile" not in variant]
        for variant in variants + variants:
            if variant in failed:
                continue
            try:
                rate = peer_rate(dataclasses.replace(peer, variant=variant), self.args.seconds)
                rates[variant] = max(rates.get(variant, 0.0), rate)
            except RuntimeError as error:
                failed.add(variant)
                self.notes.append(f"{peer.net}, {peer}: `{variant}` does not run here: {error}")
        if not rates:
            return None
        best = max(rates, key=rates.get)
        tried = ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items())
        self.notes.append(f"{peer.net}, {peer}: `{best}`, chosen from (samples/s, better of two tries) {tried}")
        return best
