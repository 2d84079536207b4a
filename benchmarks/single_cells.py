"""What it costs to predict all genes of single cells, and what cheaper ways there are: python benchmarks/single_cells.py

Simulated cells like those of a 10x multiome: types that differ in which regions are open, counts drawn by fragment. A network
of 64 x 2 after one step of training (time does not hang on weights), one core, CPU seconds. Each way is timed on some rows
and reckoned to all cells; the network of published size is reckoned by its CPU seconds per window, a GPU by windows per
second (``--per-window``, ``--gpu``). The other side of the trade is in single_cells_accuracy.py.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import mudata
import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from _measure import about, in_process, medians, peak_memory
from anndata import AnnData
from mudata import MuData

import scget
from scget.data import lay_tokens, prediction_windows
from scget.model._setup import read_tables

if TYPE_CHECKING:
    from scget.model import GET

WINDOW, FULL_WINDOW = 128, 200  # regions: of the small network, of the one of published size
POOLS = (10, 30, 100)


class Size(NamedTuple):
    cells: int = 10_000
    regions: int = 100_000
    genes: int = 20_000
    fragments: int = 8_000  # mean of a cell
    types: int = 10
    motifs: int = 282


QUICK = Size(regions=6_000, genes=1_200, fragments=480)


class Way(NamedTuple):
    """Rows to time, and how many cells one row stands for."""

    rows: MuData
    cells_per_row: float
    closed: str = "promoters"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in Size()._asdict().items():
        parser.add_argument(f"--{name}", type=int, default=value, help="(%(default)s)")
    parser.add_argument("--sample", type=int, default=8, help="rows of each way that are timed (%(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each way (%(default)s)")
    parser.add_argument("--compared", type=int, default=1_000, help="cells whose windows are compared (%(default)s)")
    parser.add_argument(
        "--per-window", type=float, default=0.298, help="CPU s, published size (%(default)s, settings.py)"
    )
    parser.add_argument("--gpu", type=float, default=12_000, help="windows per second, published size (%(default)s)")
    parser.add_argument("--one", nargs=2, type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if args.one:
        predict_file(*args.one)
        return
    print(about(), flush=True)
    size = Size(*(getattr(args, name) for name in Size._fields))
    cells = simulated(size, max(args.compared, least_cells(size)))
    print(f"{cells.n_obs:,} of {size.cells:,} cells made; {open_regions(cells):,.0f} open regions each", flush=True)
    model = trained(cells)
    print(shared(cells, model, args.compared), flush=True)
    print(table(ways(cells, args.sample), model, size, args).to_string(), flush=True)


def ratios(quick: bool = False) -> dict[str, float]:
    """For the guard: CPU time per cell of single cells over that of metacells, and of pools, per row."""
    warnings.simplefilter("ignore")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    size = QUICK if quick else Size()
    cells = simulated(size, least_cells(size))
    found = ways(cells, 4, [30])
    names = ["single cells", "metacells of 30", "pools of 30"]
    seconds = seconds_per_row({name: found[name] for name in names}, trained(cells), 3 if quick else 5)
    torch.set_num_threads(threads)
    single = seconds["single cells"]
    return {
        "single cells over metacells of 30, per cell": 30 * single / seconds["metacells of 30"],
        "single cells over pools of 30": single / seconds["pools of 30"],
    }


def least_cells(size: Size) -> int:
    """So many that the largest pool lies within a type."""
    return max(POOLS) * size.types


def simulated(size: Size, n_cells: int, seed: int = 0) -> MuData:
    """Cells x regions, sparse; a fifth of the regions hold promoters and are four times as open, types differ twofold."""
    rng = np.random.default_rng(seed)
    chrom = np.sort(rng.integers(1, 23, size.regions))
    start = np.arange(size.regions) * 20_000
    var = pd.DataFrame({"chrom": [f"chr{c}" for c in chrom], "start": start, "end": start + 500})
    var.index = [f"{c}:{s}-{e}" for c, s, e in var.itertuples(index=False)]
    at = np.sort(rng.choice(size.regions, size.genes, replace=False))
    rate_p = rng.lognormal(0, 1, size.regions)
    rate_p[at] *= 4
    rate_kp = rate_p * rng.lognormal(0, 0.7, (size.types, size.regions))
    upto_kp = np.cumsum(rate_kp, axis=1) / rate_kp.sum(axis=1, keepdims=True)
    type_c = np.arange(n_cells) % size.types
    depth_c = rng.poisson(size.fragments * rng.lognormal(-0.08, 0.4, n_cells)) + 1
    column = [
        np.minimum(np.searchsorted(upto_kp[k], rng.random(n)), size.regions - 1)
        for k, n in zip(type_c, depth_c, strict=True)
    ]
    ones = np.ones(depth_c.sum(), dtype=np.float32)
    counts = sp.csr_matrix((ones, np.concatenate(column), np.r_[0, np.cumsum(depth_c)]), (n_cells, size.regions))
    counts.sum_duplicates()
    obs = pd.DataFrame({"type": [f"type{k}" for k in type_c]}, index=[f"cell{c}" for c in range(n_cells)])
    atac = AnnData(counts, obs=obs, var=var)
    place = np.eye(size.types)[type_c] + rng.normal(0, 0.05, (n_cells, size.types))
    atac.obsm["X_lsi"] = place.astype(np.float32)  # stands in for LSI: neighbours are of one type
    scores = sp.random(size.regions, size.motifs, density=0.05, format="csr", rng=rng, dtype=np.float32)
    atac.varm["motif_scores"] = scores
    atac.uns["motif_names"] = np.array([f"M{m}" for m in range(size.motifs)], dtype=object)
    genes = [f"G{g}" for g in range(size.genes)]
    promoters = {"region": var.index[at], "gene": genes, "strand": "+", "tss": start[at] + 250, "distance": 0}
    atac.uns["peak_annotation"] = pd.DataFrame(promoters, index=[str(g) for g in range(size.genes)])
    return MuData({"atac": atac})


def trained(cells: MuData) -> GET:
    """A small network after one step on the types, with random expression."""
    rows = scget.pp.pseudobulk(cells, "type")
    genes = rows["atac"].uns["peak_annotation"]["gene"]
    counts = np.random.default_rng(0).poisson(20, (rows.n_obs, len(genes))).astype(np.float32)
    pb = MuData(
        {"rna": AnnData(counts, obs=rows["atac"].obs[[]].copy(), var=pd.DataFrame(index=genes)), "atac": rows["atac"]}
    )
    scget.model.GET.setup_mudata(pb)
    model = scget.model.GET(pb, width=64, n_layers=2, n_heads=4, window=WINDOW)
    model.train(1, limit_train_batches=1, batch_size=8, enable_progress_bar=False, accelerator="cpu")
    return model


def ways(cells: MuData, n: int, sizes: Sequence[int] = POOLS) -> dict[str, Way]:
    """Rows of each way, ``n`` to be timed or as many as there are."""
    atac = cells["atac"]
    few = atac.obs_names[:: max(atac.n_obs // n, 1)][:n]
    found = {
        "single cells": Way(cells[few].copy(), 1),
        "single cells, open regions only": Way(cells[few].copy(), 1, "drop"),
    }
    for k in sizes:
        pools = scget.pp.pool_neighbors(cells, k - 1, use_rep="X_lsi")
        found[f"pools of {k}"] = Way(pools[few].copy(), 1)
    for k in sizes:
        nth = atac.obs.groupby("type").cumcount() // k
        atac.obs["metacell"] = atac.obs["type"] + "_" + nth.astype(str)
        rows = scget.pp.pseudobulk(cells[(nth < max(n // 5, 1)).to_numpy()].copy(), "metacell", min_cells=k)
        found[f"metacells of {k}"] = Way(rows[rows.obs_names[:n]].copy(), k)
    return found


def table(found: dict[str, Way], model: GET, size: Size, args: argparse.Namespace) -> pd.DataFrame:
    """What each way costs for all cells; all but windows per row, memory and CPU seconds per 1,000 cells is reckoned."""
    timed = {name: way for name, way in found.items() if way.closed == model.closed}
    seconds = seconds_per_row(timed, model, args.repeats)
    folder = Path(tempfile.mkdtemp())
    model.save(folder / "model")
    lines = {}
    for name, way in found.items():
        rows = size.cells / way.cells_per_row
        windows, full = (windows_per_row(way, model, window) for window in (WINDOW, FULL_WINDOW))
        line = {"rows": rows, "open regions": open_regions(way.rows), "windows per row": windows}
        line["windows, million"] = rows * windows / 1e6
        if name in seconds:
            line["CPU s per 1,000 cells"] = seconds[name] * 1_000 / way.cells_per_row
            line["all cells, CPU h"] = seconds[name] * rows / 3_600
            way.rows.write_h5mu(folder / "rows.h5mu")
            line["peak memory, GB"] = float(in_process(__file__, "--one", folder / "model", folder / "rows.h5mu")[-1])
        line["published size, CPU days"] = rows * full * args.per_window / 86_400
        line["published size, GPU min"] = rows * full / args.gpu / 60
        line["counts of all rows, GB"] = rows * line["open regions"] * 8 / 1e9
        lines[name] = {key: f"{value:,.{2 if value < 10 else 0}f}" for key, value in line.items()}
    return pd.DataFrame(lines).T.fillna("")


def seconds_per_row(timed: dict[str, Way], model: GET, repeats: int) -> dict[str, float]:
    """CPU seconds that one more row costs: of all rows less of one, so that reading the regions is in neither."""

    def runs(way: Way, n: int) -> Callable[[], object]:
        rows = way.rows[way.rows.obs_names[:n]].copy()
        return lambda: scget.tl.predict(rows, model, copy=True)

    calls = {(name, n): runs(way, n) for name, way in timed.items() for n in (1, way.rows.n_obs)}
    seconds = medians(calls, repeats, clock=time.process_time)
    return {
        name: (seconds[name, way.rows.n_obs] - seconds[name, 1]) / (way.rows.n_obs - 1) for name, way in timed.items()
    }


def windows_per_row(way: Way, model: GET, window: int) -> float:
    """Windows read of each row, mean."""
    found = 0
    for tab in read_tables(model, way.rows):
        every_p = np.ones(len(tab.regions), dtype=bool)
        row_k = np.arange(len(tab.rows))
        tokens = lay_tokens(tab.counts_kp, tab.is_promoter_p, tab.chrom_p, row_k, every_p, closed=way.closed)
        found += len(prediction_windows(tokens, window, tab.is_promoter_p))
    return found / way.rows.n_obs


def open_regions(rows: MuData) -> float:
    """Regions with a count, mean of the rows."""
    return rows["atac"].X.nnz / rows.n_obs


def shared(cells: MuData, model: GET, n: int) -> str:
    """How many windows of single cells say the same as one of another cell: what computing each but once would save."""
    seen: dict[str, set[bytes]] = {"regions": set(), "regions and which are open": set(), "all features": set()}
    total = blank = 0
    for tab in read_tables(model, cells[cells.obs_names[:n]].copy(), 50):
        every_p = np.ones(len(tab.regions), dtype=bool)
        row_k = np.arange(len(tab.rows))
        tokens = lay_tokens(tab.counts_kp, tab.is_promoter_p, tab.chrom_p, row_k, every_p, closed=model.closed)
        windows = prediction_windows(tokens, model.window, tab.is_promoter_p)
        region_wr, row_w = windows.regions(), windows.row_w[:, None]
        open_wr = (tab.counts_kp[row_w, region_wr] > 0) & (region_wr >= 0)
        feature_wrc = model.scaling.channels(tab)[row_w, region_wr]
        for region_r, open_r, feature_rc in zip(region_wr, open_wr, feature_wrc, strict=True):
            seen["regions"].add(_digest(region_r))
            seen["regions and which are open"].add(_digest(region_r, open_r))
            seen["all features"].add(_digest(region_r, feature_rc))
        total, blank = total + len(windows), blank + int((~open_wr.any(axis=1)).sum())
    equal = "; ".join(
        f"{what} {total - len(made):,} ({(total - len(made)) / total:.2%})" for what, made in seen.items()
    )
    return f"{total:,} windows of {n:,} cells, without any open region {blank:,}; equal to an earlier one in: {equal}"


def _digest(*arrays: np.ndarray) -> bytes:
    return hashlib.blake2b(b"".join(array.tobytes() for array in arrays), digest_size=12).digest()


def predict_file(folder: Path, file: Path) -> None:
    """Predict the rows of a file, and print the peak memory of doing so."""
    scget.tl.predict(mudata.read_h5mu(file), scget.model.GET.load(folder, accelerator="cpu"))
    print(peak_memory())


if __name__ == "__main__":
    main()
