"""CPU time of a window by size of network, and memory by size of data: python benchmarks/settings.py

Each line is a process of its own on one core, with random counts, motif scores and genes: neither time nor memory hangs on what
they say. Times are CPU seconds of the process, so that what else the machine does counts little; memory is its peak.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
import warnings

import numpy as np
import torch
from _simulated import random_mdata

import scget

# width, layers, heads, regions per window; rows x regions; batches of 8 windows to time training by
NETWORKS = [
    ((64, 2, 4, 64), (4, 5_000), 40),
    ((64, 2, 4, 128), (4, 5_000), 40),
    ((128, 3, 4, 200), (4, 5_000), 20),
    ((256, 6, 8, 200), (4, 5_000), 10),
    ((768, 12, 12, 200), (2, 2_000), 2),
]
DATA = [
    ((64, 2, 4, 128), size, 0)
    for size in [(10, 20_000), (40, 20_000), (100, 20_000), (10, 100_000), (40, 100_000), (10, 450_000)]
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", type=int, nargs=7, help=argparse.SUPPRESS)
    one = parser.parse_args().one
    if one:
        measure(tuple(one[:4]), (one[4], one[5]), one[6])
        return
    print(
        "width layers heads window | rows regions | s/1,000 windows: train, predict | around training, s | peak memory, GB"
    )
    for network, size, n_batches in NETWORKS + DATA:
        numbers = [str(n) for n in (*network, *size, n_batches)]
        done = subprocess.run(
            [sys.executable, __file__, "--one", *numbers], check=True, text=True, stdout=subprocess.PIPE
        )
        print(done.stdout.splitlines()[-1], flush=True)


def measure(network: tuple[int, ...], size: tuple[int, int], n_batches: int) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    width, layers, heads, window = network
    mdata = random_mdata(*size, n_genes=size[1] // 20, open_share=1.0)
    scget.model.GET.setup_mudata(mdata)
    model = scget.model.GET(mdata, width=width, n_layers=layers, n_heads=heads, window=window)
    quiet = {"enable_progress_bar": False, "accelerator": "cpu", "batch_size": 8}
    seconds = []
    for limit in (1, 1, 1 + n_batches):  # the first one warms up; what is fitted around the steps is in each
        begin = time.process_time()
        model.train(1, limit_train_batches=limit, **quiet)
        seconds.append(time.process_time() - begin)
    train = (seconds[2] - seconds[1]) / (8 * n_batches) if n_batches else np.nan
    n_windows = size[1] // (window // 2)  # of a row: each region is read from the window in which it is most central
    begin = time.process_time()
    model.predict(rows=["row0"], batch_size=8)
    predict = (time.process_time() - begin) / n_windows
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    net = f"{width:5d} {layers:6d} {heads:5d} {window:6d}"
    print(
        f"{net} | {size[0]:4d} {size[1]:7,d} | {1000 * train:7.1f} {1000 * predict:7.1f} | {seconds[1]:6.1f} | {peak:5.2f}"
    )


if __name__ == "__main__":
    main()
