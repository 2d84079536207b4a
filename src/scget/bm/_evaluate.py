"""A model beside its baselines, and tables of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from ._baselines import BASELINES, KNOWS_ALL_GENES
from ._compare import MODEL, compare

if TYPE_CHECKING:
    from mudata import MuData

    from scget.model import GET, Ensemble

METRICS = (
    *(form + metric for form in ("", "delta_", "change_") for metric in ("pearson", "spearman", "r2")),
    "gene_pearson",
)

RESAMPLES = 200  # an end then varies by 0.2 of the sd between seeds; compare takes more


def evaluate(
    model: GET | Ensemble,
    mdata: MuData | None = None,
    *,
    rows: Sequence[str] | None = None,
    baselines: Sequence[str] = tuple(BASELINES),
) -> pd.DataFrame:
    """Score a model and its baselines on what was held out.

    The short form of :func:`compare`, which takes other predictors and has more metrics.

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
    Tidy table ``split, row, metric, predictor, value, low, high, n``, as :func:`compare` gives it: ``pearson``,
    ``spearman`` and ``r2`` across genes, ``delta_*`` and ``change_*`` of these, and ``gene_pearson``; intervals (95%)
    over genes, from 200 resamples.

    Raises
    ------
    InputError
        If nothing was held out, a name is unknown, or there is no expression to compare with.
    """
    return compare(model, mdata, rows=rows, predictors=baselines, metrics=METRICS, contrasts=(), n_bootstrap=RESAMPLES)


def summarise(
    scores: pd.DataFrame,
    metrics: Sequence[str] = ("pearson", "delta_pearson", "change_pearson"),
    *,
    intervals: bool = False,
) -> pd.DataFrame:
    """Put predictors beside each other.

    Parameters
    ----------
    scores
        From :func:`evaluate`, :func:`compare` or :func:`cross_validate`.
    metrics
        Names of metrics.
    intervals
        Give text instead of numbers, ``0.91 [0.90, 0.92]``: the ends are means over rows too. That is the interval of
        one row's figure, typically; the mean over several rows is known at least as well.

    Returns
    -------
    Mean over rows of each metric, predictors x (split, metric). Predictors that know the genes of held-out
    chromosomes in the training rows, which the model does not, are marked ``*``.

    Examples
    --------
    >>> scores = scget.bm.evaluate(model, baselines=["training_mean"])
    >>> scget.bm.summarise(scores, ["pearson"], intervals=True).index.tolist()
    ['GET', 'training_mean *']
    """
    wide = {name: _wide(scores, metrics, name) for name in (("value", "low", "high") if intervals else ("value",))}
    value = wide["value"]
    splits = [s for s in ("rows", "chroms", "both") if s in value.columns.get_level_values(0)]
    columns = [(s, m) for s in splits for m in metrics if (s, m) in value.columns]
    known = [name for name in (MODEL, *BASELINES) if name in value.index]
    order = known + [name for name in value.index if name not in known]
    value, *ends = (table.reindex(index=order, columns=columns) for table in wide.values())
    if intervals:
        low, high = ends
        text = value.map("{:.2f}".format) + low.map(" [{:.2f}, ".format) + high.map("{:.2f}]".format)
        value = text.where(low.notna(), value.map("{:.2f}".format)).where(value.notna(), "-")
    return value.rename(index={name: f"{name} *" for name in KNOWS_ALL_GENES})


def _wide(scores: pd.DataFrame, metrics: Sequence[str], what: str) -> pd.DataFrame:
    """Mean over rows, predictors x (split, metric), in the order of the table."""
    kept = scores[scores["metric"].isin(metrics)]
    return kept.pivot_table(index="predictor", columns=["split", "metric"], values=what, aggfunc="mean", sort=False)
