"""A model beside other predictors, on the same rows and genes that it never saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from scget._errors import InputError, first, warn
from scget.data._table import positions

from ._baselines import BASELINES, Task
from ._bootstrap import check_sizes
from ._questions import NAMES, Ground, Prediction, answer, questions_of
from ._setting import Setting, ask

if TYPE_CHECKING:
    from mudata import MuData

    from scget.model import GET, Ensemble

BATCH = 64  # windows predicted at a time
MODEL = "GET"  # what the model is called in the table
MOST_ROWS = 5  # held-out rows of which all pairs are contrasted
COLUMNS = ["split", "row", "metric", "predictor", "value", "low", "high", "n"]


def compare(
    model: GET | Ensemble,
    mdata: MuData | None = None,
    *,
    rows: Sequence[str] | None = None,
    predictors: Sequence[str | Mapping[str, Any]] | Mapping[str, Any] = tuple(BASELINES),
    metrics: Sequence[str] | None = None,
    contrasts: Sequence[tuple[str, str]] | None = None,
    n_bootstrap: int = 1000,
    over: str = "genes",
    seed: int = 0,
) -> pd.DataFrame:
    """Score a model and other predictors on what the model never saw, with intervals.

    All are scored on the same rows and genes: those for which every predictor has a number. A warning names one that lacks
    genes which the model has; one without any in a split is NaN there.

    Parameters
    ----------
    model
        Trained, with held-out rows, chromosomes or both; or an ensemble. Called ``GET`` in the table.
    mdata
        Rows x (regions, genes), the training rows among them. None: the data of the model.
    rows
        Rows to score. None: those held out. Rows that were trained on give a warning.
    predictors
        Names out of ``scget.bm.BASELINES``, or a mapping of names to other trained models, or to functions of a
        ``Task`` (training rows and genes, table of the data; see ``scget.bm.BASELINES``) that give rows x genes in
        log10(CPM + 1), or these and their standard deviations; or a list of both kinds.
    metrics
        Names, see below. None: all.
    contrasts
        Pairs of rows whose log fold change is judged. None: all pairs of held-out rows, if at most 5 are.
    n_bootstrap
        Resamples for the intervals (95%, percentile). 0: none.
    over
        What is drawn: ``"genes"``, or whole chromosomes (``"chroms"``), which leaves in what neighbours share: wider,
        and too narrow yet with fewer than about 10 chromosomes (see :func:`bootstrap`); NaN with one.
    seed
        Of the draws, which are the same for all predictors.

    Returns
    -------
    Tidy table ``split, row, metric, predictor, value, low, high, n`` (n: genes, or rows for ``gene_pearson``).

    Splits: ``rows`` (held-out rows, genes on training chromosomes), ``chroms`` (training rows, genes on held-out
    chromosomes), ``both``. Across the genes of a row: ``pearson``, ``spearman``, ``r2`` and ``slope`` (of observed on
    predicted); ``delta_*``, the same after subtracting the observed mean of the training rows from both sides;
    ``change_*``, after subtracting from the prediction its own mean over the training rows, the fair form where a gene
    was never seen. ``delta_auroc``, ``delta_auprc``, ``change_auroc``, ``change_auprc``: how well that change finds the
    genes at least three times above the training mean. ``lfc_pearson``: log fold change between two rows.
    ``gene_pearson``: the median over genes of the correlation across at least 3 rows. ``coverage_50``, ``_80``,
    ``_95``: share of genes in that interval, for predictors with standard deviations.

    Raises
    ------
    InputError
        If nothing was held out, a name is unknown, a predictor has no numbers, or there is nothing to compare with.

    Examples
    --------
    >>> table = scget.bm.compare(model, predictors=["training_mean", "ridge"], n_bootstrap=100)
    >>> table.columns.tolist()
    ['split', 'row', 'metric', 'predictor', 'value', 'low', 'high', 'n']
    """
    chosen = chosen_of(predictors)
    metrics = check_options(metrics, n_bootstrap, over)
    setting = ask(model, mdata, rows)
    pairs = _contrasts(setting, contrasts)
    others = predictions_of(chosen, setting)
    predictions = {MODEL: _of_model(model, setting), **others}
    lines = []
    for split, row_k, gene_g in setting.splits():
        ground = Ground(split, setting, row_k, _shared_genes(split, predictions, row_k, gene_g))
        if not ground.n:
            continue
        here = [p for p in pairs if row_k[list(p)].any() and (split != "chroms" or row_k[list(p)].all())]
        groups = setting.chrom_g[ground.gene_g] if over == "chroms" else None
        questions = questions_of(ground, predictions, here, metrics)
        lines += [(split, *line) for line in answer(questions, ground.n, groups, n_bootstrap, seed)]
    if not lines:
        raise InputError("no gene is left to score: none has a promoter region and a number of every predictor")
    return pd.DataFrame(lines, columns=COLUMNS)


def check_options(metrics: Sequence[str] | None = None, n_bootstrap: int = 0, over: str = "genes") -> list[str]:
    """Names of the metrics asked; :class:`InputError` for what has no meaning."""
    check_sizes(n_bootstrap)
    if over not in ("genes", "chroms"):
        raise InputError(f"over={over!r}; resamples are drawn over 'genes' or 'chroms'")
    return [NAMES[i] for i in positions(np.array(NAMES), NAMES if metrics is None else metrics, "metric")]


def chosen_of(predictors: Sequence[str | Mapping[str, Any]] | Mapping[str, Any]) -> dict[str, Any]:
    """Predictors by name: trained models and functions of a task."""
    if isinstance(predictors, str):
        raise InputError(f"{predictors!r} is one text; a list is needed: [{predictors!r}]")
    chosen: dict[str, Any] = {}
    for item in [predictors] if isinstance(predictors, Mapping) else predictors:
        if isinstance(item, str) and item not in BASELINES:
            raise InputError(f"no baseline {item!r}; there are {first(list(BASELINES), 99)}")
        found = {item: BASELINES[item]} if isinstance(item, str) else item
        if not isinstance(found, Mapping):
            raise InputError(f"a predictor of type {type(item).__name__} without a name; give {{name: predictor}}")
        for name, predictor in found.items():
            if name in chosen or name == MODEL:
                raise InputError(f"two predictors called {name!r}; give each a name of its own")
            if not callable(predictor) and not hasattr(predictor, "_predict_table"):
                raise InputError(
                    f"predictor {name!r} is of type {type(predictor).__name__}; a trained model or a function is needed"
                )
            chosen[str(name)] = predictor
    return chosen


def _contrasts(setting: Setting, contrasts: Sequence[tuple[str, str]] | None) -> list[tuple[int, int]]:
    """Positions of the rows of each pair."""
    if contrasts is None:
        held = np.flatnonzero(setting.held_k).tolist()
        return list(combinations(held, 2)) if len(held) <= MOST_ROWS else []
    pairs = []
    for pair in contrasts:
        if isinstance(pair, str) or len(pair) != 2 or pair[0] == pair[1]:
            raise InputError(f"contrast {pair!r}; two different rows are needed")
        a, b = setting.task.table.row_positions(pair)
        pairs.append((int(a), int(b)))
    return pairs


def predictions_of(chosen: dict[str, Any], setting: Setting) -> dict[str, Prediction]:
    """What each predictor says of all rows and genes."""
    for name, other in chosen.items():
        if hasattr(other, "_predict_table"):
            setting.check_other(name, other)
    predictions = {}
    for name, predictor in tqdm(chosen.items(), desc="predictors", leave=False):
        of = _of_model if hasattr(predictor, "_predict_table") else _of_function
        predictions[name] = of(predictor, setting, name)
    return predictions


def _of_model(model: GET | Ensemble, setting: Setting, name: str = MODEL) -> Prediction:
    task_table = setting.task.table
    table = task_table if name == MODEL else model.table(setting.mdata)
    prediction = model._predict_table(table, None, BATCH)
    at = np.ix_(pd.Index(table.rows).get_indexer(task_table.rows), pd.Index(table.genes).get_indexer(task_table.genes))
    std_kg = getattr(prediction, "std_kg", None)
    return Prediction(prediction.genes_kg[at], None if std_kg is None else std_kg[at])


def _of_function(predictor: Callable[[Task], Any], setting: Setting, name: str) -> Prediction:
    out = predictor(setting.task)
    arrays = [np.asarray(a) for a in (out if isinstance(out, tuple) else (out,))]
    shape = setting.task.table.expression_kg.shape
    if len(arrays) > 2 or any(a.shape != shape or a.dtype.kind not in "fiu" for a in arrays):
        found = ", ".join(f"{a.shape} of {a.dtype}" for a in arrays)
        raise InputError(f"predictor {name!r} gave {found}; numbers, rows x genes {shape}, are needed")
    return Prediction(*arrays)


def _shared_genes(split: str, predictions: dict[str, Prediction], row_k: np.ndarray, gene_g: np.ndarray) -> np.ndarray:
    """Which of the genes of a split every predictor has a number of in all rows; one without any is set aside."""
    able = {name: gene_g & np.isfinite(p.mean_kg[row_k]).all(axis=0) for name, p in predictions.items()}
    ours_g = able[MODEL]
    for name, able_g in able.items():
        if ours_g.any() and not (able_g & ours_g).any():
            warn(f"{name!r} has no number for a gene in split {split!r}: its scores there are NaN")
        elif lost := int((ours_g & ~able_g).sum()):
            warn(
                f"{name!r} has no number for {lost} of {int(ours_g.sum())} genes in split {split!r}: none is scored on them"
            )
    return np.all([able_g for name, able_g in able.items() if name == MODEL or (able_g & ours_g).any()], axis=0)
