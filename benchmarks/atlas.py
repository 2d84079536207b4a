"""An atlas on one machine: time and memory of each step, and how they grow: python benchmarks/atlas.py

By default 213 rows x 1,150,000 regions x 282 motifs, the size of a published atlas of human chromatin, simulated, a tenth of
the regions open in each row, and a small network: what is held and moved is large, what is computed is not. With
--exponents, cost against rows, regions, genes and width, each size in a process of its own.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
from _measure import about, exponent, in_process, peak_memory
from _simulated import random_mdata, untrained

import scget
from scget.model import _fit

SMALL = {"width": 32, "n_layers": 1, "n_heads": 2, "window": 200}
BASE = {"rows": 20, "regions": 100_000, "genes": 5_000, "width": 32}
SIZES = {
    "regions": [50_000, 100_000, 200_000, 400_000],
    "rows": [10, 20, 40, 80],
    "genes": [2_500, 5_000, 10_000, 20_000],
    "width": [32, 64, 128, 256],
}
COSTS = ("fit", "settle", "predict", "memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=213)
    parser.add_argument("--regions", type=int, default=1_150_000)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--open", type=float, default=0.1, help="share of regions open in a row (%(default)s)")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--exponents", action="store_true")
    parser.add_argument("--one", type=int, nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    if args.one:
        print(*costs(*args.one))
        return
    print(about(), flush=True)
    if args.exponents:
        print_exponents()
    else:
        whole(args.rows, args.regions, args.genes, args.steps, args.open)


def whole(n_rows: int, n_regions: int, n_genes: int, n_steps: int, open_share: float) -> None:
    """Each step in turn; seconds, and memory before, at most and after it."""
    print(f"{n_rows} rows x {n_regions:,} regions x 282 motifs, {n_genes:,} genes; seconds; GB before, at most, after")
    mdata = step("make the data", lambda: random_mdata(n_rows, n_regions, n_genes=n_genes, open_share=open_share))
    step("setup_mudata, which checks all", lambda: scget.model.GET.setup_mudata(mdata))
    model = scget.model.GET(mdata, **SMALL)
    with parts() as spent:
        train = {"batch_size": 32, "limit_train_batches": n_steps, "accelerator": "auto", "enable_progress_bar": False}
        step(f"train, {n_steps} steps of 32 windows", lambda: model.train(1, **train))
    print(f"  of which fitting {spent['fit']:.1f} s, steps {spent['run']:.1f} s, all rows once {spent['settle']:.1f} s")
    print(f"  held on the training device: {spent['bytes'] / 1e9:.2f} GB")
    one = mdata[["row0"]].copy()
    step("predict a row", lambda: scget.tl.predict(one, model))
    with tempfile.TemporaryDirectory() as folder:
        step("save", lambda: model.save(Path(folder) / "model"))
        loaded = step("load", lambda: scget.model.GET.load(Path(folder) / "model", accelerator=model.device.type))
        again = loaded.predict(one).to_numpy().astype(np.float32)
    print(f"  the loaded model says the same: {np.array_equal(again, one['rna'].layers['get'], equal_nan=True)}")


def step(name: str, work: Callable[[], object]) -> object:
    """Do it, and print what it took."""
    gc.collect()
    before, begin = memory("VmRSS"), time.perf_counter()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    made = work()
    seconds, peak = time.perf_counter() - begin, memory("VmHWM")
    gc.collect()
    print(f"{name:32s} {seconds:8.1f} s {before:6.2f} {peak:6.2f} {memory('VmRSS'):6.2f}", flush=True)
    return made


def memory(field: str) -> float:
    """Resident memory of this process, GB: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1e6


@contextmanager
def parts(clock: Callable[[], float] = time.perf_counter) -> Iterator[dict[str, float]]:
    """Seconds by ``clock`` of fitting, of the run and of what follows it, inside a training; bytes of what is held for it."""
    spent: dict[str, float] = {}

    def timed(name: str, function: Callable) -> Callable:
        def call(*args: object, **kwargs: object) -> object:
            begin = clock()
            made = function(*args, **kwargs)
            spent[name] = clock() - begin
            if name == "source":
                spent["bytes"] = sum(array.nbytes for array in made.buffers())
            return made

        return call

    names = {"_fit_scaling": "fit", "settle": "settle", "_source": "source"}
    with mock.patch.multiple(_fit, **{there: timed(name, getattr(_fit, there)) for there, name in names.items()}):
        with mock.patch.object(_fit._run, "run", timed("run", _fit._run.run)):
            yield spent
    spent["fit"] += spent["source"]


def costs(n_rows: int, n_regions: int, n_genes: int, width: int) -> list[float]:
    """CPU seconds of fitting, of all rows once after training, of predicting a row, and peak memory beyond imports."""
    imported = peak_memory()
    mdata = random_mdata(n_rows, n_regions, n_genes=n_genes)
    with parts(time.process_time) as spent:
        model = untrained(mdata, **(SMALL | {"width": width}))
    one, begin = mdata[["row0"]].copy(), time.process_time()
    model.predict(one)
    return [spent["fit"], spent["settle"], time.process_time() - begin, peak_memory() - imported]


def print_exponents() -> None:
    """Cost against each size, the others as BASE; slopes of log on log."""
    print("size", *COSTS[:-1], "(CPU s)", COSTS[-1], "(GB)")
    for what, sizes in SIZES.items():
        found = []
        for size in sizes:
            asked = BASE | {what: size}
            line = in_process(__file__, "--one", *asked.values())[-1]
            found.append([float(cost) for cost in line.split()])
            print(f"{what:8s} {size:8,d}", *(f"{cost:8.2f}" for cost in found[-1]), flush=True)
        slopes = [exponent(sizes, cost) for cost in zip(*found, strict=True)]
        print(f"{what:8s} exponent", *(f"{slope:8.2f}" for slope in slopes), flush=True)


def ratios(quick: bool = False) -> dict[str, float]:
    """Cost of half the regions, doubled, over that of all: 1 where cost is linear, less where it grows faster."""
    sizes, base = ([50_000, 100_000], BASE | {"rows": 4}) if quick else (SIZES["regions"][1:3], BASE)
    found = [costs_of(**(base | {"regions": size})) for size in sizes]
    names = dict(zip(COSTS, zip(*found, strict=True), strict=True))
    return {f"{name}: twice half the regions over all": 2 * half / all_of for name, (half, all_of) in names.items()}


def costs_of(**sizes: int) -> list[float]:
    """:func:`costs` in a process of its own."""
    return [float(cost) for cost in in_process(__file__, "--one", *sizes.values())[-1].split()]


if __name__ == "__main__":
    main()
