"""Metrics on plain arrays, over all genes at once; NaN where a metric has no meaning.

Axes: ``k`` rows, ``g`` genes. Expression is in log10(CPM + 1), so a difference is a log10 fold change.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

MIN_GENES = 3
SPECIFIC = 3.0  # fold over the training mean from which a gene is said to be specific to a row


def pearson(predicted: np.ndarray, observed: np.ndarray) -> float:
    """Pearson correlation of ``predicted`` and ``observed``; NaN if one is constant or shorter than 3.

    Examples
    --------
    >>> round(pearson(np.array([1.0, 2, 3]), np.array([1.0, 2, 4])), 3)
    0.982
    """
    if len(predicted) < MIN_GENES:
        return float("nan")
    x, y = predicted - predicted.mean(), observed - observed.mean()
    size = np.sqrt((x @ x) * (y @ y))
    tiny = 1e-12 * len(x) * max(np.abs(predicted).max() * np.abs(observed).max(), 1e-12)  # rounding of a constant
    return float(x @ y / size) if size > tiny else float("nan")


def spearman(predicted: np.ndarray, observed: np.ndarray) -> float:
    """Pearson correlation of the ranks of ``predicted`` and ``observed``, ties sharing their mean rank."""
    return pearson(rankdata(predicted), rankdata(observed))


def r2(predicted: np.ndarray, observed: np.ndarray) -> float:
    """Share of the variance of ``observed`` explained by ``predicted`` as it stands (not after a fit); may be < 0."""
    total = np.square(observed - observed.mean()).sum()
    return (
        float(1 - np.square(observed - predicted).sum() / total)
        if len(observed) >= MIN_GENES and total > 0
        else float("nan")
    )


def auroc(score: np.ndarray, truth: np.ndarray) -> float:
    """Chance that an item where ``truth`` is True scores above one where it is False, ties counting half.

    The Mann-Whitney U statistic over the number of pairs; NaN if one kind is absent.
    """
    truth = np.asarray(truth, dtype=bool)
    n_true, n_false = int(truth.sum()), int((~truth).sum())
    if not n_true or not n_false:
        return float("nan")
    return float((rankdata(score)[truth].sum() - n_true * (n_true + 1) / 2) / (n_true * n_false))


def auprc(score: np.ndarray, truth: np.ndarray) -> float:
    """Area under precision against recall: mean over items where ``truth`` is True of the precision at their ``score``.

    The average precision, without interpolation: each threshold's precision weighted by the recall it gains. Items of
    one score stand together. At random it is the share of true items; NaN if none is true.

    Examples
    --------
    >>> auprc(np.array([4.0, 3, 2, 1]), np.array([True, False, True, False]))  # (1 + 2/3) / 2
    0.8333333333333333
    """
    score, truth = np.asarray(score), np.asarray(truth, dtype=bool)
    if not truth.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)  # of each run of equal scores
    found = np.cumsum(truth[order])[last]
    return float((np.diff(found, prepend=0) * found / (last + 1)).sum() / found[-1])


def slope(predicted: np.ndarray, observed: np.ndarray) -> float:
    """Calibration slope: of the least-squares line of ``observed`` on ``predicted``; NaN where :func:`pearson` is.

    1: differences are as large as predicted; below 1: smaller (overconfident); above 1: larger (shrunken).
    """
    if np.isnan(pearson(predicted, observed)):
        return float("nan")
    x = predicted - predicted.mean()
    return float(x @ (observed - observed.mean()) / (x @ x))


def gene_correlation(predicted_kg: np.ndarray, observed_kg: np.ndarray) -> np.ndarray:
    """Pearson correlation across rows of each gene, ``predicted_kg`` and ``observed_kg`` (k, g) to (g,).

    NaN for a gene that is constant on either side, and for all with fewer than 3 rows.

    Examples
    --------
    >>> gene_correlation(np.array([[1.0, 0], [2, 0], [3, 0]]), np.array([[1.0, 1], [2, 2], [3, 4]]))
    array([ 1., nan])
    """
    if len(predicted_kg) < MIN_GENES:
        return np.full(predicted_kg.shape[1:], np.nan)
    x_kg, y_kg = predicted_kg - predicted_kg.mean(axis=0), observed_kg - observed_kg.mean(axis=0)
    size_g = np.sqrt(np.square(x_kg).sum(axis=0) * np.square(y_kg).sum(axis=0))
    largest_g = np.abs(predicted_kg).max(axis=0) * np.abs(observed_kg).max(axis=0)
    able_g = size_g > 1e-12 * len(x_kg) * np.maximum(largest_g, 1e-12)  # as pearson does
    out_g = np.full(len(size_g), np.nan)
    np.divide((x_kg * y_kg).sum(axis=0), size_g, out=out_g, where=able_g)
    return out_g


def fold_change_pearson(predicted_2g: np.ndarray, observed_2g: np.ndarray) -> float:
    """Correlation over genes of the log fold change between two rows: ``predicted_2g``, ``observed_2g``, both (2, g)."""
    return pearson(predicted_2g[0] - predicted_2g[1], observed_2g[0] - observed_2g[1])


def specific(observed: np.ndarray, mean: np.ndarray, fold: float = SPECIFIC) -> np.ndarray:
    """True where ``observed`` is at least ``fold`` times the training ``mean``, both in log10: row-specific genes."""
    return observed - mean >= np.log10(fold)


def interval(predicted: np.ndarray, sd: np.ndarray, level: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """Low and high end of the interval that holds a share ``level`` of a normal error of ``sd`` about ``predicted``.

    Examples
    --------
    >>> low, high = interval(np.array([2.0]), np.array([0.1]), 0.95)
    >>> print(low.round(3), high.round(3))
    [1.804] [2.196]
    """
    half = ndtri((1 + level) / 2) * sd
    return predicted - half, predicted + half


def coverage(observed: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """Share of ``observed`` from ``low`` to ``high``, ends included; items with a NaN are left out, NaN if all are."""
    known = np.isfinite(observed) & np.isfinite(low) & np.isfinite(high)
    return float(((low <= observed) & (observed <= high))[known].mean()) if known.any() else float("nan")


METRICS = {"pearson": pearson, "spearman": spearman, "r2": r2, "slope": slope, "auroc": auroc, "auprc": auprc}
