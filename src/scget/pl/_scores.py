"""Scores of predictors beside each other, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scget._errors import InputError, first
from scget.bm._baselines import KNOWS_ALL_GENES

from ._shared import BLACK, axes, documented, finish, look

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NEEDED = ["split", "row", "metric", "predictor", "value"]
LABELS = {"pearson": "r", "spearman": "Spearman's r", "r2": "R2", "auroc": "AUROC", "auprc": "AUPRC"}
FORMS = {"delta_": "delta ", "change_": "change ", "gene_": "across rows, median gene ", "lfc_": "log fold change "}
SPLITS = {"rows": "unseen rows", "chroms": "unseen chromosomes", "both": "unseen rows and chromosomes"}


@documented
def scores(
    table: pd.DataFrame,
    metric: str = "delta_pearson",
    split: str | None = None,
    *,
    predictors: Sequence[str] | None = None,
    model: str = "GET",
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Any:
    """Draw one metric of all predictors, row by row, with intervals.

    Parameters
    ----------
    table
        From ``scget.bm.compare``, ``evaluate`` or ``cross_validate``.
    metric, split
        Names in it. ``split`` None: the first there is of ``"rows"``, ``"both"``, ``"chroms"``.
    predictors
        Names, drawn from top to bottom. None: all, in the order of the table.
    model
        The predictor to highlight.
    ax, show, return_fig
        {axes}

    Returns
    -------
    {returned} Hollow, where chromosomes were held out: predictors that know their genes from the training rows, which the
    model does not. Predictors without a value (such as the training mean, which predicts no deviation) are in the legend
    as "no value".

    Raises
    ------
    InputError
        If ``table`` is no table of scores, or does not hold what is asked for.

    Examples
    --------
    >>> table = scget.bm.compare(model, predictors=["training_mean", "ridge"], n_bootstrap=100)
    >>> scget.pl.scores(table, "pearson", "rows", show=False).get_xlabel()
    'r, unseen rows'
    """
    mine = _lines(table, metric, split)
    names = list(dict.fromkeys(mine["predictor"])) if predictors is None else list(predictors)
    missing = sorted(set(names) - set(mine["predictor"]))
    if missing or not names:
        raise InputError(f"no predictor {first(missing)}; there are {first(dict.fromkeys(mine['predictor']), 20)}")
    rows, chosen = list(dict.fromkeys(mine["label"])), mine["split"].iloc[0]
    valued = [name for name in names if mine.loc[mine["predictor"] == name, "value"].notna().any()]
    each = 0.15 if len(rows) < 4 else 0.085  # inches per predictor
    drawn = axes(ax, (6.5, max(0.8 + len(rows) * (each * len(valued) + 0.12), 0.8 + 0.2 * len(names))))
    for i, name in enumerate(names):
        one = mine[mine["predictor"] == name]
        shift = (valued.index(name) - (len(valued) - 1) / 2) * 0.8 / len(valued) if name in valued else 0.0
        at = np.array([rows.index(label) for label in one["label"]]) + shift
        hollow = name in KNOWS_ALL_GENES and chosen != "rows"
        _draw(drawn, one, at, name, i, highlighted=name == model, hollow=hollow)
    for edge in range(1, len(rows)):
        drawn.axhline(edge - 0.5, color="0.9", lw=0.8, zorder=0)
    if drawn.get_xlim()[0] < 0 < drawn.get_xlim()[1]:
        drawn.axvline(0, color="0.6", lw=0.8, zorder=0)
    drawn.set_yticks(range(len(rows)), rows)
    drawn.tick_params(axis="y", length=0)
    drawn.set_ylim(len(rows) - 0.5, -0.5)
    drawn.spines[["top", "right"]].set_visible(False)
    drawn.set_xlabel(f"{_label(metric)}, {SPLITS[chosen]}")
    drawn.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, borderaxespad=0)
    return finish(drawn, ax, show, return_fig)


def _lines(table: pd.DataFrame, metric: str, split: str | None) -> pd.DataFrame:
    """Lines of one metric and split, with a label for each row; the fold is in it where rows come more than once."""
    missing = [c for c in NEEDED if c not in getattr(table, "columns", ())]
    if missing:
        raise InputError(f"table lacks {first(missing)}: one of scget.bm.compare or evaluate is needed")
    mine = table[table["metric"] == metric]
    if not len(mine):
        raise InputError(f"no metric {metric!r}; there are {first(dict.fromkeys(table['metric']), 30)}")
    there = [s for s in ("rows", "both", "chroms") if s in set(mine["split"])]
    split = there[0] if split is None and there else split
    mine = mine[mine["split"] == split].copy()
    if split not in there:
        raise InputError(f"no split {split!r} of {metric!r}; there are {first(there)}")
    mine["label"] = mine["row"].astype(str)
    if mine.duplicated(["row", "predictor"]).any():
        if "fold" not in mine or mine.duplicated(["fold", "row", "predictor"]).any():
            raise InputError("a row and predictor stand in the table more than once: draw one table at a time")
        mine["label"] += " (" + mine["fold"].astype(str) + ")"
    return mine


def _draw(ax: Axes, one: pd.DataFrame, at: np.ndarray, name: str, i: int, *, highlighted: bool, hollow: bool) -> None:
    value = one["value"].to_numpy(float)
    style = {"color": BLACK, "marker": "D"} if highlighted else look(i)
    colour = style["color"]
    if {"low", "high"} <= set(one.columns):
        ax.hlines(at, one["low"], one["high"], color=colour, lw=2.5 if highlighted else 1.2, zorder=2)
    label = name + (" (knows all genes)" if hollow else "") + ("" if np.isfinite(value).any() else ": no value")
    ax.scatter(
        value,
        at,
        s=34 if highlighted else 16,
        marker=style["marker"],
        facecolors="white" if hollow else [colour],
        edgecolors=[colour],
        zorder=3,
        label=label,
    )


def _label(metric: str) -> str:
    form = next((f for f in FORMS if metric.startswith(f)), "")
    name = metric.removeprefix(form)
    return FORMS.get(form, "") + LABELS.get(name, name.replace("_", " "))
