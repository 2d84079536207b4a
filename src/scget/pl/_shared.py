"""What all pictures share: axes, the end of a call, words of docstrings, colours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

from scget._errors import InputError
from scget.data._table import log_cpm

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.transforms import Transform

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


def panels(ax: Axes | Sequence[Axes] | None, n: int, size: tuple[float, float]) -> np.ndarray:
    """``n`` axes beside each other, of one scale: those given, or those of a new figure of ``size`` inches."""
    import matplotlib.pyplot as plt

    if ax is None:
        return plt.subplots(1, n, figsize=size, layout="constrained", sharex=True, sharey=True, squeeze=False)[1][0]
    given = np.ravel(np.asarray(ax, dtype=object))
    if len(given) != n:
        raise InputError(f"ax holds {len(given)} axes; {n} are drawn on: give as many, or None")
    return given


def finish(drawn: Axes | np.ndarray, ax: Any, show: bool | None, return_fig: bool) -> Any:
    """Show, or return what was asked for; a figure made here is shown unless told otherwise."""
    import matplotlib.pyplot as plt

    if return_fig:
        return (drawn[0] if isinstance(drawn, np.ndarray) else drawn).figure
    if ax is None if show is None else show:
        plt.show()
        return None
    return drawn


def beside(drawn: Axes) -> Transform:
    """Where small axes stand beside others, whatever the size of these: x in inches from their right edge, y from 0 to 1."""
    from matplotlib.transforms import ScaledTranslation, blended_transform_factory

    own: Any = drawn.transAxes
    return blended_transform_factory(drawn.figure.dpi_scale_trans + ScaledTranslation(1, 0, own), own)


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
