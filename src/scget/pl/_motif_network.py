"""Motifs on a circle, and the edges between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scget._errors import InputError, first

from ._shared import DOWN, UP, axes, documented, finish

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_CAUSAL, _PAIRS = ("source", "target", "weight"), ("motif_a", "motif_b", "mean")


@documented
def motif_network(
    table: pd.DataFrame,
    row: str | None = None,
    *,
    top: int = 40,
    min_frequency: float = 0.5,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Any:
    """Draw the strongest edges of a causal graph of motifs, or the pairs of motifs that act together.

    Parameters
    ----------
    table
        ``mdata.uns["get"]["motif_network"]``, drawn with arrows from source to target, or ``["motif_pairs"]``, with lines,
        as wide as rms is great.
    row
        Name. None: the only row there is.
    top
        Edges drawn at most, the strongest.
    min_frequency
        Share of bootstrap draws in which an edge must be, where there were draws.
    ax, show, return_fig
        {axes}

    Returns
    -------
    {returned} Vermilion: positive, blue: negative; motifs stand around the circle in the order of the alphabet.

    Examples
    --------
    >>> scget.tl.attribute(pb, model, rows=["Mono"])
    >>> scget.tl.motif_network(pb, row="Mono", n_draws=0)
    >>> scget.pl.motif_network(pb.uns["get"]["motif_network"], show=False).get_title()
    'motifs upstream of motifs in Mono'
    """
    if not hasattr(table, "columns"):
        raise InputError(f"a {type(table).__name__}; a table is needed, such as mdata.uns['get']['motif_network']")
    causal = set(_CAUSAL) <= set(table.columns)
    if not causal and not {*_PAIRS, "rms"} <= set(table.columns):
        raise InputError(f"columns {first(table.columns)}: a table of tl.motif_network or tl.motif_pairs is needed")
    if top < 1:
        raise InputError(f"top={top}: at least 1 is needed")
    shown, row = _of_row(table, row)
    if causal:
        shown = shown[~(shown["frequency"] < min_frequency)]  # NaN: there were no draws
    names = _CAUSAL if causal else _PAIRS
    size = "weight" if causal else "rms"
    shown = shown.assign(size=shown[size].abs()).nlargest(top, "size")
    drawn = axes(ax, (6, 6))
    edges = shown.assign(a=shown[names[0]].astype(str), b=shown[names[1]].astype(str), value=shown[names[2]])
    _circle(drawn, edges[["a", "b", "value", "size"]], arrows=causal)
    drawn.set_title(f"{'motifs upstream of motifs' if causal else 'motifs that act together'} in {row}")
    return finish(drawn, ax, show, return_fig)


def _of_row(table: pd.DataFrame, row: str | None) -> tuple[pd.DataFrame, str]:
    rows = list(dict.fromkeys(table["row"].astype(str)))
    if row is None and len(rows) == 1:
        row = rows[0]
    if row is None or row not in rows:
        raise InputError(f"row={row!r}: one of the rows of the table is needed, {first(rows) or 'but it is empty'}")
    return table[table["row"].astype(str) == row], row


def _circle(drawn: Axes, edges: pd.DataFrame, *, arrows: bool) -> None:
    from matplotlib.patches import FancyArrowPatch

    names = sorted({*edges["a"], *edges["b"]})
    angle_m = np.pi / 2 - 2 * np.pi * np.arange(len(names)) / max(len(names), 1)
    place = dict(zip(names, np.column_stack([np.cos(angle_m), np.sin(angle_m)]), strict=True))
    most = edges["size"].max() if len(edges) else 1.0
    for a, b, value, size in edges.iloc[::-1].itertuples(index=False):  # the strongest lie on top
        line = FancyArrowPatch(
            place[a],
            place[b],
            arrowstyle="-|>" if arrows else "-",
            connectionstyle="arc3,rad=0.15",
            mutation_scale=12,
            shrinkA=5,
            shrinkB=5,
            lw=0.4 + 2.6 * size / most,
            color=UP if value > 0 else DOWN,
            alpha=0.8,
        )
        drawn.add_patch(line)
    for name, angle in zip(names, angle_m, strict=True):
        x, y = place[name]
        drawn.plot(x, y, "o", color="0.3", ms=5)
        left = np.cos(angle) < -1e-9
        turn = np.degrees(angle) + (180 if left else 0)
        kind = {"ha": "right" if left else "left", "va": "center", "rotation": turn, "rotation_mode": "anchor"}
        drawn.text(1.06 * x, 1.06 * y, name, fontsize=8, **kind)
    drawn.set(xlim=(-1.45, 1.45), ylim=(-1.45, 1.45), aspect="equal")
    drawn.axis("off")
