"""What all pictures share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes


def observed(adata: AnnData, layer: str | None) -> pd.DataFrame:
    """Raw counts as log10(CPM + 1), rows x genes."""
    counts = adata.to_df(layer=layer).astype(np.float64)
    return np.log10(counts.div(counts.sum(axis=1), axis=0) * 1e6 + 1)


def finish(ax: Axes, *, own: bool, show: bool | None, return_fig: bool) -> Any:
    """Show, or return what was asked for; a figure made here is shown unless told otherwise."""
    import matplotlib.pyplot as plt

    if return_fig:
        return ax.figure
    if own if show is None else show:
        plt.show()
        return None
    return ax
