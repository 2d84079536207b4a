"""What all pictures share: axes, the end of a call, words of docstrings, colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

from scget.data._table import log_cpm

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which the colour-blind tell apart, without yellow, which is faint on white.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
UP, DOWN = VERMILION, BLUE  # raises expression, lowers it
GROUPS = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY)
MARKERS = "osv^PX"  # what tells groups apart when the colours are used up
SIGNED, AMOUNT = "RdBu_r", "viridis"  # colour maps: around 0, and from 0

_WORDS = {
    "{axes}": "As in scanpy: axes to draw on; show at once (None: if no ``ax`` is given); return the figure.",
    "{returned}": "None when shown, else the axes or, with ``return_fig``, the figure.",
}

Function = TypeVar("Function", bound=Callable[..., Any])


def documented(picture: Function) -> Function:
    """Put the shared words into the docstring: the same function, so signature, types and doctests stay."""
    for short, words in _WORDS.items():
        picture.__doc__ = (picture.__doc__ or "").replace(short, words) or None
    return picture


def axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Axes to draw on: those given, or those of a new figure of ``size`` inches."""
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def finish(drawn: Axes, ax: Axes | None, show: bool | None, return_fig: bool) -> Any:
    """Show, or return what was asked for; a figure made here is shown unless told otherwise."""
    import matplotlib.pyplot as plt

    if return_fig:
        return drawn.figure
    if ax is None if show is None else show:
        plt.show()
        return None
    return drawn


def sign_colours(values: np.ndarray) -> list[str]:
    """``DOWN`` below 0, else ``UP``."""
    return np.where(np.asarray(values) < 0, DOWN, UP).tolist()


def look(i: int) -> dict[str, Any]:
    """Colour and marker of the ``i``-th group."""
    return {"color": GROUPS[i % len(GROUPS)], "marker": MARKERS[i // len(GROUPS) % len(MARKERS)]}


def observed(adata: AnnData, layer: str | None) -> pd.DataFrame:
    """Raw counts as log10(CPM + 1), rows x genes."""
    counts = adata.to_df(layer=layer)
    return pd.DataFrame(log_cpm(counts.to_numpy()), counts.index, counts.columns)
