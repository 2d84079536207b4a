"""What tl.motif_network takes and finds on a random linear graph of motifs: time, memory, and the planted edges.

    python benchmarks/motif_network.py --draws 5
    python benchmarks/motif_network.py --estimator ICALiNGAM --genes 2000

Each motif has Poisson(2) parents among those before it in a random order, weights of 0.2 to 0.6 of either sign, and Laplace
or exponential noise of variance 1. "found": share of planted edges in the graph, "reversed": share that is there the other
way round, "precision": share of the graph's edges that is planted. ``--estimator`` takes one of the lingam package
(``pip install "scget[network]"``) in the place of ours.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

import scget

PARENTS = 2  # of a motif, in the mean
ESTIMATORS = ("ICALiNGAM", "DirectLiNGAM", "HighDimDirectLiNGAM")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motifs", type=int, default=282)
    parser.add_argument("--genes", type=int, default=15_000)
    parser.add_argument(
        "--draws", type=int, default=0, help="bootstrap draws, beside the fit to all genes (%(default)s)"
    )
    parser.add_argument("--draw-genes", type=int, default=4000, help="in a draw (%(default)s)")
    parser.add_argument("--estimator", choices=ESTIMATORS, help="of the lingam package, in the place of ours")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    values_gm, planted_mm = random_graph(args.motifs, args.genes, args.seed)
    mdata, how = as_attributions(values_gm), {"n_draws": args.draws, "draw_genes": args.draw_genes, "seed": args.seed}
    estimator = made(args.estimator, args.seed)
    before, wall, cpu = peak(), time.perf_counter(), time.process_time()
    scget.tl.motif_network(mdata, row="T", **how, estimator=estimator)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{args.estimator or 'scget'}, {args.motifs} motifs x {args.genes:,} genes, {args.draws} draws: {cpu:.1f} s of CPU, "
          f"{wall:.1f} s; peak {peak():.2f} GB, {before:.2f} before")  # fmt: skip
    edges = mdata.uns["get"]["motif_network"]
    print({name: round(float(value), 3) for name, value in judged(edges, planted_mm).items()})


def random_graph(n_motifs: int, n_genes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Values, genes x motifs, and the planted weights, target x source."""
    rng = np.random.default_rng(seed)
    order_m = rng.permutation(n_motifs)
    weight_mm = np.zeros((n_motifs, n_motifs))
    for i in range(1, n_motifs):
        for j in rng.choice(i, min(i, rng.poisson(PARENTS)), replace=False):
            weight_mm[order_m[i], order_m[j]] = rng.choice([-1, 1]) * rng.uniform(0.2, 0.6)
    laplace_m, size = rng.random((1, n_motifs)) < 0.5, (n_genes, n_motifs)
    noise_gm = np.where(laplace_m, rng.laplace(size=size) / np.sqrt(2), rng.exponential(size=size) - 1)
    return np.linalg.solve(np.eye(n_motifs) - weight_mm, noise_gm.T).T, weight_mm


def as_attributions(values_gm: np.ndarray) -> MuData:
    """A MuData that looks as after tl.attribute, with one row."""
    rna = AnnData(np.zeros((1, len(values_gm)), dtype=np.float32), obs=pd.DataFrame(index=["T"]))
    rna.varm["get_motif_T"] = values_gm.astype(np.float32)
    rna.uns["get"] = {"motif_names": np.array([f"M{i}" for i in range(values_gm.shape[1])], dtype=object)}
    mdata = MuData({"rna": rna})
    mdata.uns["get"] = {"scget_version": scget.__version__}
    return mdata


def made(name: str | None, seed: int) -> Any:
    if name is None:
        return None
    import lingam

    return getattr(lingam, name)(random_state=seed)


def judged(edges: pd.DataFrame, planted_mm: np.ndarray) -> dict[str, float]:
    source, target = (edges[end].astype(str).str[1:].astype(int).to_numpy() for end in ("source", "target"))
    right, wrong_way = planted_mm[target, source] != 0, planted_mm[source, target] != 0
    n_planted = np.count_nonzero(planted_mm)
    line = {"planted": n_planted, "found": right.sum() / n_planted, "reversed": wrong_way.sum() / n_planted}
    line["precision"] = right.mean() if len(edges) else np.nan
    often = edges["frequency"].to_numpy()
    return line | {"least frequency of a planted edge": often[right].min(initial=np.inf)}


def peak() -> float:
    """Most memory of the process so far, GB (Linux counts it in kB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
