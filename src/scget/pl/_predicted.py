"""Predicted against observed expression."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scget import _keys
from scget._errors import InputError
from scget.bm import pearson
from scget.data._table import positions

from ._shared import axes, finish, observed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from mudata import MuData


def predicted(
    mdata: MuData,
    row: str,
    *,
    training_rows: Sequence[str] | None = None,
    genes: Sequence[str] | None = None,
    key: str = "get",
    rna: str = _keys.RNA,
    layer: str | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Any:
    """Draw predicted against observed expression of one row, as it is or as departure from a mean.

    Parameters
    ----------
    mdata
        After ``scget.tl.predict``.
    row
        Name of the row.
    training_rows
        Subtract the observed mean of these rows from both axes: what differs between cell types. None: as it is.
    genes
        Names. None: all that were predicted.
    key, rna, layer
        ``key_added`` of the prediction, name of the RNA modality, layer of its raw counts (None: ``X``).
    ax, show, return_fig
        As in scanpy: axes to draw on; show at once (None: if no ``ax`` is given); return the figure.

    Returns
    -------
    None when shown, else the axes or, with ``return_fig``, the figure.

    Examples
    --------
    >>> scget.tl.predict(pb, model)
    >>> scget.pl.predicted(pb, "Mono", training_rows=model.holdout.seen_obs, show=False).get_xlabel()
    'observed, minus mean of training rows, log10'
    """
    adata = mdata[rna]
    if key not in adata.layers:
        raise InputError(f"no prediction in {rna}.layers[{key!r}]; run scget.tl.predict(mdata, model) first")
    positions(adata.obs_names.to_numpy(), [row], "row")
    expected = adata.to_df(layer=key).loc[row]
    seen = observed(adata, layer)
    x, y = seen.loc[row], expected
    if training_rows is not None:
        mean = seen.iloc[positions(adata.obs_names.to_numpy(), training_rows, "row")].mean()
        x, y = x - mean, y - mean
    at = slice(None) if genes is None else positions(adata.var_names.to_numpy(), genes, "gene")
    x, y = x.iloc[at], y.iloc[at]
    kept = np.isfinite(y)
    if not kept.any():
        raise InputError(f"none of {len(y)} genes was predicted: they have no promoter region")
    x, y = x[kept].to_numpy(), y[kept].to_numpy()
    drawn = axes(ax, (4, 4))
    drawn.scatter(x, y, s=6, alpha=0.4, linewidths=0, rasterized=True)
    limits = [min(x.min(), y.min()), max(x.max(), y.max())]
    drawn.plot(limits, limits, color="0.5", lw=0.8, zorder=0)
    what = "log10(CPM + 1)" if training_rows is None else "minus mean of training rows, log10"
    name = "r" if training_rows is None else "delta r"
    drawn.set(xlabel=f"observed, {what}", ylabel=f"predicted, {what}")
    drawn.set_title(f"{row}: {name} = {pearson(y, x):.2f}, {len(x):,} genes")
    return finish(drawn, own=ax is None, show=show, return_fig=return_fig)
