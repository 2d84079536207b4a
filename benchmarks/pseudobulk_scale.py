"""Pseudobulk of more cells than fit into memory: peak memory and time of summing a simulated matrix on disk.

    python benchmarks/pseudobulk_scale.py [--cells 1000000] [--regions 100000] [--values 500] [--groups 50] [--dask 2]

Writes cells x regions (CSR, uint16 counts, int32 columns, int64 row ends) as an .h5mu, a block of cells at a time, then
sums it in a process of its own. ``--values`` is the mean number of non-zero regions of a cell: real cells have 2,000 to
10,000, 6 bytes each on disk. Each sum is compared with the one kept while writing. ``--dask N`` reads the same file as
arrays of dask on a LocalCluster of N workers; memory is then that of the largest worker.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

CELLS_AT_ONCE = 5_000


def simulate(path: Path, n_cells: int, n_regions: int, n_values: int, n_groups: int) -> np.ndarray:
    """Write the file; returns the sums (groups x regions) of what was written."""
    import mudata
    from anndata import AnnData
    from mudata import MuData
    from scipy.sparse import csr_matrix

    rng = np.random.default_rng(0)
    codes = rng.integers(0, n_groups, n_cells)
    obs = pd.DataFrame({"cell_type": pd.Categorical(np.char.add("T", codes.astype(str)))})
    obs.index = np.char.add("cell", np.arange(n_cells).astype(str))
    start = np.arange(n_regions) * 1000
    var = pd.DataFrame({"chrom": "chr1", "start": start, "end": start + 500})
    var.index = [f"chr1:{s}-{s + 500}" for s in start]
    mudata.set_options(pull_on_update=False)
    MuData({"atac": AnnData(csr_matrix((n_cells, n_regions), dtype=np.uint16), obs=obs, var=var)}).write(path)
    sums = np.zeros((n_groups, n_regions))
    with h5py.File(path, "a") as file:
        group = file["mod/atac/X"]
        for name in ("data", "indices", "indptr"):
            del group[name]
        options = {"shape": (0,), "maxshape": (None,), "chunks": (1 << 20,)}
        data = group.create_dataset("data", dtype=np.uint16, **options)
        indices = group.create_dataset("indices", dtype=np.int32, **options)
        ends = [0]
        cell, columns = one_block(rng, n_regions, n_values)
        for first in range(0, n_cells, CELLS_AT_ONCE):
            own = codes[first : first + CELLS_AT_ONCE]
            n = int(np.searchsorted(cell, len(own)))
            values = np.minimum(rng.integers(1, 9, n, dtype=np.uint16), rng.integers(1, 9, n, dtype=np.uint16))
            at = own[cell[:n]].astype(np.int64) * n_regions + columns[:n]
            sums += np.bincount(at, values, sums.size).reshape(sums.shape)
            for dataset, new in ((data, values), (indices, columns[:n])):
                dataset.resize((ends[-1] + n,))
                dataset[ends[-1] :] = new
            ends += (ends[-1] + np.cumsum(np.bincount(cell[:n], minlength=len(own)))).tolist()
        group.create_dataset("indptr", data=np.array(ends, dtype=np.int64))
    return sums


def one_block(rng: np.random.Generator, n_regions: int, n_values: int) -> tuple[np.ndarray, np.ndarray]:
    """Which regions are open in some cells, sorted; all blocks share it, with counts and types of their own."""
    cell = np.repeat(np.arange(CELLS_AT_ONCE), rng.poisson(n_values, CELLS_AT_ONCE))
    columns = (rng.random(len(cell)) ** 2 * n_regions).astype(np.int64)  # some regions are open more often
    key = np.unique(cell * n_regions + columns)
    return key // n_regions, (key % n_regions).astype(np.int32)


def peak() -> float:
    """Largest memory of this process so far, GB."""
    status = Path("/proc/self/status")
    if status.is_file():  # where there is none, the next line also counts the process that started this one
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def read(path: Path, workers: int) -> None:
    """Sum the file and print what it took, as JSON."""
    import mudata

    import scget

    before, begin = peak(), time.perf_counter()
    if workers:
        rows, most = read_dask(path, workers)
    else:
        rows, most = scget.pp.pseudobulk(mudata.read_h5mu(path, backed="r"), "cell_type"), 0.0
    seconds = time.perf_counter() - begin
    sums = rows["atac"].X.toarray()
    order = np.argsort([int(name[1:]) for name in rows["atac"].obs_names])
    same = bool((np.load(path.with_suffix(".npy"))[: len(order)] == sums[order]).all())
    print(json.dumps({"seconds": seconds, "peak": max(peak(), most), "imports": before, "same": same}))


def read_dask(path: Path, workers: int) -> tuple:
    """The same on a cluster; also the memory of its largest worker."""
    from anndata.experimental import read_lazy
    from distributed import Client, LocalCluster
    from mudata import MuData

    import scget

    with LocalCluster(n_workers=workers, threads_per_worker=1) as cluster, Client(cluster) as client:
        with h5py.File(path) as file:
            atac = read_lazy(file["mod/atac"])
            atac.obs, atac.var = atac.obs.to_memory(), atac.var.to_memory()
            rows = scget.pp.pseudobulk(MuData({"atac": atac}), "cell_type")
        return rows, max(client.run(peak).values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("cells", 1_000_000), ("regions", 100_000), ("values", 500), ("groups", 50), ("dask", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder if not given")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.read:
        return read(a.read, a.dask)
    with tempfile.TemporaryDirectory(dir=a.folder) as folder:
        path = Path(folder) / "cells.h5mu"
        begin = time.perf_counter()
        np.save(path.with_suffix(".npy"), simulate(path, a.cells, a.regions, a.values, a.groups))
        with h5py.File(path) as file:
            n_values = file["mod/atac/X/data"].shape[0]
        print(
            f"{a.cells:,} cells x {a.regions:,} regions, {n_values:,} values, {path.stat().st_size / 1e9:.2f} GB on disk"
        )
        print(f"written in {time.perf_counter() - begin:.0f} s; in memory as float32 CSR: {n_values * 8 / 1e9:.1f} GB")
        command = [sys.executable, __file__, "--read", str(path), "--dask", str(a.dask)]
        got = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        print(f"summed in {got['seconds']:.1f} s, peak {got['peak']:.2f} GB, of which imports {got['imports']:.2f} GB")
        print("sums are those written" if got["same"] else "SUMS DIFFER")


if __name__ == "__main__":
    main()
