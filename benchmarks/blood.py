"""Human blood cell types and lineages left out in turn, with three chromosomes aside; tables beside all baselines.

    python benchmarks/blood.py --out scores                    # 11 types, then 3 lineages
    python benchmarks/blood.py --out scores --only Mono NK     # some of these splits
    python benchmarks/blood.py --out scores --rows 3 6 --depth 0.1 0.3 --only Mono

Data: 11 types, 451,283 regions, hg19 (GSE119453, GSE74912, GSE74246); overlap with 274 ENCODE TF tracks stands in for
motif scores. Each split is kept in the folder as it is done, so that the call may be repeated, and several may run at
once on different splits. Nothing was chosen on the types left out (see benchmarks/README.md for what was tried).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

import scget
from scget.bm import Split
from scget.bm._baselines import KNOWS_ALL_GENES

HELD_CHROMS = ["chr10", "chr14", "chr19"]
LINEAGES = {
    "T/NK": ["CD8", "NK"],
    "myeloid": ["Mono", "GMP-A", "GMP-B", "GMP-C", "pDC"],
    "progenitors": ["HSC", "MPP", "LMPP", "CLP"],
}
ASKED = [
    ("rows", "pearson"),
    ("rows", "delta_pearson"),
    ("both", "pearson"),
    ("both", "delta_pearson"),
    ("both", "change_pearson"),
]
METRICS = [
    "pearson",
    "spearman",
    "r2",
    "delta_pearson",
    "delta_spearman",
    "change_pearson",
    "delta_auroc",
    "coverage_80",
]
PREDICTORS = [name for name in scget.bm.BASELINES if name != "mlp_per_region"]  # the weakest of all
SIZE = ("width", "n_layers", "window", "dropout", "seed")


def load(folder: Path) -> MuData:
    """Rows are cell types; raw counts; TF binding as motif scores; promoters from the table of TSS."""
    rna_counts = pd.read_csv(folder / "rna_counts.tsv.gz", sep="\t", index_col=0)
    regions = pd.read_csv(folder / "regions.bed.gz", sep="\t", header=None, names=["chrom", "start", "end"])
    regions.index = [f"{c}:{s}-{e}" for c, s, e in regions.itertuples(index=False)]
    obs = pd.DataFrame(index=rna_counts.columns)
    atac = AnnData(sp.load_npz(folder / "atac_counts.npz").astype(np.float32), obs=obs.copy(), var=regions)
    atac.varm["motif_scores"] = sp.csr_matrix(sp.load_npz(folder / "tf_binding.npz").astype(np.float32))
    atac.uns["motif_names"] = _track_names((folder / "tf_binding.names.txt").read_text().split())
    var = pd.DataFrame(index=rna_counts.index.astype(str))
    rna = AnnData(sp.csr_matrix(rna_counts.to_numpy().T.astype(np.float32)), obs=obs.copy(), var=var)
    mdata = MuData({"atac": atac, "rna": rna})
    scget.pp.promoters(mdata, folder / "tss.tsv.gz")
    return mdata


def _track_names(paths: list[str]) -> np.ndarray:
    """``K562|wgEncodeAwgTfbsBroadK562Chd1a301218aUniPk.narrowPeak.gz`` to ``K562 BroadK562Chd1a301218a``."""
    short = [p.replace("wgEncodeAwgTfbs", "").replace("UniPk.narrowPeak.gz", "").replace("|", " ") for p in paths]
    return np.array(short, dtype=object)


def thinned(mdata: MuData, share: float, seed: int) -> MuData:
    """Each ATAC count kept with probability ``share``."""
    atac = mdata["atac"].copy()
    counts = atac.X.tocsr(copy=True)
    counts.data = np.random.default_rng(seed).binomial(counts.data.astype(int), share).astype(np.float32)
    counts.eliminate_zeros()
    atac.X = counts
    return MuData({"atac": atac, "rna": mdata["rna"]})


def fewer_rows(mdata: MuData, split: Split, n: int, seed: int) -> MuData:
    """The rows left out and ``n`` of the others, drawn."""
    rows = [row for row in mdata["atac"].obs_names if row not in split.obs]
    drawn = np.random.default_rng(seed).permutation(rows)[:n]
    keep = [row for row in mdata["atac"].obs_names if row in {*drawn, *split.obs}]
    return MuData({name: mdata[name][keep].copy() for name in ("atac", "rna")})


def trainer(args: argparse.Namespace, out: Path) -> Any:
    """What trains a model for a split; its errors, and where asked for the model, go below ``out``."""

    def fit(mdata: MuData, split: Split) -> scget.model.GET:
        scget.model.GET.setup_mudata(mdata)
        size = {name: getattr(args, name) for name in SIZE} | {"n_heads": max(args.width // 32, 1)}
        model = scget.model.GET(mdata, **size, preset="compat" if args.published else "default")
        begin = time.perf_counter()
        plan = {"lr": args.lr}
        held = {"holdout_obs": list(split.obs), "holdout_chroms": list(split.chroms)}
        model.train(args.epochs, **held, plan_kwargs=plan, enable_progress_bar=False)
        print(f"{split.name}: trained in {(time.perf_counter() - begin) / 60:.1f} min on {model.device}", flush=True)
        _note_uncertainty(model, split, out / "uncertainty")
        if args.save:
            model.save(out / "models" / split.name.replace("/", "_"), overwrite=True)
        return model

    return fit


def _note_uncertainty(model: scget.model.GET, split: Split, folder: Path) -> None:
    """A line per row left out: how unlike it is, how wrong its genes are, and whether the model knew."""
    table, prediction = model.predict_slots(rows=list(split.obs))
    if prediction.std_kg is None:
        return
    lines = []
    for k in table.row_positions(list(split.obs)):
        known = np.isfinite(prediction.std_kg[k])
        std, error = prediction.std_kg[k, known], np.abs(prediction.genes_kg[k] - table.expression_kg[k])[known]
        line = {"row": table.rows[k], "ood": prediction.ood_k[k], "rmse": np.sqrt(np.mean(error**2))}
        for level in (50, 80, 95):
            line[f"within {level}%"] = scget.bm.coverage(error, *scget.bm.interval(0 * std, std, level / 100))
        lines.append(line | {"rank": scget.bm.spearman(std, error)})
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(lines).to_csv(folder / f"{split.name.replace('/', '_')}.csv", index=False)


def splits_of(names: list[str], only: list[str] | None) -> list[Split]:
    """All splits, or those named."""
    every = scget.bm.leave_one_out(names, HELD_CHROMS) + scget.bm.leave_groups_out(LINEAGES, HELD_CHROMS)
    unknown = set(only or ()) - {split.name for split in every}
    if unknown:
        raise SystemExit(f"no split {sorted(unknown)}; there are {[split.name for split in every]}")
    return [split for split in every if only is None or split.name in only]


def report(table: pd.DataFrame) -> str:
    """Markdown: a line per row left out, a column per predictor, for each split and metric."""
    parts = []
    for split, metric in ASKED:
        part = table[(table["split"] == split) & (table["metric"] == metric)]
        wide = part.pivot_table(index=["fold", "row"], columns="predictor", values="value", sort=False)
        names = [name for name in part["predictor"].unique() if name in wide]
        heads = ["left out", "row", *(f"{name} *" if name in KNOWS_ALL_GENES else name for name in names)]
        lines = [
            [*index, *(f"{x:.3f}" for x in line)]
            for index, line in zip(wide.index, wide[names].to_numpy(), strict=True)
        ]
        body = "\n".join("| " + " | ".join(line) + " |" for line in [heads, ["---"] * len(heads), *lines])
        parts.append(f"### {split}: {metric}\n\n{body}")
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "blood_hg19")
    parser.add_argument("--out", type=Path, required=True, help="folder for the tables")
    parser.add_argument("--only", nargs="+", help="names of splits: types, 'T/NK', 'myeloid', 'progenitors'")
    parser.add_argument("--rows", nargs="+", type=int, default=[], help="numbers of training types to learn from")
    parser.add_argument("--depth", nargs="+", type=float, default=[], help="shares of the ATAC counts to learn from")
    parser.add_argument("--save", action="store_true", help="keep the models too")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--n-layers", type=int, default=2)
    parser.add_argument("--window", type=int, default=128)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--published", action="store_true", help="published rules and network (preset='compat')")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    mdata = load(args.data)
    splits = splits_of(list(mdata["atac"].obs_names), args.only)
    settings = {name: getattr(args, name) for name in (*SIZE, "epochs", "lr", "published")}
    every: dict[str, Callable[[Split], MuData]] = {"": lambda split: mdata}
    if args.rows or args.depth:
        every = {f"rows {n}": partial(fewer_rows, mdata, n=n, seed=args.seed) for n in args.rows}
        for share in args.depth:
            every[f"depth {share:g}"] = partial(lambda thin, split: thin, thinned(mdata, share, args.seed))
    for name, data_of in every.items():
        tables = []
        for split in splits:
            here, given = data_of(split), settings | ({"what": name} if name else {})
            kept = {"out": args.out, "settings": given, "metrics": METRICS, "n_bootstrap": 200}
            tables.append(
                scget.bm.cross_validate(here, [split], trainer(args, args.out / name), predictors=PREDICTORS, **kept)
            )
        print(f"\n## {name or 'all'}\n\n{report(pd.concat(tables))}", flush=True)


if __name__ == "__main__":
    main()
