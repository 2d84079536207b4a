"""Genes below a view of the genome: a line from the first exon to the last, a box for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ._shared import BLACK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ARROWS = {"+": "\u25b8", "-": "\u25c2"}
_NAME = 0.012  # width of a letter, as a share of the view


def draw_genes(
    drawn: Axes, exons: pd.DataFrame, gene: str, view: tuple[float, float], top: float, height: float
) -> float:
    """Draw genes from ``top`` downwards, as many lines of ``height`` as keep them apart; return where they end.

    ``exons``: of :func:`~scget.pp._annotation.read_exons`. ``gene``, a name or id, is black and the others grey. ``view``: bp.
    """
    (low, high), ends = view, list[float]()  # last bp taken of each line
    spans = exons.groupby("gene_id").agg(gene=("gene", "first"), start=("start", "min"), end=("end", "max"))
    spans = spans.assign(start=spans["start"].clip(lower=low), end=spans["end"].clip(upper=high)).sort_values("start")
    for gene_id, name, start, end in spans.itertuples():
        wide = _NAME * (high - low) * (len(name) + 2)
        on_left = start - wide > low
        begins, stops = (start - wide, end) if on_left else (start, end + wide)
        line = next((i for i, taken in enumerate(ends) if taken < begins), len(ends))
        ends[line : line + 1] = [stops]
        y, colour = top - (line + 0.5) * height, BLACK if gene in (name, gene_id) else "0.6"
        mine = exons[exons["gene_id"] == gene_id]
        drawn.plot([start / 1e3, end / 1e3], [y, y], color=colour, lw=0.8, solid_capstyle="butt")
        widths = np.maximum(mine["end"] - mine["start"], (high - low) / 400)  # visible in a wide view
        drawn.bar(mine["start"] / 1e3, 0.5 * height, widths / 1e3, y - 0.25 * height, align="edge", color=colour)
        text = f"{name} {_ARROWS.get(mine['strand'].iloc[0], '')}"
        edge, pad, side = (start, -3, "right") if on_left else (end, 3, "left")
        how: dict[str, Any] = {
            "textcoords": "offset points",
            "ha": side,
            "va": "center",
            "fontsize": 7,
            "color": colour,
        }
        drawn.annotate(text, (edge / 1e3, y), (pad, 0), annotation_clip=True, **how)
    return top - len(ends) * height
