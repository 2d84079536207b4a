"""What baselines and other models predict, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scget._errors import InputError

from ._baselines import BASELINES
from ._compare import chosen_of, predictions_of
from ._setting import ask

if TYPE_CHECKING:
    from mudata import MuData

    from scget.model import GET, Ensemble


def predictions(
    model: GET | Ensemble,
    mdata: MuData | None = None,
    *,
    rows: Sequence[str] | None = None,
    predictors: Sequence[str | Mapping[str, Any]] | Mapping[str, Any] = tuple(BASELINES),
) -> dict[str, pd.DataFrame]:
    """Predictions of baselines and other models, fitted to the rows and chromosomes that the model was trained on.

    They are what :func:`compare` scores, for a look at single genes, or for :func:`scget.pl.predicted`.

    Parameters
    ----------
    model
        Trained, with held-out rows, chromosomes or both; or an ensemble. Its own predictions are not among the tables.
    mdata
        Rows x (regions, genes), the training rows among them. None: the data of the model.
    rows
        Rows of the tables. None: those held out in training, or all where none was.
    predictors
        As of :func:`compare`.

    Returns
    -------
    By name, rows x genes in log10(CPM + 1), NaN where a predictor has no number.

    Raises
    ------
    InputError
        If nothing was held out, a name is unknown, or there is nothing to learn from.

    Examples
    --------
    >>> tables = scget.bm.predictions(model, pb, rows=["Mono"], predictors=["training_mean"])
    >>> tables["training_mean"].index.tolist()
    ['Mono']
    """
    chosen = chosen_of(predictors)
    if not chosen:
        raise InputError("no predictor is named; at least one is needed")
    setting = ask(model, mdata, rows)
    table = setting.task.table
    at = table.row_positions(rows) if rows is not None or not setting.held_k.any() else np.flatnonzero(setting.held_k)
    names, genes = pd.Index(table.rows[at].astype(str)), pd.Index(table.genes.astype(str))
    found = predictions_of(chosen, setting)
    return {name: pd.DataFrame(one.mean_kg[at], names, genes) for name, one in found.items()}
