"""A model beside its baselines, on rows and chromosomes it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from scget._errors import InputError, first, warn
from scget.data import RegionTable, fit_scaling

from ._baselines import BASELINES, KNOWS_ALL_GENES, Task
from ._metrics import METRICS

if TYPE_CHECKING:
    from mudata import MuData

    from scget.model import GET, Ensemble

BATCH = 64  # windows predicted at a time
MIN_ROWS = 3  # for a correlation across rows
COLUMNS = ["split", "row", "metric", "predictor", "value", "n"]


def evaluate(
    model: GET | Ensemble,
    mdata: MuData | None = None,
    *,
    rows: Sequence[str] | None = None,
    baselines: Sequence[str] = tuple(BASELINES),
) -> pd.DataFrame:
    """Score a model and its baselines on what was held out.

    Parameters
    ----------
    model
        Trained, with held-out rows, chromosomes or both; or an ensemble.
    mdata
        Rows x (regions, genes), the training rows among them. None: the data of the model.
    rows
        Rows to score. None: those held out. Rows that were trained on give a warning.
    baselines
        Names out of ``scget.bm.BASELINES``.

    Returns
    -------
    Tidy table ``split, row, metric, predictor, value, n`` (n: genes, or rows for ``gene_pearson``).

    Splits: ``rows`` (held-out rows, genes on training chromosomes), ``chroms`` (training rows, genes on held-out
    chromosomes), ``both``. Metrics across genes within a row: ``pearson``, ``spearman``, ``r2``; ``delta_*``, the
    same after subtracting the observed mean of the training rows from both sides; ``change_*``, after subtracting
    from the prediction its own mean over the training rows, the fair form where a gene was never seen; and
    ``gene_pearson``, the median over genes of the correlation across at least 3 held-out rows.

    Raises
    ------
    InputError
        If nothing was held out, a name is unknown, or there is no expression to compare with.
    """
    unknown = [name for name in baselines if name not in BASELINES]
    if unknown:
        raise InputError(f"no baseline {first(unknown)}; there are {first(list(BASELINES), 9)}")
    table = model.table(mdata)
    if table.expression_kg is None or model.holdout is None:
        raise InputError("scoring needs a trained model and observed expression (an RNA modality)")
    seen_obs, seen_chroms, seen_g = _seen(model, table, rows)
    missing = sorted(set(seen_obs) - set(table.rows.astype(str)))
    if not len(seen_obs):
        raise InputError("no row is left for the baselines to learn from: ask for fewer rows")
    if missing:
        raise InputError(f"{len(missing)} training rows are not in the data ({first(missing)}); baselines need them")
    seen_k = np.isin(table.rows, seen_obs)
    held_k = ~seen_k if rows is None else np.isin(np.arange(len(table.rows)), table.row_positions(rows))
    if (held_k & seen_k).any():
        names = first(table.rows[held_k & seen_k])
        warn(f"{names} were trained on: these figures say nothing of new cell types")
    _warn_of_imported(model, table.rows[held_k])
    region_p = np.isin(table.chroms.astype(str), seen_chroms)[table.chrom_p]
    task = Task(table, fit_scaling(table, np.flatnonzero(seen_k), region_p), np.flatnonzero(seen_k), seen_g)
    predictions = _predictions(model, task, baselines)
    away_g = _away(table, model.holdout.chroms)
    splits = {"rows": (held_k, seen_g), "chroms": (seen_k, away_g), "both": (held_k, away_g)}
    mean_g = table.expression_kg[seen_k].mean(axis=0, dtype=np.float64)
    able_g = np.isfinite(predictions["GET"]).all(axis=0)
    scored = [
        _score(split, table, predictions, row_k, genes_g & able_g, mean_g, seen_k)
        for split, (row_k, genes_g) in splits.items()
        if row_k.any() and (genes_g & able_g).any()
    ]
    if not scored:
        raise InputError("nothing was held out: train (or import) with holdout_obs=[...] or holdout_chroms=[...]")
    return pd.DataFrame([line for lines in scored for line in lines], columns=COLUMNS)


def _away(table: RegionTable, chroms: Sequence[str]) -> np.ndarray:
    """True for genes all of whose promoters lie on held-out chromosomes; those watched in training are not among them."""
    pairs, held_p = table.promoters, np.isin(table.chroms.astype(str), list(chroms))[table.chrom_p]
    away_g, elsewhere = np.zeros(pairs.n_genes, dtype=bool), ~held_p[pairs.region_q[pairs.slot_n]]
    away_g[pairs.gene_n] = True
    away_g[pairs.gene_n[elsewhere]] = False
    return away_g


def _seen(
    model: GET | Ensemble, table: RegionTable, rows: Sequence[str] | None
) -> tuple[list[str], list[str], np.ndarray]:
    """Rows, chromosomes and genes (flags) of training.

    Of imported weights that were not trained further: all rows and chromosomes that are neither asked for nor stated
    to be held out, for the baselines to learn from.
    """
    holdout = model.holdout
    if holdout.imported is None or holdout.seen_obs:
        return holdout.seen_obs, holdout.seen_chroms, np.isfinite(model.scaling.expression(table.genes))
    obs = [str(r) for r in table.rows if str(r) not in {*holdout.obs, *map(str, rows or ())}]
    chroms = [str(c) for c in table.chroms if str(c) not in holdout.chroms]
    pairs, seen_g = table.promoters, np.zeros(len(table.genes), dtype=bool)
    seen_g[pairs.gene_n[np.isin(table.chroms.astype(str), chroms)[table.chrom_p][pairs.region_q[pairs.slot_n]]]] = True
    return obs, chroms, seen_g


def _warn_of_imported(model: GET | Ensemble, scored: np.ndarray) -> None:
    """Warn where imported weights may have seen what is scored: their file does not say."""
    imported = model.holdout.imported
    if imported is None:
        return
    names = [f"row {r}" for r in scored if str(r) not in imported["holdout_obs"]]
    names += [f"chromosome {c}" for c in model.holdout.chroms if c not in imported["holdout_chroms"]]
    if names:
        warn(
            f"{first(names)} may have been trained on before: {imported['file']!r} does not say what its weights saw. "
            "State what is known to be unseen with from_checkpoint(holdout_obs=..., holdout_chroms=...)."
        )


def _predictions(model: GET | Ensemble, task: Task, baselines: Sequence[str]) -> dict[str, np.ndarray]:
    predictions = {"GET": model._predict_table(task.table, None, BATCH).genes_kg}
    for name in tqdm(baselines, desc="baselines", leave=False):
        predictions[name] = BASELINES[name](task)
    return predictions


def _score(
    split: str, table: RegionTable, predictions: dict[str, np.ndarray], row_k: np.ndarray, gene_g: np.ndarray,
    mean_g: np.ndarray, seen_k: np.ndarray,
) -> list[tuple[str, str, str, str, float, int]]:  # fmt: skip
    lines = []
    n, observed_kg, mean_g = int(gene_g.sum()), table.expression_kg[:, gene_g].astype(np.float64), mean_g[gene_g]
    for predictor, all_kg in predictions.items():
        predicted_kg = all_kg[:, gene_g]
        own_g = predicted_kg[seen_k].mean(axis=0)
        for k in np.flatnonzero(row_k):
            forms = {
                "": (predicted_kg[k], observed_kg[k]),
                "delta_": (predicted_kg[k] - mean_g, observed_kg[k] - mean_g),
                "change_": (_without_rounding(predicted_kg[k] - own_g), observed_kg[k] - mean_g),
            }
            for form, pair in forms.items():
                for name, metric in METRICS.items():
                    lines.append((split, str(table.rows[k]), form + name, predictor, metric(*pair), n))
        if row_k.sum() >= MIN_ROWS:
            value = _across_rows(predicted_kg[row_k], observed_kg[row_k])
            lines.append((split, "all", "gene_pearson", predictor, value, int(row_k.sum())))
    return lines


def _without_rounding(change_g: np.ndarray) -> np.ndarray:
    """Changes below 1e-9 log10 units are what the mean of equal numbers leaves."""
    return np.where(np.abs(change_g) < 1e-9, 0.0, change_g)


def _across_rows(predicted_kg: np.ndarray, observed_kg: np.ndarray) -> float:
    """Median over genes of the correlation across rows; genes that do not vary are left out."""
    values = np.array([METRICS["pearson"](p, o) for p, o in zip(predicted_kg.T, observed_kg.T, strict=True)])
    return float(np.nanmedian(values)) if np.isfinite(values).any() else float("nan")


def summarise(
    scores: pd.DataFrame, metrics: Sequence[str] = ("pearson", "delta_pearson", "change_pearson")
) -> pd.DataFrame:
    """Put predictors beside each other.

    Parameters
    ----------
    scores
        From :func:`evaluate`.
    metrics
        Names of metrics.

    Returns
    -------
    Mean over rows of each metric, predictors x (split, metric). Predictors that know the genes of held-out
    chromosomes in the training rows, which the model does not, are marked ``*``.
    """
    kept = scores[scores["metric"].isin(metrics)]
    wide = kept.pivot_table(index="predictor", columns=["split", "metric"], values="value", aggfunc="mean", sort=False)
    splits = [s for s in ("rows", "chroms", "both") if s in wide.columns.get_level_values(0)]
    wide = wide.reindex(columns=[(s, m) for s in splits for m in metrics if (s, m) in wide.columns])
    order = [name for name in ["GET", *BASELINES] if name in wide.index]
    return wide.loc[order].rename(index={name: f"{name} *" for name in KNOWS_ALL_GENES})
