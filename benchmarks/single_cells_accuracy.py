"""Single cells, pools and metacells against the planted truth: python benchmarks/single_cells_accuracy.py demo-output/model

The model of ``python -m scget demo`` (seed 0), trained on nine types, is asked for the cells of the tenth. The truth is the
planted expression of that type, log10(CPM + 1). delta r: after subtracting the mean of the nine. Means over rows.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from _measure import about
from mudata import MuData
from sklearn.decomposition import TruncatedSVD

import scget


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="the demo's folder model")
    model = scget.model.GET.load(parser.parse_args().model, accelerator="cpu")
    warnings.simplefilter("ignore")
    print(about(), flush=True)
    truth = scget.datasets.simulated(seed=0)
    cells = truth.mdata
    scget.pp.motif_scores(cells, truth.genome, motifs=truth.motifs)
    scget.pp.promoters(cells, truth.annotation)
    unseen, chrom = str(model.holdout.obs[0]), str(model.holdout.chroms[0])
    annotation, var = cells["atac"].uns["peak_annotation"], cells["atac"].var
    there = annotation["gene"][annotation["region"].isin(var.index[var["chrom"].astype(str) == chrom])]
    never_g = truth.expression.columns.isin(there)
    known_g, mean_g = truth.expression.loc[unseen], truth.expression.drop(index=unseen).mean()
    lines = {"mean of the nine types": scores(mean_g.to_frame().T, known_g, 0 * mean_g, never_g, "r")}
    for name, rows in ways(cells, unseen).items():
        atac = MuData({"atac": rows["atac"]})
        scget.tl.predict(atac, model)
        told = atac["rna"].to_df(layer="get")[truth.expression.columns]
        line = {"rows": rows.n_obs, "open regions": rows["atac"].X.nnz / rows.n_obs}
        line |= scores(told, known_g, 0 * mean_g, never_g, "r")
        lines[name] = line | scores(told, known_g, mean_g, never_g, "delta r")
    print(pd.DataFrame(lines).T[list(lines["single cells"])].to_string(float_format="{:.2f}".format, na_rep=""))


def scores(
    told: pd.DataFrame, known_g: pd.Series, mean_g: pd.Series, never_g: np.ndarray, what: str
) -> dict[str, float]:
    """Correlation across genes, mean of the rows, of departures from ``mean_g``."""
    departure, known = (told - mean_g).T, known_g - mean_g
    parts = {"training chromosomes": ~never_g, "unseen chromosome": never_g}
    return {f"{what}, {name}": departure[genes].corrwith(known[genes]).mean() for name, genes in parts.items()}


def ways(cells: MuData, unseen: str) -> dict[str, MuData]:
    """Rows made of the cells of the unseen type; neighbours are taken from all types."""
    cells["atac"].obsm["X_lsi"] = latent(cells["atac"].X)
    here = (cells["atac"].obs["cell_type"].astype(str) == unseen).to_numpy()
    found = {"single cells": cells[here].copy()}
    for k in (10, 30):
        found[f"pools of {k}"] = scget.pp.pool_neighbors(cells, k - 1, use_rep="X_lsi")[here].copy()
    for k in (10, 30, 60):
        mine = cells[here].copy()
        mine["atac"].obs["metacell"] = [f"m{i // k}" for i in range(mine.n_obs)]
        found[f"metacells of {k}"] = scget.pp.pseudobulk(mine, "metacell")
    return found


def latent(counts: sp.csr_matrix, n: int = 10) -> np.ndarray:
    """TF-IDF and SVD, without the first component, which is depth."""
    total_c, cells_p = np.asarray(counts.sum(axis=1)).ravel(), np.maximum(counts.getnnz(axis=0), 1)
    weighed = sp.diags(1e4 / total_c) @ counts @ sp.diags(np.log1p(counts.shape[0] / cells_p))
    return TruncatedSVD(n + 1, random_state=0).fit_transform(weighed.log1p())[:, 1:]


if __name__ == "__main__":
    main()
