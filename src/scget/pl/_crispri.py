"""Precision against recall of links that CRISPR interference tested."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scget._errors import InputError, first
from scget.bm._crispri_curves import CURVES

from ._shared import BLACK, axes, documented, finish, look

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

RULES = ("random", "inverse_distance", "accessibility_by_distance", "activity_by_distance")


@documented
def crispri(
    curves: pd.DataFrame,
    bin: str = "all",
    *,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Any:
    """Draw precision against recall of links and of the rules beside them.

    Parameters
    ----------
    curves
        From ``scget.bm.crispri_curves``.
    bin
        Distances of the pairs: ``"all"``, ``"0-10 kb"``, ``"10-100 kb"``, ``"> 100 kb"``.
    ax, show, return_fig
        {axes}

    Returns
    -------
    {returned} The legend has the areas; dashed: rules that need no model; the grey line is the share of regulated pairs,
    which is what chance reaches.

    Raises
    ------
    InputError
        If ``curves`` is no such table, or has no regulated pair in the bin.

    Examples
    --------
    >>> import pandas as pd
    >>> tested = pd.DataFrame(
    ...     {"chrom": "chr1", "chromStart": [100, 900, 5000], "chromEnd": [300, 1000, 5500]}
    ...     | {"measuredGeneSymbol": ["A", "A", "B"], "Regulated": [True, False, True], "startTSS": 30000}
    ... )
    >>> curves = scget.bm.crispri_curves([0.3, 0.1, 0.2], tested)
    >>> scget.pl.crispri(curves, show=False).get_title()
    '2 of 3 pairs regulated'
    """
    missing = [c for c in CURVES if c not in getattr(curves, "columns", ())]
    if missing:
        raise InputError(f"the table lacks {first(missing)}: one of scget.bm.crispri_curves is needed")
    mine = curves[curves["bin"] == bin]
    if not len(mine):
        raise InputError(f"no regulated pair in bin {bin!r}; there are {first(dict.fromkeys(curves['bin'])) or 'none'}")
    drawn, n, positive = axes(ax, (5.8, 3.6)), mine["n"].iloc[0], mine["n_positive"].iloc[0]
    names = [name for name in dict.fromkeys(mine["predictor"]) if name != "random"]
    theirs = [name for name in names if name not in RULES]
    for name in names:
        one = mine[mine["predictor"] == name]
        recall, precision = one["recall"].to_numpy(), one["precision"].to_numpy()
        area = (np.diff(recall, prepend=0) * precision).sum()
        colour = BLACK if name in theirs[:1] else look(names.index(name))["color"]
        drawn.plot(
            np.append(0, recall),
            np.append(precision[0], precision),
            drawstyle="steps-pre",
            color=colour,
            ls="--" if name in RULES else "-",
            lw=1.8 if name in theirs else 1.2,
            label=f"{name.replace('_', ' ')}: {area:.2f}",
        )
    chance = positive / n
    drawn.axhline(chance, color="0.6", lw=0.8, zorder=0, label=f"random: {chance:.2f}")
    where = "" if bin == "all" else f" at {bin}"
    drawn.set(xlim=(0, 1.01), ylim=(0, 1.03), xlabel="recall", ylabel="precision")
    drawn.set_title(f"{positive:,} of {n:,} pairs regulated{where}")
    drawn.spines[["top", "right"]].set_visible(False)
    drawn.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1), title="area below")
    return finish(drawn, ax, show, return_fig)
