"""Pairs of motifs that act together, by tl.motif_pairs and tl.motif_network: AUROC of the planted ones among all.

Beside them, without a model: how often two motifs share a region, as a count and by what chance would give; the correlation
of their scores over regions; ridge with products of motifs on the planted links, over the training rows. Then the sign of
the planted pairs: planted effect x departure of openness from that of training rows, summed over links, and the mean found.
"""

from __future__ import annotations

import argparse
import itertools
import time

import numpy as np
import pandas as pd
import scipy.sparse as sp
from planted_truth import DECAY, Demo
from sklearn.linear_model import RidgeCV

import scget
from scget.bm import auroc


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--row", help="(the row never seen)")
    parser.add_argument("--genes", type=int, default=200, help="drawn (%(default)s)")
    parser.add_argument("--genes-seed", type=int, default=0, help="of the draw (%(default)s)")
    parser.add_argument("--method", choices=("slopes", "difference"), default="slopes")
    parser.add_argument("--draws", type=int, default=20, help="of the causal graph (%(default)s)")


def measure(demo: Demo, args: argparse.Namespace) -> None:
    pb, row = demo.pb, args.row or demo.unseen_rows[0]
    begin = time.perf_counter()
    how = {"rows": [row], "method": args.method, "n_genes": args.genes, "seed": args.genes_seed}
    scget.tl.motif_pairs(pb, demo.model, **how)
    print(f"{row}, {args.genes} genes, {args.method}: {time.perf_counter() - begin:.0f} s of tl.motif_pairs")
    names = list(itertools.combinations(demo.motifs, 2))
    planted = keys(demo.truth.motif_pairs[["motif_a", "motif_b"]])
    acts = np.array([frozenset(pair) in set(planted) for pair in names])
    found = pb.uns["get"]["motif_pairs"]
    found = found.set_index(keys(found[["motif_a", "motif_b"]])).loc[[frozenset(pair) for pair in names]]
    scores = of_interactions(demo, found) | of_attributions(demo, row, args.draws) | without_model(demo)
    table = pd.Series({name: auroc(np.asarray(score), acts) for name, score in scores.items()}, name="AUROC")
    print(f"{acts.sum()} planted among {len(acts)}\n{table.round(3).to_string()}")
    print(signs(demo, row, found).round(4).to_string(index=False))


def keys(pairs: pd.DataFrame) -> pd.Index:
    """Pairs of names without an order."""
    sets = [frozenset(pair) for pair in pairs.astype(str).itertuples(index=False, name=None)]
    return pd.Index(sets, tupleize_cols=False)


def of_interactions(demo: Demo, found: pd.DataFrame) -> dict[str, np.ndarray]:
    rms, mean = found["rms"].to_numpy(), found["mean"].abs().to_numpy()
    both = np.maximum(held(demo)[0], 1)
    return {
        "motif_pairs, rms": rms,
        "motif_pairs, absolute mean": mean,
        "motif_pairs, rms by root of regions with both": rms / np.sqrt(both),
        "motif_pairs, absolute mean by region with both": mean / both,
    }


def of_attributions(demo: Demo, row: str, n_draws: int) -> dict[str, np.ndarray]:
    """The causal graph, and the plain correlation of what it reads."""
    pb = demo.pb
    if f"get_motif_{row}" not in pb["rna"].varm:
        scget.tl.attribute(pb, demo.model, rows=[row], top=1)
    begin = time.perf_counter()
    scget.tl.motif_network(pb, row=row, n_draws=n_draws)
    print(f"{time.perf_counter() - begin:.0f} s of tl.motif_network, {n_draws} draws")
    edges = pb.uns["get"]["motif_network"]
    edges = edges[edges["row"].astype(str) == row]
    weight = dict(
        zip(keys(edges[["source", "target"]]), edges["weight"].abs() * edges["frequency"].fillna(1), strict=True)
    )
    values = pb["rna"].varm[f"get_motif_{row}"]
    alike_mm = np.abs(np.corrcoef(values[np.isfinite(values).all(axis=1)].T))
    pairs = itertools.combinations(demo.motifs, 2)
    return {
        "motif_network, weight x frequency": np.array([weight.get(frozenset(pair), 0.0) for pair in pairs]),
        "correlation of attributions": alike_mm[np.triu_indices_from(alike_mm, 1)],
    }


def without_model(demo: Demo) -> dict[str, np.ndarray]:
    both, chance = held(demo)
    scores = demo.pb["atac"].varm["motif_scores"].toarray()
    alike_mm = np.abs(np.corrcoef(scores.T))
    return {
        "regions with both": both,
        "regions with both by chance's": both / chance,
        "correlation of motif scores": alike_mm[np.triu_indices_from(alike_mm, 1)],
        "ridge with products, planted links": products(demo),
    }


def held(demo: Demo) -> tuple[np.ndarray, np.ndarray]:
    """How many regions hold both motifs, and how many would by chance, over pairs."""
    has_pm = demo.has_pm
    a, b = np.triu_indices(has_pm.shape[1], 1)
    share_m = has_pm.mean(axis=0)
    return (has_pm.T @ has_pm)[a, b], share_m[a] * share_m[b] * len(has_pm)


def products(demo: Demo) -> np.ndarray:
    """Size of the standardised coefficients of motif x motif in ridge: sums over links of exp(-distance) x departure."""
    relative, has_pm, departs = demo.relative().drop(index=demo.unseen_rows), demo.has_pm, demo.departures()
    opened_kp = (relative - relative.mean()).to_numpy()
    a, b = np.triu_indices(has_pm.shape[1], 1)
    feature_pf = np.hstack([has_pm, has_pm[:, a] * has_pm[:, b]])
    links = demo.truth.links
    genes = pd.Index(links["gene"].unique())
    at = (genes.get_indexer(links["gene"]), relative.columns.get_indexer(links["region"]))
    near_gp = sp.csr_matrix((np.exp(-links["distance"] / DECAY), at), shape=(len(genes), len(has_pm)))
    x = np.vstack([near_gp @ (feature_pf * opened_p[:, None]) for opened_p in opened_kp])
    y = departs.loc[relative.index, genes].to_numpy().ravel()
    fitted = RidgeCV(np.logspace(0, 5, 11)).fit(x / (x.std(axis=0) + 1e-9), y)
    return np.abs(fitted.coef_[has_pm.shape[1] :])


def signs(demo: Demo, row: str, found: pd.DataFrame) -> pd.DataFrame:
    truth = demo.truth
    departs = truth.openness.loc[row] - truth.openness.drop(index=demo.unseen_rows).mean()
    motifs = truth.sites.groupby("region")["motif"].agg(set)
    lines = truth.motif_pairs.copy()
    for i, pair in lines.iterrows():
        both = motifs.index[[{pair["motif_a"], pair["motif_b"]} <= here for here in motifs]]
        links = truth.links[truth.links["region"].isin(both)]
        lines.loc[i, "planted sum"] = (links["weight"] * departs.reindex(links["region"]).to_numpy()).sum() * pair[
            "effect"
        ]
        lines.loc[i, "mean found"] = found["mean"][frozenset((pair["motif_a"], pair["motif_b"]))]
    return lines
