"""What got slower: python benchmarks/run.py --quick

Runs the ``ratios`` of each benchmark, each in a process of its own, and compares them with ``ratios.json``. A ratio of two
costs in one run hangs on the machine far less than a time, and higher is better in all of them. With --write, the table is
written anew: do so on a quiet machine, in the commit that changes a cost, and say there why.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
import warnings
from pathlib import Path

from _measure import about, in_process

SCRIPTS = ("startup", "feeding", "step", "prediction", "attribution", "single_cells", "atlas")
TABLE = Path(__file__).with_name("ratios.json")
TOLERANCE = 0.7  # of the committed ratio: below it, something got worse; ratios of one machine differ by up to a fifth


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, three minutes in all")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, default=SCRIPTS)
    parser.add_argument("--one", choices=SCRIPTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    size = "quick" if args.quick else "whole"
    if args.one:
        warnings.simplefilter("ignore")
        print(json.dumps(importlib.import_module(args.one).ratios(quick=args.quick)))
        return 0
    print(about(), flush=True)
    known = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    before, found, begin = known.get(size, {}), {}, time.perf_counter()
    for script in args.only:
        lines = in_process(__file__, "--one", script, *["--quick"] * args.quick)
        now = {f"{script}: {name}": round(ratio, 3) for name, ratio in json.loads(lines[-1]).items()}
        found |= now
        print("\n".join(line(name, before.get(name), ratio) for name, ratio in now.items()), flush=True)
    gone = [name for name in before if name.split(":")[0] in args.only and name not in found]
    worse = [name for name, ratio in found.items() if ratio < TOLERANCE * before.get(name, 0)]
    print(
        f"{time.perf_counter() - begin:.0f} s; {len(worse)} worse, {len(gone)} no longer measured",
        *worse,
        *gone,
        sep="\n  ",
    )
    if args.write:
        kept = {name: ratio for name, ratio in before.items() if name not in gone}
        TABLE.write_text(json.dumps(known | {size: kept | found}, indent=2) + "\n")
    return 1 if worse or gone else 0


def line(name: str, before: float | None, now: float) -> str:
    """One line of the table."""
    if before is None:
        return f"{name:80s} {'new':>8s} {now:8.2f}"
    return f"{name:80s} {before:8.2f} {now:8.2f}  {'WORSE' if now < TOLERANCE * before else ''}"


if __name__ == "__main__":
    sys.exit(main())
