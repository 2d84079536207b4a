"""Predicted against observed expression."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scget import _keys
from scget._errors import InputError
from scget.bm import pearson
from scget.data._table import positions

from ._shared import ORANGE, axes, documented, finish, observed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from mudata import MuData


@documented
def predicted(
    mdata: MuData,
    row: str,
    *,
    training_rows: Sequence[str] | None = None,
    genes: Sequence[str] | None = None,
    key: str = "get",
    rna: str = _keys.RNA,
    atac: str = _keys.ATAC,
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
    key, rna, atac, layer
        ``key_added`` of the prediction, names of the modalities, layer of raw RNA counts (None: ``X``).
    ax, show, return_fig
        {axes}

    Returns
    -------
    {returned} Genes that start only on chromosomes held out in training, whose mean the model does not know, are drawn
    apart, with their own correlation.

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
    x, y = x[kept], y[kept]
    apart = _held_out(mdata, x.index, key, atac)
    name = "r" if training_rows is None else "delta r"
    drawn = axes(ax, (4, 4))
    _scatter(drawn, x, y, apart, name)
    limits = [min(x.min(), y.min()), max(x.max(), y.max())]
    drawn.plot(limits, limits, color="0.5", lw=0.8, zorder=0)
    what = "log10(CPM + 1)" if training_rows is None else "minus mean of training rows, log10"
    drawn.set(xlabel=f"observed, {what}", ylabel=f"predicted, {what}")
    drawn.set_title(f"{row}: {name} = {pearson(y[~apart], x[~apart]):.2f}, {(~apart).sum():,} genes")
    return finish(drawn, ax, show, return_fig)


def _scatter(drawn: Axes, x: pd.Series, y: pd.Series, apart: np.ndarray, name: str) -> None:
    """A point per gene; those ``apart`` in another colour, with their correlation in the legend."""
    drawn.scatter(x[~apart], y[~apart], s=6, alpha=0.4, linewidths=0, rasterized=True)
    if apart.any():
        r, n = pearson(y[apart], x[apart]), apart.sum()
        label = f"chromosomes held out: {name} = {r:.2f}, {n:,} genes"
        drawn.scatter(x[apart], y[apart], s=6, alpha=0.6, linewidths=0, rasterized=True, c=ORANGE, label=label)
        drawn.legend(loc="upper left", fontsize="small", frameon=False, handletextpad=0.1)


def _held_out(mdata: MuData, genes: pd.Index, key: str, atac: str) -> np.ndarray:
    """Genes all of whose promoters are on chromosomes held out; none, where that holds for all of them."""
    chroms = mdata.uns.get(key, {}).get("holdout_chroms", [])
    if not len(chroms) or atac not in mdata.mod:
        return np.zeros(len(genes), dtype=bool)
    pairs = mdata[atac].uns[_keys.PEAK_ANNOTATION]
    apart = pairs["region"].astype(str).str.rsplit(":", n=1).str[0].isin(list(chroms))
    apart_g = apart.groupby(pairs["gene"].astype(str)).all().reindex(genes.astype(str), fill_value=False).to_numpy()
    return np.zeros(len(genes), dtype=bool) if apart_g.all() else apart_g
