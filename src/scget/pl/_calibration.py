"""Whether predictions err as much as they say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scget import _keys
from scget._errors import InputError
from scget.bm import coverage, interval
from scget.data._table import positions

from ._shared import axes, documented, finish, look, observed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mudata import MuData

LEVEL = 0.8  # of the interval whose coverage is told


@documented
def calibration(
    mdata: MuData,
    rows: Sequence[str] | None = None,
    *,
    genes: Sequence[str] | None = None,
    n_bins: int = 10,
    key: str = "get",
    rna: str = _keys.RNA,
    layer: str | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Any:
    """Draw the error that predictions have against the one that they say to expect.

    Parameters
    ----------
    mdata
        After ``scget.tl.predict`` with a model that tells its uncertainty.
    rows
        Names. None: those held out in training; of others the error is known to the model.
    genes
        Names. None: all with an uncertainty.
    n_bins
        Genes of a row are put into so many bins of equal size by the predicted standard deviation.
    key, rna, layer
        ``key_added`` of the prediction, name of the modality, layer of raw RNA counts (None: ``X``).
    ax, show, return_fig
        {axes}

    Returns
    -------
    {returned} A line per row, a point per bin: root mean squares of the predicted standard deviation and of the error,
    which are alike on the grey line; above it, predictions are too sure of themselves. The legend says how many genes
    lie inside their 80% interval.

    Raises
    ------
    InputError
        If there is no uncertainty, no row to judge, or there are fewer genes than bins.

    Examples
    --------
    >>> scget.tl.predict(pb, model)
    >>> scget.pl.calibration(pb, ["T0"], n_bins=5, show=False).get_ylabel()
    'error found, log10(CPM + 1)'
    """
    adata, slot = mdata[rna], _keys.Slots(key).uncertainty
    if slot not in adata.layers:
        raise InputError(
            f"no uncertainty in {rna}.layers[{slot!r}]: scget.tl.predict writes it for models with "
            "baseline='similar_rows' and for ensembles"
        )
    held = list(mdata.uns.get(key, {}).get("holdout_obs", [])) if rows is None else rows
    if not len(held) or n_bins < 1:
        raise InputError(
            f"rows={rows!r}, n_bins={n_bins}: name at least one row (none was held out), and at least 1 bin"
        )
    row_k = positions(adata.obs_names.to_numpy(), held, "row")
    gene_g = slice(None) if genes is None else positions(adata.var_names.to_numpy(), genes, "gene")
    tables = (observed(adata, layer), adata.to_df(layer=key), adata.to_df(layer=slot))
    seen_kg, predicted_kg, sd_kg = (t.to_numpy(dtype=np.float64)[row_k][:, gene_g] for t in tables)
    judged = {name: _judge(name, seen_kg[i], predicted_kg[i], sd_kg[i], n_bins) for i, name in enumerate(held)}
    drawn = axes(ax, (4.4, 4))
    for i, (name, (expected, found, share)) in enumerate(judged.items()):
        drawn.plot(expected, found, lw=1.2, ms=5, label=f"{name}: {share:.0%} inside", **look(i))
    most = max(float(max(x.max(), y.max())) for x, y, _ in judged.values())
    drawn.axline((0, 0), slope=1, color="0.6", lw=0.8, zorder=0)
    drawn.set(xlim=(0, 1.08 * most), ylim=(0, 1.08 * most), aspect="equal")
    drawn.set(xlabel="error expected, log10(CPM + 1)", ylabel="error found, log10(CPM + 1)")
    drawn.legend(frameon=False, fontsize="small", title=f"{LEVEL:.0%} intervals", loc="upper left")
    return finish(drawn, ax, show, return_fig)


def _judge(
    row: str, seen_g: np.ndarray, predicted_g: np.ndarray, sd_g: np.ndarray, n_bins: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Error expected and found in each bin, and the share of genes inside their interval."""
    known = np.isfinite(predicted_g) & np.isfinite(sd_g)
    if known.sum() < n_bins:
        raise InputError(
            f"{known.sum()} genes of {row!r} have an uncertainty: at least {n_bins}, one per bin, are needed"
        )
    seen_g, predicted_g, sd_g = seen_g[known], predicted_g[known], sd_g[known]
    bins = np.array_split(np.argsort(sd_g, kind="stable"), n_bins)
    expected, found = (np.array([np.sqrt(np.mean(a[at] ** 2)) for at in bins]) for a in (sd_g, predicted_g - seen_g))
    return expected, found, coverage(seen_g, *interval(predicted_g, sd_g, LEVEL))
