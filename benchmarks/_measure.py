"""What the benchmarks of speed share: the machine and versions, medians of runs taken in turn, peak memory."""

from __future__ import annotations

import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch


def about() -> str:
    """Machine, threads, versions and date, one line; to be printed above every table."""
    packages = " ".join(f"{name} {version(name)}" for name in ("scget", "torch", "numpy", "scvi-tools", "anndata"))
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{_processor()}, {torch.get_num_threads()} threads, {device}; python {platform.python_version()} {packages}; "
        f"{datetime.now(UTC):%Y-%m-%d}"
    )


def medians(
    ways: dict[str, Callable[[], object]], repeats: int = 5, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Seconds of each way, median over ``repeats`` after one run to warm up; in turn, so that what else runs falls on all."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(1 + repeats):
        for name, way in ways.items():
            begin = clock()
            way()
            if turn:
                seconds[name].append(clock() - begin)
    return {name: statistics.median(values) for name, values in seconds.items()}


def peak_memory() -> float:
    """Greatest resident memory of this process so far, GB."""
    try:  # getrusage starts from the peak of the process that started this one
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e6
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def in_process(script: str | Path, *arguments: object) -> list[str]:
    """Run a script in a process of its own, for its memory and imports; its printed lines, without bars and advice."""
    done = subprocess.run([sys.executable, str(script), *map(str, arguments)], text=True, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"{script} {arguments} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout.splitlines()


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Slope of log cost on log size by least squares: 1 is linear."""
    x, y = torch.tensor(sizes).double().log(), torch.tensor(costs).double().log()
    x = x - x.mean()
    return float((x * y).sum() / (x * x).sum())


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
