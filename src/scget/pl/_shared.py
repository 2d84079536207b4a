"""What all pictures share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from scget.data._table import log_cpm

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes


def observed(adata: AnnData, layer: str | None) -> pd.DataFrame:
    """Raw counts as log10(CPM + 1), rows x genes."""
    counts = adata.to_df(layer=layer)
    return pd.DataFrame(log_cpm(counts.to_numpy()), counts.index, counts.columns)


def axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Axes to draw on: those given, or those of a new figure of ``size`` inches."""
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def finish(ax: Axes, *, own: bool, show: bool | None, return_fig: bool) -> Any:
    """Show, or return what was asked for; a figure made here is shown unless told otherwise."""
    import matplotlib.pyplot as plt

    if return_fig:
        return ax.figure
    if own if show is None else show:
        plt.show()
        return None
    return ax
