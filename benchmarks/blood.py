"""Train on human blood cell types with one left out whole and three chromosomes aside; print the table of baselines.

    python benchmarks/blood.py --data ../shared/data/blood_hg19 --left-out Mono

Data: 11 types, 451,283 regions, hg19 (GSE119453, GSE74912, GSE74246); overlap with 274 ENCODE TF tracks stands in for
motif scores. Epochs and size are those with which 2 CPU cores take under 25 minutes; nothing was chosen on the
left-out type or chromosomes (see benchmarks/README.md for what was tried).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

import scget

HELD_CHROMS = ["chr10", "chr14", "chr19"]


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "blood_hg19")
    parser.add_argument("--left-out", nargs="+", default=["Mono"], help="cell types left out whole")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--window", type=int, default=128)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--pretrain-epochs", type=int, default=0)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument(
        "--published", action="store_true", help="published rules of input, label and network (preset='compat')"
    )
    parser.add_argument("--only-chroms", nargs="+", help="a subset of chromosomes, for a quick look")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder for scores.csv and the model")
    args = parser.parse_args()

    mdata = load(args.data)
    if args.only_chroms:
        keep = mdata["atac"].var["chrom"].isin([*args.only_chroms, *HELD_CHROMS]).to_numpy()
        mdata = MuData({"atac": mdata["atac"][:, keep].copy(), "rna": mdata["rna"]})
    scget.model.GET.setup_mudata(mdata)
    preset = "compat" if args.published else "default"
    size = {
        "width": args.width,
        "n_layers": args.layers,
        "n_heads": max(args.width // 32, 1),
        "window": args.window,
        "dropout": args.dropout,
    }
    model = scget.model.GET(mdata, **size, preset=preset, seed=args.seed)
    held = {"holdout_obs": args.left_out, "holdout_chroms": list(HELD_CHROMS)}
    plan = {"lr": args.lr}
    begin = time.perf_counter()
    if args.pretrain_epochs:
        model.pretrain(args.pretrain_epochs, **held, plan_kwargs=plan)
    model.train(args.epochs, **held, plan_kwargs=plan)
    print(f"trained in {(time.perf_counter() - begin) / 60:.1f} min on {model.device}: {model.config}")
    scores = scget.bm.evaluate(model)
    print(scget.bm.summarise(scores).round(3).to_string())
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        scores.to_csv(args.out / "scores.csv", index=False)
        model.save(args.out / "model", overwrite=True)


if __name__ == "__main__":
    main()
