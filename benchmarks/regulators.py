"""Regulators of each cell type against the planted rule, beside what needs no model.

python -m scget demo --out demo && python benchmarks/regulators.py demo; another seed: --seed in both. Printed are the AUROC of
the motifs that act in a type against the others, by absolute value, and r with what a motif adds beyond the mean over types.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path

import mudata
import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge

import scget
from scget.bm import auroc, pearson

DECAY, REACH = 10_000, 30_000  # bp; as the planted rule has them, told to the baselines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path, help="folder that python -m scget demo wrote")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--unseen", default="type10")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    pb = mudata.read_h5mu(args.demo / "demo.h5mu")
    model = scget.model.GET.load(args.demo / "model", pb, accelerator="cpu")
    with tempfile.TemporaryDirectory() as folder:
        truth = scget.datasets.simulated(folder, seed=args.seed)
    scget.tl.attribute(pb, model, top=1, batch_size=64)
    scget.tl.regulators(pb)
    motifs = pb["atac"].uns["motif_names"].astype(str)
    lines = []
    for row, scores in of_rows(pb, motifs).items():
        planted = truth.motif_effects.loc[row].reindex(motifs).to_numpy()
        for name, values in scores.items():
            lines.append((name, row, auroc(np.abs(values), np.abs(planted) > 1e-9), pearson(values, planted)))
    table = pd.DataFrame(lines, columns=["score", "row", "AUROC", "r"])
    unseen = table[table["row"] == args.unseen].set_index("score")[["AUROC", "r"]]
    mean = table.groupby("score", sort=False)[["AUROC", "r"]].mean()
    print(pd.concat({args.unseen: unseen, "mean of all": mean}, axis=1).round(2).to_string())


def of_rows(pb: mudata.MuData, motifs: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Row to scores of motifs by name."""
    found, rows = pb.uns["get"]["regulators"], list(pb["rna"].obs_names)
    weight_gp, genes = weights(pb["atac"])
    score_pm = pb["atac"].varm["motif_scores"].toarray()
    score_pm = score_pm / score_pm.max(axis=0)
    counts_kp = pb["atac"].to_df().to_numpy()
    open_kp = np.log1p(counts_kp / counts_kp.mean(axis=1, keepdims=True))
    near_kgm = np.stack([(weight_gp * open_p) @ score_pm for open_p in open_kp])
    counts_kg = pb["rna"].to_df().to_numpy()
    expression_kg = np.log10(counts_kg / counts_kg.sum(axis=1, keepdims=True) * 1e6 + 1)
    expression_kg = expression_kg[:, pb["rna"].var_names.get_indexer(genes)]
    scores = {}
    for k, row in enumerate(rows):
        others = np.arange(len(rows)) != k
        mine = found[found["row"] == row].drop_duplicates("motif").set_index("motif").reindex(motifs)
        ours = {name: mine[name].to_numpy() for name in ("effect", "specific", "apart")}
        fold_p = open_kp[k] - open_kp[others].mean(axis=0)
        near, change = near_kgm - near_kgm[others].mean(axis=0), expression_kg - expression_kg[others].mean(axis=0)
        own = Ridge(alpha=1).fit(near[k], change[k])
        learnt = Ridge(alpha=1).fit(near[others].reshape(-1, len(motifs)), change[others].ravel())
        scores[row] = ours | {
            "accessibility fold of regions with the motif": np.array([pearson(fold_p, s) for s in score_pm.T]),
            "own RNA with open motifs near genes": np.array([pearson(change[k], x) for x in near_kgm[k].T]),
            "ridge on open motifs, other types": learnt.coef_ * near[k].mean(axis=0),
            "ridge on open motifs, own RNA": own.coef_ * near[k].mean(axis=0),
        }
    return scores


def weights(atac: mudata.AnnData) -> tuple[np.ndarray, np.ndarray]:
    """Fall of the planted effect with the distance from the nearest promoter, genes x regions; and the genes."""
    pairs, var = atac.uns["peak_annotation"], atac.var
    genes, gene_n = np.unique(pairs["gene"].astype(str), return_inverse=True)
    center_p = ((var["start"] + var["end"]) // 2).to_numpy()
    weight_gp = np.zeros((len(genes), len(var)))
    for gene, region, tss in zip(gene_n, pairs["region"], pairs["tss"], strict=True):
        far_p = np.abs(center_p - tss)
        near_p = (var["chrom"] == var["chrom"][region]).to_numpy() & (far_p <= REACH)
        weight_gp[gene] = np.maximum(weight_gp[gene], np.where(near_p, np.exp(-far_p / DECAY), 0))
    return weight_gp, genes


if __name__ == "__main__":
    main()
