#!/usr/bin/env bash
# Measures goai-rs against PyTorch, side by side; `make bench-peers` runs it.
#
# Why a shell script in front: PyTorch is nobody's dependency here, so it goes into a throw-away environment
# (several GB: the ordinary wheel), made on first use and kept for the next. Delete the folder to be rid of it.
#
#   PEERS_VENV   where the environment lives    (default target/peers-venv)
#   PEERS_BIN    the binary to measure          (default ./goai-rs; seen from the project's folder)
#   options      tools/bench_peers.py --help; all groups take about half an hour, --only NAME a few minutes
set -euo pipefail
cd "$(dirname "$0")/.."
venv="${PEERS_VENV:-target/peers-venv}"

# Asking for the import, not for the folder: an interrupted installation is finished, not believed.
if ! "$venv/bin/python" -c 'import torch, numpy' 2>/dev/null; then
    if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
        echo "bench_peers.sh: no python3 with its venv module here; apt-get install python3-venv, then run this again" >&2
        exit 1
    fi
    echo "installing PyTorch into $venv (several GB, once)" >&2
    mkdir -p "$(dirname "$venv")"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check torch numpy >&2
fi
exec "$venv/bin/python" tools/bench_peers.py "$@"
