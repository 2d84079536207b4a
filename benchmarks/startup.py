"""Seconds and memory to import scget and its folders, and what the demo spends its time on: python benchmarks/startup.py

Each import runs in a process of its own, in turn, after one run that fills the file cache; medians. ``--demo`` runs
``python -m scget demo`` under cProfile instead and prints the share of each step, and of each part of the longest. The
profiler makes steps of many small calls look longer than they are.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
from pathlib import Path

from _measure import about, in_process, medians

IMPORTS = ["scget", "scget.pp", "scget.bm", "scget.pl", "scget.model", "scget.tl", "numpy", "torch", "scvi"]
MOST = {"scget": 2.0, "scget.model": 6.0}  # seconds that an import may take
PARTS = ["train", "fit", "evaluate", "attribute"]  # steps whose own steps are shown too
ONE = """
import sys, time
begin = time.perf_counter()
__import__(sys.argv[1])
seconds = time.perf_counter() - begin
try:  # not getrusage: a process starts with the peak of the one that started it
    peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1e6
except OSError:
    peak = float("nan")
print(seconds, peak)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each import (%(default)s)")
    parser.add_argument("--demo", action="store_true", help="profile the demo")
    parser.add_argument("--profile", type=Path, help="with --demo: where the profile is kept, or is already")
    args = parser.parse_args()
    print(about(), flush=True)
    if args.demo:
        print_demo(args.profile or Path(tempfile.mkdtemp()) / "demo.prof")
        return
    print(f"{'import':12} | seconds | of scvi | at most | peak memory, GB")
    seconds, memory = imports(IMPORTS, args.repeats)
    for name in IMPORTS:
        most = f"{MOST[name]:.0f}" if name in MOST else ""
        share = seconds[name] / seconds["scvi"]
        print(f"{name:12} | {seconds[name]:7.2f} | {share:7.2f} | {most:>7} | {memory[name]:.2f}")


def ratios(quick: bool = False) -> dict[str, float]:
    """For the guard: an import over what it must load anyway."""
    names = ["scget", "scget.bm", "torch"] + ([] if quick else ["scget.model", "scvi"])
    seconds, _ = imports(names, 1 if quick else 5)
    found = {
        "import torch over import scget": seconds["torch"] / seconds["scget"],
        "import torch over import scget.bm": seconds["torch"] / seconds["scget.bm"],
    }
    return found if quick else found | {"import scvi over import scget.model": seconds["scvi"] / seconds["scget.model"]}


def imports(names: list[str], repeats: int) -> tuple[dict[str, float], dict[str, float]]:
    """Median seconds of each import without the start of Python, and the peak memory of its process, GB."""
    memory: dict[str, float] = {}
    spent = [0.0]  # a clock that runs while a module is loaded

    def load(name: str) -> None:
        seconds, memory[name] = map(float, in_process("-c", ONE, name)[-1].split())
        spent[0] += seconds

    return medians({name: lambda name=name: load(name) for name in names}, repeats, clock=lambda: spent[0]), memory


def print_demo(profile: Path) -> None:
    """Steps of the demo that take 0.5% of its time or more, and those of the functions in ``PARTS``."""
    if not profile.is_file():
        from scget._demo import main as demo

        cProfile.runctx("demo(['demo', '--out', out])", {"demo": demo, "out": tempfile.mkdtemp()}, {}, str(profile))
    calls = pstats.Stats(str(profile)).stats
    run = next(key for key in calls if key[0].endswith("_demo.py") and key[2] == "run")
    total = calls[run][3]
    print(f"\nthe demo took {total:.0f} s\n{'called by':10} {'step':28} | seconds | share, %")
    for caller in [run, *(key for key in calls if "/scget/" in key[0] and key[2] in PARTS)]:
        steps = [(of[caller][3], step) for step, (*_, of) in calls.items() if caller in of]
        for seconds, (file, _, name) in sorted(steps, reverse=True):
            if seconds >= 0.005 * total:
                print(
                    f"{caller[2]:10} {Path(file).stem + ' ' + name:28} | {seconds:7.1f} | {100 * seconds / total:5.1f}"
                )


if __name__ == "__main__":
    main()
