"""Time to read regions and to carry counts to other regions: ``python benchmarks/regions.py [regions] [cells]``."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy.sparse import random_array

import scget


def main(n_regions: int = 100_000, n_cells: int = 1_000) -> None:
    rng = np.random.default_rng(0)
    start = 1_000 * np.arange(n_regions, dtype=np.int64) + rng.integers(0, 400, n_regions)
    bed = pd.DataFrame({"chrom": "chr1", "start": start, "end": start + 500})
    counts = random_array((n_cells, n_regions), density=0.05, format="csr", dtype=np.float32, rng=rng)
    counts.data[:] = 1
    names = "chr1:" + (start + 150).astype(str).astype(object) + "-" + (start + 1000).astype(str).astype(object)
    mdata = MuData({"atac": AnnData(counts, var=pd.DataFrame(index=names))})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.bed"
        bed.to_csv(path, sep="\t", header=False, index=False)
        at = time.perf_counter()
        table = scget.pp.read_regions(path)
    print(f"read_regions: {n_regions:,} regions in {time.perf_counter() - at:.1f} s")
    at = time.perf_counter()
    matched = scget.pp.match_regions(mdata, table)["atac"].uns["matched"]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"match_regions: {n_cells:,} cells, {counts.nnz:,} counts in {time.perf_counter() - at:.1f} s, {memory:.1f} GB at most"
    )
    print(matched)


if __name__ == "__main__":
    main(*(int(n) for n in sys.argv[1:]))
