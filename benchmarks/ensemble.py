"""Does the deviation an ensemble gives fit the errors it makes? Simulated data; coverage of intervals on what was held out.

    python benchmarks/ensemble.py --seeds 0 1 2

Two cell types and two chromosomes are held out and judged on. Two more cell types are held out to show the calibration on
rows never seen; nothing is fitted on what is judged but what is marked so.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm, spearmanr

import scget
from scget.model import GET, Ensemble

NOMINAL = (0.5, 0.8, 0.95)
SIZE = {"width": 48, "n_layers": 2, "n_heads": 3, "dropout": 0.2, "window": 64}
TRAINING = {"plan_kwargs": {"lr": 5e-3}, "enable_progress_bar": False, "logger": False}


def prepare(seed: int, folder: str):
    truth = scget.datasets.simulated(folder, n_cell_types=12, n_chroms=10, regions_per_chrom=300, seed=seed)
    scget.pp.motif_scores(truth.mdata, truth.genome, motifs=truth.motifs)
    scget.pp.promoters(truth.mdata, truth.annotation)
    pb = scget.pp.pseudobulk(truth.mdata, "cell_type")
    GET.setup_mudata(pb)
    return pb


def coverage(error: np.ndarray, std: np.ndarray) -> list[float]:
    """Size of the errors, of errors in units of ``std``, rank correlation with it, and shares inside each interval."""
    use = np.isfinite(error) & np.isfinite(std)
    error, std = error[use], std[use]
    inside = [float(np.mean(np.abs(error) <= norm.ppf(0.5 + p / 2) * std)) for p in NOMINAL]
    told = spearmanr(np.abs(error), std)[0] if np.ptp(std) > 0 else np.nan
    return [use.sum(), np.sqrt(np.mean(error**2)), np.sqrt(np.mean((error / std) ** 2)), told, *inside]


def judge(ensemble: Ensemble, judged: list[str], spare: list[str]) -> list[list]:
    """One line per split and kind of deviation."""
    table, held = ensemble.table(), ensemble.holdout
    known_g = np.isfinite(ensemble.scaling.expression(table.genes))
    new_g = ~known_g & np.isfinite(ensemble.predict().to_numpy()).all(axis=0)
    splits = {
        "training rows, out of fold (fitted on)": (held.seen_obs, known_g, True),
        "training rows, held-out chromosomes": (held.seen_obs, new_g, False),
        "held-out rows, held-out chromosomes": (judged, new_g, False),
        "held-out rows, training chromosomes": (judged, known_g, False),
    }
    lines = []
    other = Ensemble(ensemble.members, ensemble.folds, dict(ensemble.calibration))
    other.calibrate(rows=spare)
    for split, (rows, gene_g, out_of_fold) in splits.items():
        at = np.ix_(table.row_positions(rows), gene_g)
        error = ensemble.predict(out_of_fold=out_of_fold).to_numpy()[at] - table.expression_kg[at]
        for kind, source in (("raw spread", ensemble), ("calibrated", ensemble), ("on 2 other rows", other)):
            if source is other and split != "held-out rows, training chromosomes":
                continue
            std = source.predict_std(out_of_fold=out_of_fold, calibrated=kind != "raw spread").to_numpy()[at]
            lines.append([split, kind, *coverage(error, std)])
    return lines


def accuracy(ensemble: Ensemble, single: GET, judged: list[str]) -> list[list]:
    """Root mean square error of the mean of members, of one member, and of one model trained on all chromosomes."""
    table = ensemble.table()
    known_mg = np.stack([np.isfinite(m.scaling.expression(table.genes)) for m in ensemble.members])
    predicted, lines = ensemble.predict().to_numpy(), []
    members = np.stack([m.predict().to_numpy() for m in ensemble.members])
    row_k = table.row_positions(judged)
    for split, gene_g in (("training", known_mg.any(axis=0)), ("held-out", ~known_mg.any(axis=0))):
        gene_g = gene_g & np.isfinite(predicted).all(axis=0)
        at = np.ix_(row_k, gene_g)
        asked = (known_mg | ~known_mg.any(axis=0))[:, None, gene_g]
        error = members[:, row_k][:, :, gene_g] - table.expression_kg[at]
        one = np.sqrt(np.mean(np.square(error)[np.broadcast_to(asked, error.shape)]))
        whole, mean = (
            np.sqrt(np.mean((p[at] - table.expression_kg[at]) ** 2)) for p in (single.predict().to_numpy(), predicted)
        )
        lines.append([f"held-out rows, {split} chromosomes", mean, one, whole])
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of data and training")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--left-out", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--out", type=Path, help="folder for coverage.csv")
    args = parser.parse_args()
    covered, accurate, begin = [], [], time.perf_counter()
    for seed in args.seeds:
        with tempfile.TemporaryDirectory() as folder:
            pb = prepare(seed, folder)
        types = list(pb["atac"].obs_names)
        held = {"holdout_obs": types[-4:], "holdout_chroms": ["chr9", "chr10"]}
        judged, spare = types[-2:], types[-4:-2]
        settings = {"max_epochs": args.epochs, **held, **TRAINING}
        ensemble = GET.train_folds(
            pb, args.folds, left_out=args.left_out, seed=10 * seed, model_kwargs=SIZE, **settings
        )
        single = GET(pb, **SIZE, seed=10 * seed)
        single.train(**settings)
        print(f"seed {seed}, {time.perf_counter() - begin:.0f} s: {ensemble.calibration}", flush=True)
        covered += [[seed, *line] for line in judge(ensemble, judged, spare)]
        accurate += [[seed, *line] for line in accuracy(ensemble, single, judged)]
    columns = ["seed", "split", "deviation", "n", "rmse", "sd of error / sd", "rank r", *(f"{p:.0%}" for p in NOMINAL)]
    table = pd.DataFrame(covered, columns=columns)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        table.to_csv(args.out / "coverage.csv", index=False)
    show = {"float_format": "{:.2f}".format}
    print("\nBy seed\n", table.to_string(index=False, **show), sep="\n")
    mean = table.groupby(["split", "deviation"], sort=False).mean().drop(columns="seed")
    print("\nMean over seeds\n", mean.to_string(**show), sep="\n")
    rmse = pd.DataFrame(accurate, columns=["seed", "split", "ensemble", "a member", "one model, all chromosomes"])
    print(
        "\nRoot mean square error, log10(CPM + 1)\n",
        rmse.to_string(index=False, float_format="{:.3f}".format),
        sep="\n",
    )


if __name__ == "__main__":
    main()
