"""Running one measurement in a process of its own, on cores of its own, so that nothing is left in the next."""

import os
import shlex
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CORES = sorted(os.sched_getaffinity(0))
# Open MPI refuses to run as root, or more ranks than cores, unless told; both are what is wanted here.
MPI_ENV = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
}


def pinned(command, threads):
    """The command on one core for one thread in all, on two for more, however many more: both sides alike."""
    cores = CORES[-1:] if threads == 1 else CORES[:2]
    return ["taskset", "-c", ",".join(map(str, cores)), *command]


def output_of(command, limit=600):
    """What the command prints; a RuntimeError in one line where it fails."""
    try:
        env = os.environ | MPI_ENV
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"no result after {limit} s: {shlex.join(command)}") from None
    if done.returncode != 0:
        # mpirun frames its own words with rules of dashes below the program's; the first line is the program's.
        # A Python traceback ends with what matters.
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip("- ")]
        said = said[-1:] if any(line.startswith("Traceback (most recent") for line in said) else said[:1]
        raise RuntimeError(f"exit code {done.returncode}: {' '.join(said) or 'no message'}: {shlex.join(command)}")
    return done.stdout


def first_line(command):
    try:
        return output_of(command).splitlines()[0]
    except (OSError, RuntimeError, IndexError):
        return f"{command[0]}: not found"
