"""Predicted beside measured activity of sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scget import bm
from scget._errors import InputError, first
from scget.pp._inserts import element_keys, inserts

from ._shared import BLUE, axes, documented, finish

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@documented
def mpra(
    scores: Any,
    activity: Sequence[float] | np.ndarray | pd.Series,
    *,
    sequences: Sequence[str] | pd.Series | None = None,
    adaptor: int = 0,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Any:
    """Draw predicted against measured activity of sequences.

    Parameters
    ----------
    scores
        From ``scget.tl.mpra``, of one row; or one number per sequence, as ``model.Reporter.predict`` gives.
    activity
        Measured, one per sequence. Where it and the scores are both Series, they are matched by index.
    sequences, adaptor
        In the order of ``activity``: the two orientations of an element are then joined by a line, and the title says
        how well these agree in the assay.
    ax, show, return_fig
        {axes}

    Returns
    -------
    {returned} r is Pearson's over all sequences.

    Examples
    --------
    >>> scget.pl.mpra([0.1, 0.4, 0.9, 1.2], [0.0, 0.5, 0.8, 1.3], show=False).get_title()
    'r = 0.98, 4 sequences'
    """
    from matplotlib.collections import LineCollection

    if isinstance(scores, pd.DataFrame):
        rows = list(dict.fromkeys(scores["row"].astype(str)))
        if len(rows) != 1:
            raise InputError(
                f"scores of {len(rows)} rows ({first(rows)}); take those of one: scores[scores['row'] == ...]"
            )
        scores = scores["activity"]
    keys = None if sequences is None else element_keys(inserts(sequences, adaptor))
    judged = bm.mpra(scores, activity, pairs=keys, n_bootstrap=0)  # refuses what does not fit
    if isinstance(scores, pd.Series) and isinstance(activity, pd.Series):
        scores = scores.loc[activity.index]
    x_n, y_n = np.asarray(scores, dtype=np.float64), np.asarray(activity, dtype=np.float64)
    value = judged[judged["metric"] == "pearson"].set_index("predictor")["value"]
    drawn = axes(ax, (4.2, 4.2))
    if keys is not None:
        pairs = [at for at in pd.Series(np.arange(len(keys))).groupby(keys).indices.values() if len(at) == 2]
        ends = [np.column_stack([x_n[at], y_n[at]]) for at in pairs]
        drawn.add_collection(LineCollection(ends, colors="0.8", linewidths=0.5, zorder=1))
    drawn.scatter(x_n, y_n, s=6, alpha=0.5, linewidths=0, zorder=2, color=BLUE)
    title = f"r = {value['prediction']:.2f}, {len(x_n):,} sequences"
    if "other_orientation" in value:
        title += f"\n(orientations agree at r = {value['other_orientation']:.2f})"
    drawn.set(xlabel="predicted activity", ylabel="measured activity", title=title)
    return finish(drawn, ax, show, return_fig)
