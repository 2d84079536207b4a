"""Metrics on plain arrays, over all genes at once; NaN where a metric has no meaning."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

MIN_GENES = 3


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


METRICS = {"pearson": pearson, "spearman": spearman, "r2": r2}
