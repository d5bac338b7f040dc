"""The parts of tools/bench_peers.py: what is compared, PyTorch's side, our side, the rounds and the table."""
