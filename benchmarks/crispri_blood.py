"""Links of a model of human blood judged by CRISPRi in K562, a line of blood cells: ``python benchmarks/crispri_blood.py``.

    pip install pyliftover
    python benchmarks/crispri_blood.py --chain hg19ToHg38.over.chain.gz --model blood_model

There is no K562 among the 11 types, so this asks for the least: whether links in HSC, the type that K562's leukaemia comes from, say
more of K562 than nearness does, and more than accessibility of the same regions in the same row. CD8 is there to be worse. The
model (trained as in blood.py, nothing left out; read from --model where that is) knows of K562 through its TF tracks alone.
Regions are carried to hg38 by the chain of UCSC; those that do not stay whole are left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from blood import load
from crispri import FILE
from mudata import MuData

import scget

ROWS = ["HSC", "CD8"]
SCORES = ["published", "gradient"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--chain", type=Path, required=True, help="hg19ToHg38.over.chain.gz of UCSC")
    parser.add_argument("--model", type=Path, help="folder of the model; made where it is missing")
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    mdata = load(args.data / "blood_hg19")
    model = trained(mdata, args)
    tested = pd.read_csv(args.data / "crispri_k562" / FILE, sep="\t")
    able = model.table().genes[np.unique(model.table().promoters.gene_n)].astype(str)
    genes = sorted(set(tested["measuredGeneSymbol"]) & set(able))
    print(f"{len(genes)} of {tested['measuredGeneSymbol'].nunique()} tested genes have a promoter region", flush=True)
    new = lifted(mdata["atac"].var, args.chain)
    print(f"{new.notna().mean():.1%} of the regions were carried to hg38", flush=True)
    links = {}
    for row in ROWS:
        for score in SCORES:
            found = model.links(genes=genes, rows=[row], score=score)
            links[f"{row}, {score}"] = found.assign(region=found["region"].map(new)).dropna(subset="region")
        links[f"{row}, accessibility x distance^-1.02"] = by_rule(found, mdata, row, new)
    table = scget.bm.crispri(links, tested, draw="genes")
    shown = table[["bin", "predictor", "auprc", "low", "high", "n", "n_positive", "n_missing"]]
    print(shown.round(3).to_string(index=False))


def trained(mdata: MuData, args: argparse.Namespace) -> scget.model.GET:
    scget.model.GET.setup_mudata(mdata)
    if args.model and args.model.exists():
        return scget.model.GET.load(args.model, mdata, accelerator="cpu")
    model = scget.model.GET(mdata, width=64, n_layers=2, n_heads=2, window=128, dropout=0.2)
    model.train(args.epochs, plan_kwargs={"lr": 1e-3}, enable_progress_bar=False)
    if args.model:
        model.save(args.model)
    return model


def lifted(regions: pd.DataFrame, chain: Path) -> pd.Series:
    """Names of regions in hg38, by their names in hg19; None where a region does not stay whole."""
    from pyliftover import LiftOver

    lift, names = LiftOver(str(chain)), []
    for chrom, start, end in regions[["chrom", "start", "end"]].itertuples(index=False):
        first, last = (lift.convert_coordinate(chrom, int(at)) for at in (start, end - 1))
        whole = first and last and first[0][0] == last[0][0] == chrom and last[0][1] - first[0][1] == end - 1 - start
        names.append(f"{chrom}:{first[0][1]}-{last[0][1] + 1}" if whole else None)
    return pd.Series(names, index=regions.index)


def by_rule(found: pd.DataFrame, mdata: MuData, row: str, new: pd.Series) -> pd.DataFrame:
    """The same pairs scored by what needs no model."""
    counts = pd.Series(mdata["atac"][row].X.toarray()[0], index=mdata["atac"].var_names)
    score = found["region"].map(counts) * found["distance"].abs().clip(lower=1000) ** -1.02
    return found.assign(score=score, region=found["region"].map(new)).dropna(subset="region")


if __name__ == "__main__":
    main()
