"""Rows where the model puts them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scget import _keys
from scget._errors import InputError, first

from ._shared import AMOUNT, BLUE, axes, documented, finish, look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mudata import MuData

_MOST_NAMES = 40  # rows whose names are written beside them


@documented
def embedding(
    mdata: MuData,
    color: str | None = None,
    *,
    key: str = "get",
    atac: str = _keys.ATAC,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Any:
    """Draw rows by the first two principal components of their embedding.

    For many cells scanpy does better: ``sc.pp.neighbors(mdata["atac"], use_rep="X_get")``, ``sc.tl.umap``.

    Parameters
    ----------
    mdata
        After ``scget.tl.embed``.
    color
        Column of ``atac.obs``, such as a cell type, or labels of ``scget.tl.transfer_labels``; numbers get a colour bar.
    key, atac
        ``key_added`` of the embedding, name of the ATAC modality.
    ax, show, return_fig
        {axes}

    Returns
    -------
    {returned} Up to 40 rows have their names beside them. The share of the variance that a component has stands on its
    axis; its sign is arbitrary, and here such that the greatest absolute value is positive.

    Raises
    ------
    InputError
        If there is no embedding, no such column, or fewer than 3 rows.

    Examples
    --------
    >>> scget.tl.embed(pb, model)
    >>> scget.pl.embedding(pb, "cell_type", show=False).get_title()
    'X_get'
    """
    slot, adata = _keys.Slots(key).embedding, mdata[atac]
    if slot not in adata.obsm:
        raise InputError(f"no embedding in {atac}.obsm[{slot!r}]; run scget.tl.embed(mdata, model) first")
    if color is not None and color not in adata.obs:
        raise InputError(f"no column {color!r} in {atac}.obs; there are {first(adata.obs.columns)}")
    if adata.n_obs < 3:
        raise InputError(f"{adata.n_obs} rows: at least 3 are needed for two components")
    from sklearn.decomposition import PCA

    fitted = PCA(2, random_state=0)
    at_k2 = fitted.fit_transform(np.asarray(adata.obsm[slot], dtype=np.float64))
    at_k2 = at_k2 * np.sign(at_k2[np.abs(at_k2).argmax(axis=0), [0, 1]])
    drawn = axes(ax, (5, 4))
    _points(drawn, at_k2, None if color is None else adata.obs[color], color)
    if adata.n_obs <= _MOST_NAMES:
        for name, (x, y) in zip(adata.obs_names, at_k2, strict=True):
            drawn.annotate(str(name), (x, y), xytext=(4, 3), textcoords="offset points", fontsize="x-small")
    x_share, y_share = fitted.explained_variance_ratio_
    drawn.set(xlabel=f"PC1 ({x_share:.0%})", ylabel=f"PC2 ({y_share:.0%})", title=slot)
    drawn.margins(0.12)
    return finish(drawn, ax, show, return_fig)


def _points(drawn: Axes, at_k2: np.ndarray, values: pd.Series | None, name: str | None) -> None:
    """A point per row; a colour and marker per category, or a colour bar."""
    size, (x_k, y_k) = float(np.clip(2000 / len(at_k2), 4, 40)), at_k2.T
    if values is None:
        drawn.scatter(x_k, y_k, s=size, color=BLUE)
    elif pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        points = drawn.scatter(x_k, y_k, s=size, c=values.to_numpy(dtype=np.float64), cmap=AMOUNT)
        drawn.figure.colorbar(points, ax=drawn, label=name)
    else:
        groups = values.astype("category").cat.remove_unused_categories()
        for i, group in enumerate(groups.cat.categories):
            mine = (groups == group).to_numpy()
            drawn.scatter(x_k[mine], y_k[mine], s=size, label=str(group), **look(i))
        drawn.legend(fontsize="x-small", frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), title=name)
