"""What pretraining on masked regions adds at equal epochs, on simulated data and on human blood.

    python benchmarks/pretraining.py simulated
    python benchmarks/pretraining.py blood

Models per seed, on the same rows and chromosomes: trained for E epochs; for 2E; for E after E epochs of pretraining.
So a pretrained one stands beside one with as many training epochs and beside one with as many epochs in all. Settings are
those of ``benchmarks/blood.py``, the network halved for one core (blood), and of ``python -m scget demo``, where E is 30
so that 2E is the demo's 60 (simulated). They were fixed before any figure was seen, and none was changed after.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pandas as pd
from blood import load
from mudata import MuData

import scget

METRICS = ("pearson", "delta_pearson", "change_pearson")
BASELINES = ("training_mean", "gene_activity", "ridge")
SETTINGS = {
    "simulated": {"width": 64, "n_layers": 2, "n_heads": 4, "window": 64, "dropout": 0.2, "lr": 5e-3, "epochs": 30},
    "blood": {"width": 64, "n_layers": 2, "n_heads": 2, "window": 128, "dropout": 0.2, "lr": 3e-3, "epochs": 5},
}


def simulated(seed: int) -> tuple[MuData, dict[str, list[str]]]:
    """One row per cell type of a simulated multiome; the last type and chromosome are held out."""
    data = scget.datasets.simulated(seed=seed)
    scget.pp.motif_scores(data.mdata, data.genome, motifs=data.motifs)
    scget.pp.promoters(data.mdata, data.annotation)
    pb = scget.pp.pseudobulk(data.mdata, "cell_type")
    return pb, {"holdout_obs": [str(pb["atac"].obs_names[-1])], "holdout_chroms": ["chr8"]}


def blood(folder: Path, chroms: list[str], held_chroms: list[str]) -> tuple[MuData, dict[str, list[str]]]:
    """All 11 types on some chromosomes; Mono is left out whole."""
    mdata = load(folder)
    keep = mdata["atac"].var["chrom"].isin([*chroms, *held_chroms]).to_numpy()
    mdata = MuData({"atac": mdata["atac"][:, keep].copy(), "rna": mdata["rna"]})
    return mdata, {"holdout_obs": ["Mono"], "holdout_chroms": held_chroms}


def compare(
    mdata: MuData, held: dict[str, list[str]], seed: int, settings: dict[str, float], targets: list[str]
) -> pd.DataFrame:
    """Mean scores over rows of the models and the baselines: predictor, split, metric, value, seed."""
    scget.model.GET.setup_mudata(mdata)
    size = {k: v for k, v in settings.items() if k not in ("lr", "epochs")}
    epochs, parts = int(settings["epochs"]), []
    more = {"plan_kwargs": {"lr": settings["lr"]}, "enable_progress_bar": False, **held}
    variants = {f"trained {n}": (None, n) for n in (epochs, 2 * epochs)}
    variants |= {f"pretrained {epochs} ({target}), trained {epochs}": (target, epochs) for target in targets}
    for name, (target, n) in variants.items():
        begin = time.perf_counter()
        model = scget.model.GET(mdata, **size, seed=seed)
        loss = ""
        if target is not None:
            model.pretrain(epochs, target=target, **more)
            loss = f"pretraining loss {' '.join(f'{v:.3f}' for v in _losses(model))}, "
        model.train(n, **more)
        loss += f"training loss {' '.join(f'{v:.3f}' for v in _losses(model))}"
        print(f"seed {seed}, {name}: {time.perf_counter() - begin:.0f} s, {loss}", flush=True)
        scores = scget.bm.evaluate(model, baselines=() if parts else BASELINES)
        scores = scores[scores["metric"].isin(METRICS)].replace({"predictor": {"GET": name}})
        mean = scores.groupby(["predictor", "split", "metric"], sort=False, as_index=False)["value"].mean()
        parts.append(mean.assign(seed=seed))
        print(_wide(parts[-1], "mean").round(3).to_string(), flush=True)
    return pd.concat(parts)


def _losses(model: scget.model.GET) -> list[float]:
    """First, middle and last epoch's."""
    all_epochs = model.history["train_loss"].iloc[:, 0].astype(float).to_list()
    return [all_epochs[i] for i in (0, len(all_epochs) // 2, -1)]


def _wide(scores: pd.DataFrame, how: str) -> pd.DataFrame:
    wide = scores.pivot_table(index="predictor", columns=["split", "metric"], values="value", aggfunc=how, sort=False)
    return wide[[(s, m) for s in ("rows", "chroms", "both") for m in METRICS if (s, m) in wide.columns]]


def report(scores: pd.DataFrame, out: Path | None) -> None:
    """Mean over seeds (least to most), a line per predictor; then what pretraining adds, seed by seed."""
    mean, low, high = (_wide(scores, how) for how in ("mean", "min", "max"))
    cells = {
        c: [f"{m:.3f} ({a:.3f} to {b:.3f})" for m, a, b in zip(mean[c], low[c], high[c], strict=True)] for c in mean
    }
    print(pd.DataFrame(cells, index=mean.index).to_string())
    value = scores.set_index(["predictor", "split", "metric", "seed"])["value"]
    names = list(dict.fromkeys(scores["predictor"]))
    plain, long = [n for n in names if n.startswith("trained")]
    for name in (n for n in names if n.startswith("pretrained")):
        for base in (plain, long):
            print(
                f"{name} less {base}, seed by seed\n{(value[name] - value[base]).unstack('seed').round(3).to_string()}"
            )
    if out is not None:
        scores.to_csv(out, index=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=[*SETTINGS])
    parser.add_argument("--folder", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "blood_hg19")
    parser.add_argument("--chroms", nargs="+", default=["chr1", "chr11", "chr17"], help="blood: chromosomes trained on")
    parser.add_argument("--held-chroms", nargs="+", default=["chr19"], help="blood: chromosomes held out")
    parser.add_argument("--epochs", type=int, help="E")
    parser.add_argument("--targets", nargs="+", default=["raw", "standardised"], help="of pretraining")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the network; and of simulated data")
    parser.add_argument("--out", type=Path, help="CSV of all scores")
    args = parser.parse_args()
    settings = SETTINGS[args.data] | ({"epochs": args.epochs} if args.epochs else {})
    print(settings, flush=True)
    fixed = blood(args.folder, args.chroms, args.held_chroms) if args.data == "blood" else None
    scores: list[pd.DataFrame] = []
    for seed in args.seeds:
        scores.append(compare(*(fixed or simulated(seed)), seed, settings, args.targets))
        report(pd.concat(scores), args.out)


if __name__ == "__main__":
    main()
