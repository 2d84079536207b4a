"""Planted sites destroyed one by one: what tl.variants says of genes within 30 kb, beside the planted effect.

Planted: -weight x openness x what the motif adds to its region, openness held as the model does. "simple": size of the
change of score x relative accessibility x exp(-distance / 10 kb); "signed": the same with its sign, times the correlation
of the motif's open sites with expression in the training rows.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import pandas as pd
from planted_truth import DECAY, REACH, Demo, motif_slopes

import scget
from scget.bm import auroc, pearson
from scget.datasets import _planted, _simulated
from scget.pp._regions import parse_regions

ACTS = 0.02  # log10(CPM + 1); planted effects below are called none


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sites", type=int, default=4000, help="drawn from all (%(default)s)")
    parser.add_argument("--snv", action="store_true", help="replace the middle base alone")
    parser.add_argument("--rows", nargs="+", default=["type02", "type10"])


def measure(demo: Demo, args: argparse.Namespace) -> None:
    truth = demo.truth
    sites = truth.sites.sample(min(args.sites, len(truth.sites)), random_state=0)
    start = time.perf_counter()
    found, motifs = scget.tl.variants(
        demo.pb,
        demo.model,
        alleles(sites, args.snv),
        genome=truth.genome,
        motifs=truth.motifs,
        rows=args.rows,
        reach=REACH,
    )
    seconds = time.perf_counter() - start
    planted_of = found.drop_duplicates("variant").set_index("variant")["id"].astype(str)
    own = motifs[motifs["motif"].astype(str) == motifs["variant"].map(planted_of)]
    print(f"{len(sites)} sites; own motif changes in {own['variant'].nunique()}, median {own['change'].median():.1f} bits; "
          f"{seconds:.0f} s; {found['scope'].value_counts().loc[lambda n: n > 0].to_dict()}")  # fmt: skip
    found = found[found["scope"].isin(["predicted", "closed"])].reset_index(drop=True)
    found = with_truth(demo, found.astype(dict.fromkeys(("region", "gene", "row", "id", "motif"), str)))
    unseen = found["chrom"].isin(demo.unseen_chroms)
    lines: dict[tuple[str, str], Any] = {}
    for chroms, of_chroms in (("trained", ~unseen), ("unseen", unseen)):
        for row in args.rows:
            known = "unseen" if row in demo.unseen_rows else "trained"
            lines[f"{row} ({known})", chroms] = judged(found[of_chroms & (found["row"] == row)])
    print(pd.DataFrame(lines).round(2).to_string(float_format="{:.5g}".format))


def alleles(sites: pd.DataFrame, snv: bool) -> pd.DataFrame:
    """Every base of a site replaced, or the middle one; the id names the planted motif."""
    if snv:
        middle = sites["sequence"].str.len() // 2
        bases = [text[at] for text, at in zip(sites["sequence"], middle, strict=True)]
        sites = sites.assign(start=sites["start"] + middle, sequence=bases)
    table = sites.rename(columns={"sequence": "ref", "motif": "id"}).assign(pos=sites["start"] + 1)
    table["alt"] = table["ref"].str.translate(str.maketrans("ACGT", "CATG"))
    return table[["chrom", "pos", "ref", "alt", "id"]]


def with_truth(demo: Demo, found: pd.DataFrame) -> pd.DataFrame:
    """With the planted effect, whether the motif acts anywhere, and the scores that need no model."""
    truth, rule = demo.truth, demo.rule
    regions = truth.openness.columns
    content = pd.crosstab(truth.sites["region"], truth.sites["motif"]).clip(upper=1)
    content = content.reindex(index=regions, columns=rule.names, fill_value=0)
    adds_pm = _simulated._SCALE * _planted.motif_effect(rule, content.to_numpy())
    p, m = regions.get_indexer(found["region"]), content.columns.get_indexer(found["id"])
    weight, distance = weights(demo, found)
    k = truth.openness.index.get_indexer(found["row"])
    found["planted"] = -weight * truth.openness.to_numpy()[k, p] * adds_pm[p, m]
    found["role"] = (adds_pm != 0).any(axis=0)[m]
    relative = demo.relative()
    near = relative.to_numpy()[relative.index.get_indexer(found["row"]), relative.columns.get_indexer(found["region"])]
    near = near * np.exp(-distance / DECAY)
    change = found["change"].fillna(0).to_numpy()
    found["simple"] = np.abs(change) * near
    found["signed"] = change * near * motif_slopes(demo).reindex(found["motif"]).fillna(0).to_numpy()
    return found


def weights(demo: Demo, found: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Planted weight of region and gene, and bp from the region's middle to the gene's nearest promoter.

    From distances, since ``truth.links`` holds no region whose motifs cancel out.
    """
    pairs = demo.pb["atac"].uns["peak_annotation"].astype({"gene": str, "region": str})
    tss = pairs.groupby("gene")["tss"].apply(np.asarray)
    center = parse_regions(found["region"].to_numpy()).centers
    distance = np.array([np.abs(tss[gene] - at).min() for gene, at in zip(found["gene"], center, strict=True)])
    promoter = pd.MultiIndex.from_frame(found[["gene", "region"]]).isin(
        pd.MultiIndex.from_frame(pairs[["gene", "region"]])
    )
    return np.where(promoter, 1.0, np.where(distance <= REACH, np.exp(-distance / DECAY), 0.0)), distance


def judged(found: pd.DataFrame) -> dict[str, float]:
    planted, acts = found["planted"].to_numpy(), found["planted"].abs().to_numpy() > ACTS
    scores = {name: found[name].to_numpy() for name in ("effect", "simple", "signed")}
    role = found["role"].to_numpy()
    line: dict[str, float] = {"lines": len(found), "acting": acts.sum()}
    for name, score in scores.items():
        line[f"decoys {name}"] = auroc(np.abs(score), role)
    sizes = np.abs(scores["effect"])
    line["ratio"] = sizes[role].mean() / sizes[~role].mean()
    for name, score in scores.items():
        line[f"r {name}"] = pearson(-score if name == "simple" else score, planted)
    for name, score in scores.items():
        line[f"acts {name}"] = auroc(np.abs(score), acts)
    for name in ("effect", "signed"):
        line[f"sign {name}"] = float((np.sign(scores[name][acts]) == np.sign(planted[acts])).mean())
    return line | {"commoner sign": float(max((planted[acts] < 0).mean(), (planted[acts] > 0).mean()))}
