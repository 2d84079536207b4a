"""Predicted against observed expression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scget import _keys
from scget._errors import InputError, first
from scget.bm import pearson
from scget.bm._baselines import KNOWS_ALL_GENES
from scget.data._table import positions

from ._shared import BLUE, ORANGE, documented, finish, observed, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mudata import MuData


TINY = 1e-5  # log10 units


@documented
def predicted(
    mdata: MuData,
    row: str,
    *,
    training_rows: Sequence[str] | None = None,
    baselines: Mapping[str, pd.DataFrame] | None = None,
    genes: Sequence[str] | None = None,
    key: str = "get",
    rna: str = _keys.RNA,
    atac: str = _keys.ATAC,
    layer: str | None = None,
    ax: Axes | Sequence[Axes] | None = None,
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
    baselines
        Predictions of others, by name, rows x genes, as ``scget.bm.predictions`` gives: each is drawn beside, on the
        same genes.
    genes
        Names. None: all that were predicted.
    key, rna, atac, layer
        ``key_added`` of the prediction, names of the modalities, layer of raw RNA counts (None: ``X``).
    ax, show, return_fig
        {axes} With ``baselines``, a sequence of axes: one for the model and one for each of them.

    Returns
    -------
    {returned} With ``baselines`` an array of axes. Genes that start only on chromosomes not trained on (held out, or watched), whose mean
    the model does not know, are drawn apart, with their own correlation; the legend says where a baseline knows it.

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
    y_by = {"": adata.to_df(layer=key).loc[row], **_of_row(baselines or {}, row, adata.var_names)}
    x, y_by = _numbers(observed(adata, layer), row, y_by, training_rows, genes)
    apart, every = _not_seen(mdata, x.index, key, atac), np.concatenate([x, *y_by.values()])
    ends = [every.min(), every.max()]
    alone = baselines is None
    drawn = panels(ax, len(y_by), (4, 4) if alone else (3.2 * len(y_by), 3.5))
    what = "log10(CPM + 1)" if training_rows is None else "minus mean of training rows, log10"
    gap, size = (" ", "medium") if alone else ("\n", "small")
    for one, (name, y) in zip(drawn, y_by.items(), strict=True):
        said = _scatter(one, x, y, apart, "r" if training_rows is None else "delta r", known=name in KNOWS_ALL_GENES)
        one.plot(ends, ends, color="0.5", lw=0.8, zorder=0)
        one.set_title(f"{row}: {said}" if alone else f"{name.replace('_', ' ') or f'{row}, GET'}\n{said}")
        one.set_xlabel(f"observed,{gap}{what}", fontsize=size)
        one.set_ylabel("" if name else f"predicted,{gap}{what}", fontsize=size)
    return finish(drawn[0] if alone else drawn, ax, show, return_fig)


def _numbers(
    seen: pd.DataFrame,
    row: str,
    y_by: dict[str, pd.Series],
    training_rows: Sequence[str] | None,
    genes: Sequence[str] | None,
) -> tuple[pd.Series, dict[str, pd.Series]]:
    """Observed and predicted, less the mean of the training rows if asked for, of the genes that all have a number of."""
    x = seen.loc[row]
    if training_rows is not None:
        mean = seen.iloc[positions(seen.index.to_numpy(), training_rows, "row")].mean()
        x, changes = x - mean, {name: y - mean for name, y in y_by.items()}
        y_by = {name: y.mask(y.abs() < TINY, 0.0) for name, y in changes.items()}  # what rounding leaves of no change
    at = slice(None) if genes is None else positions(seen.columns.to_numpy(), genes, "gene")
    kept = np.isfinite(pd.DataFrame(y_by).iloc[at]).all(axis=1)
    if not kept.any():
        raise InputError(f"none of {len(kept)} genes was predicted: they have no promoter region")
    names = kept.index[kept]
    return x[names], {name: y[names] for name, y in y_by.items()}


def _of_row(baselines: Mapping[str, pd.DataFrame], row: str, genes: pd.Index) -> dict[str, pd.Series]:
    """What each says of the row; :class:`InputError` where one lacks it."""
    lacking = [name for name, table in baselines.items() if row not in getattr(table, "index", ())]
    if lacking:
        raise InputError(
            f"{first(lacking)} of the baselines is no table with row {row!r}; take those of scget.bm.predictions(model)"
        )
    return {name: table.loc[row].reindex(genes) for name, table in baselines.items()}


def _scatter(drawn: Axes, x: pd.Series, y: pd.Series, apart: np.ndarray, score: str, *, known: bool) -> str:
    """A point per gene; those ``apart`` in another colour, their correlation in the legend. Returned is that of the others."""
    look: dict[str, Any] = {"s": 6, "linewidths": 0, "rasterized": True}
    drawn.scatter(x[~apart], y[~apart], color=BLUE, alpha=0.4, **look)
    if apart.any():
        genes = "not trained on, known to it" if known else "chromosomes not trained on"
        label = f"{genes}:\n{_said(x[apart], y[apart], score)}"
        drawn.scatter(x[apart], y[apart], color=ORANGE, alpha=0.7, label=label, **look)
        drawn.legend(loc="upper left", fontsize="small", frameon=False, handletextpad=0.1, borderaxespad=0.2)
    return _said(x[~apart], y[~apart], score)


def _said(x: pd.Series, y: pd.Series, score: str) -> str:
    """Correlation and number of genes; one that is the same for all genes has none."""
    r = pearson(y.to_numpy(), x.to_numpy())
    return f"{score} = {r:.2f}, {len(x):,} genes" if np.isfinite(r) else f"no {score}, {len(x):,} genes"


def _not_seen(mdata: MuData, genes: pd.Index, key: str, atac: str) -> np.ndarray:
    """Genes all of whose promoters are on chromosomes not trained on, held out or watched; none, where that holds for all."""
    record = mdata.uns.get(key, {})
    unseen = [*record.get("holdout_chroms", []), *record.get("watched_chroms", [])]
    if not unseen or atac not in mdata.mod:
        return np.zeros(len(genes), dtype=bool)
    pairs = mdata[atac].uns[_keys.PEAK_ANNOTATION]
    apart = pairs["region"].astype(str).str.rsplit(":", n=1).str[0].isin(unseen)
    apart_g = apart.groupby(pairs["gene"].astype(str)).all().reindex(genes.astype(str), fill_value=False).to_numpy()
    return np.zeros(len(genes), dtype=bool) if apart_g.all() else apart_g
