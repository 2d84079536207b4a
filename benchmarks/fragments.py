"""Counts from fragments: equality with others on a real file, and time and memory against the size of a made one.

python benchmarks/fragments.py ../shared/data/fixtures
python benchmarks/fragments.py --sizes 1000000 4000000 --others
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

CHROM_LENGTHS = {f"chr{i}": 250_000_000 - 9_000_000 * (i - 1) for i in range(1, 23)}
COLUMNS = ["chrom", "start", "end"]


def make(path: Path, n: int, n_regions: int, n_cells: int) -> None:
    """Write fragments sorted by position, 40% of them at a region, and beside them regions and barcodes."""
    rng = np.random.default_rng(0)
    share = np.array(list(CHROM_LENGTHS.values())) / sum(CHROM_LENGTHS.values())
    cells = np.array([f"{''.join(one)}-1" for one in rng.choice(list("ACGT"), (n_cells, 16))])
    regions = []
    with gzip.open(path, "wt", compresslevel=4) as file:
        for (chrom, length), part in zip(CHROM_LENGTHS.items(), share, strict=True):
            starts = np.unique(rng.integers(1000, length - 1000, int(n_regions * part)))
            regions.append(pd.DataFrame({"chrom": chrom, "start": starts, "end": starts + 500}))
            at = rng.integers(0, length - 1000, int(n * part))
            near = rng.random(len(at)) < 0.4
            at[near] = rng.choice(starts, near.sum()) + rng.integers(-100, 500, near.sum())
            at.sort()
            table = {"chrom": chrom, "start": at, "end": at + rng.integers(30, 600, len(at))}
            barcodes = cells[rng.integers(0, n_cells, len(at))]
            pd.DataFrame(table).assign(barcode=barcodes, n=1).to_csv(file, sep="\t", header=False, index=False)
    pd.concat(regions).to_csv(path.with_suffix(".bed"), sep="\t", header=False, index=False)
    path.with_suffix(".txt").write_text("\n".join(dict.fromkeys(cells)))


def read_beside(path: Path) -> tuple[pd.DataFrame, list[str]]:
    regions = pd.read_csv(path.with_suffix(".bed"), sep="\t", header=None, names=COLUMNS)
    return regions, path.with_suffix(".txt").read_text().split()


def count(path: Path, tool: str) -> dict:
    """Count in this process, which does nothing else, and give seconds and the peak of memory."""
    regions, cells = read_beside(path)
    names = (regions["chrom"] + ":" + regions["start"].astype(str) + "-" + regions["end"].astype(str)).tolist()
    if tool == "scget":
        from scget import pp

        begin = time.perf_counter()
        total = pp.count_fragments(path, regions, barcodes=cells).X.sum(dtype=np.float64)
    else:
        import snapatac2

        begin = time.perf_counter()
        data = snapatac2.pp.import_fragments(
            path, chrom_sizes=CHROM_LENGTHS, sorted_by_barcode=False, min_num_fragments=0, whitelist=cells, n_jobs=1
        )
        total = snapatac2.pp.make_peak_matrix(data, use_rep=names, counting_strategy="fragment").X.sum()
    seconds = time.perf_counter() - begin
    return {"seconds": seconds, "total": int(total), "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3}


def compare_sizes(sizes: list[int], n_regions: int, n_cells: int, tools: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for n in sizes:
            path = Path(folder) / f"{n}.tsv.gz"
            make(path, n, n_regions, n_cells)
            for tool in tools:
                run = [sys.executable, __file__, "--count", str(path), tool]
                got = json.loads(subprocess.run(run, check=True, stdout=subprocess.PIPE).stdout)
                print(
                    f"| {tool} | {n:,} | {path.stat().st_size / 1e6:.0f} | {got['seconds']:.1f} | "
                    f"{n / got['seconds'] / 1e6:.2f} | {got['mb']:,.0f} | {got['total']:,} |",
                    flush=True,
                )
            path.unlink()


def compare_fixture(folder: Path) -> None:
    """Entries that differ from Cell Ranger's in the regions within 5 kb of a gene, which the file covers."""
    from mudata import read_h5mu

    from scget import pp

    warnings.simplefilter("ignore")
    mdata = read_h5mu(folder / "test_rna_atac.h5mu")
    atac, span = mdata["atac"], r"(.*):(\d+)-(\d+)"
    genes = mdata["rna"].var["interval"].astype(str).str.extract(span).astype({1: int, 2: int})
    spans = atac.var_names.to_series().str.extract(span).astype({1: int, 2: int})
    rows = spans.itertuples(index=False)
    near = [((genes[0] == c) & (genes[1] - 5000 <= s) & (e <= genes[2] + 5000)).any() for c, s, e in rows]
    theirs = atac[:, near].X.toarray()
    for rule in ("fragments", "paired-insertions", "insertions"):
        begin = time.perf_counter()
        path = folder / "test_rna_atac_fragments.tsv.gz"
        counts = pp.count_fragments(path, atac[:, near], barcodes=atac, count=rule).X.toarray()
        seconds, either = time.perf_counter() - begin, int(((counts > 0) | (theirs > 0)).sum())
        unlike, half = int((counts != theirs).sum()), int((counts != np.ceil(theirs / 2)).sum())
        print(f"| {rule} | {int(counts.sum()):,} | {either:,} | {unlike:,} | {half:,} | {seconds:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fixtures", nargs="?", type=Path)
    parser.add_argument("--sizes", nargs="*", type=int, default=[])
    parser.add_argument("--regions", type=int, default=150_000)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--others", action="store_true", help="SnapATAC2 too, where it is installed")
    parser.add_argument("--count", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.count:
        print(json.dumps(count(Path(args.count[0]), args.count[1])))
        return
    if args.fixtures:
        compare_fixture(args.fixtures)
    compare_sizes(args.sizes, args.regions, args.cells, ["scget", "snapatac2"] if args.others else ["scget"])


if __name__ == "__main__":
    main()
