"""Precision against recall of links beside what CRISPR interference found."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd

from ._crispri import BINS, ranks_of, scores_of

CURVES = ["bin", "predictor", "recall", "precision", "n", "n_positive"]


def crispri_curves(
    links_or_scores: Any,
    reference: str | PathLike[str] | pd.DataFrame,
    *,
    score: str = "score",
    row: str | None = None,
    aggregate: str = "sum",
    columns: Mapping[str, str] | None = None,
    tss: str | PathLike[str] | pd.DataFrame | None = None,
    valid_only: bool = False,
    floor: float = 1000,
) -> pd.DataFrame:
    """Precision and recall at every threshold, of the predictors and pairs of :func:`crispri`.

    Parameters
    ----------
    links_or_scores, reference
        As there: links, or numbers per tested pair, or several of these by name; tested pairs.
    score, row, aggregate, columns, tss, valid_only, floor
        As there.

    Returns
    -------
    Tidy table ``bin, predictor, recall, precision, n, n_positive``, a line per distinct score from the highest down: the
    share of regulated pairs that score as high, and the share of regulated ones among those. Precision times the recall
    gained, summed, is ``auprc``. Pairs without a prediction come last. A bin without a regulated pair has no lines.

    Raises
    ------
    InputError
        As :func:`crispri` does.
    ImportError
        If bioframe is missing.

    Examples
    --------
    >>> tested = pd.DataFrame(
    ...     {
    ...         "chrom": "chr1",
    ...         "chromStart": [100, 900, 5000],
    ...         "chromEnd": [300, 1000, 5500],
    ...         "measuredGeneSymbol": ["A", "A", "B"],
    ...         "Regulated": [True, False, True],
    ...         "startTSS": [30000, 30000, 20000],
    ...     }
    ... )
    >>> table = scget.bm.crispri_curves([0.1, 0.3, 0.2], tested)
    >>> table.loc[(table["bin"] == "all") & (table["predictor"] == "prediction"), ["recall", "precision"]].round(
    ...     2
    ... ).values.tolist()
    [[0.0, 0.0], [0.5, 0.5], [1.0, 0.67]]
    """
    how = {"score": score, "row": row, "aggregate": aggregate}
    pairs, scores = scores_of(
        links_or_scores, reference, how, columns=columns, tss=tss, valid_only=valid_only, floor=floor
    )
    truth_n, distance_n = pairs["regulated"].to_numpy(), pairs["distance"].to_numpy()
    tables = []
    for label, (low, high) in BINS.items():
        inside = (distance_n > low) & (distance_n <= high)
        counts = {"n": int(inside.sum()), "n_positive": int(truth_n[inside].sum())}
        for name, score_n in scores.items() if counts["n_positive"] else ():
            recall, precision = _curve(score_n[inside], truth_n[inside])
            tables.append(
                pd.DataFrame({"bin": label, "predictor": name, "recall": recall, "precision": precision, **counts})
            )
    return pd.concat(tables, ignore_index=True)[CURVES] if tables else pd.DataFrame(columns=CURVES)


def _curve(score_n: np.ndarray, truth_n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision at each distinct score, NaN being below all others."""
    rank_n = ranks_of(score_n)
    order = np.argsort(-rank_n, kind="stable")
    last = np.append(np.flatnonzero(np.diff(rank_n[order])), len(order) - 1)  # of each run of equal scores
    found = np.cumsum(truth_n[order])[last]
    return found / truth_n.sum(), found / (last + 1)
