"""What motifs do, by row or by gene, with their logos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scget import _keys
from scget._errors import InputError, first
from scget.data._table import positions

from ._logos import draw_logos, matrices_of
from ._shared import AMOUNT, SIGNED, axes, beside, documented, finish

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

CELL, LEAST = 0.25, 1.2  # inches of a column, of all columns at least
LOGO = 1.1  # inches


@documented
def motif_heatmap(
    mdata: MuData,
    row: str | None = None,
    *,
    rows: Sequence[str] | None = None,
    genes: Sequence[str] | None = None,
    motifs: str | PathLike[str] | Mapping[str, np.ndarray] | None = None,
    n_motifs: int = 20,
    n_genes: int = 20,
    key: str = "get",
    rna: str = _keys.RNA,
    atac: str = _keys.ATAC,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Any:
    """Draw the motifs that do most: how much in each row, or what in each gene of one row.

    Parameters
    ----------
    mdata
        After ``scget.tl.attribute``.
    row
        Name of a row: motifs x genes. None: motifs x rows.
    rows
        Rows from left to right, without ``row``. None: all that were attributed.
    genes
        Names. None: without ``row`` all that were attributed in each row shown, else the ``n_genes`` with the greatest effects.
    motifs
        The set that the scores were made from, or its file: logos are drawn beside the motifs, of a cluster that of its
        first motif. Needs the extra ``logo``.
    n_motifs
        Motifs with the greatest absolute value in any column, the greatest on top.
    n_genes
        See ``genes``.
    key, rna, atac
        ``key_added`` of the attribution, names of the modalities.
    ax, show, return_fig
        {axes}

    Returns
    -------
    {returned} Motifs x rows: mean over the genes of the absolute effect, as in ``rna.obsm["get_motif"]``. Motifs x genes:
    the effect, red where it raises expression; genes that the program chose stand beside those like them.

    Raises
    ------
    InputError
        If there is no attribution of these rows and genes, or none of the motifs is in the set.
    ImportError
        If logos are asked for and logomaker is missing.

    Examples
    --------
    >>> scget.tl.attribute(pb, model)
    >>> scget.pl.motif_heatmap(pb, show=False).get_title()
    'mean effect of motifs on 50 genes'
    >>> scget.pl.motif_heatmap(pb, "Mono", genes=["GATA1", "MYC"], show=False).get_title()
    'effects of motifs in Mono'
    """
    if n_motifs < 1 or n_genes < 1:
        raise InputError(f"n_motifs={n_motifs}, n_genes={n_genes}: at least 1 of each is needed")
    shown, title = _table(mdata[rna], row, rows, genes, n_genes, key)
    strength = shown.abs().max(axis=1).sort_values(ascending=False, kind="stable")
    shown = shown.loc[strength.index[:n_motifs]]
    matrices = None if motifs is None else matrices_of(shown.index, motifs, mdata.mod.get(atac))
    width = 3.1 + max(CELL * shown.shape[1], LEAST) + (LOGO if matrices else 0)
    drawn = axes(ax, (width, 1.5 + 0.24 * len(shown)))
    most = max(float(strength.iloc[0]), 1e-12)
    limits: dict[str, Any] = {"cmap": AMOUNT, "vmin": 0} if row is None else {"cmap": SIGNED, "vmin": -most}
    image = drawn.imshow(shown.to_numpy(), vmax=most, aspect="auto", interpolation="nearest", **limits)
    drawn.set_xticks(range(shown.shape[1]), shown.columns, rotation=90)
    drawn.set_yticks(range(len(shown)), shown.index)
    drawn.set_title(title)
    if matrices:
        draw_logos(drawn, list(matrices.values()), LOGO)
    at = (0.2 + (LOGO if matrices else 0), 0, 0.16, min(1, 6 / len(shown)))
    bar = drawn.inset_axes(at, transform=beside(drawn))
    label = "mean |effect|,\nlog10(CPM + 1)" if row is None else "effect,\nlog10(CPM + 1)"
    drawn.figure.colorbar(image, cax=bar, label=label)
    return finish(drawn, ax, show, return_fig)


def _table(
    adata: AnnData, row: str | None, rows: Sequence[str] | None, genes: Sequence[str] | None, n_genes: int, key: str
) -> tuple[pd.DataFrame, str]:
    """Motifs x what stands beside them, and the title."""
    if row is not None:
        effects = _effects(adata, row, genes, key).T
        return effects if genes is not None else _strongest(effects, n_genes), f"effects of motifs in {row}"
    tables = {name: _effects(adata, name, genes, key) for name in _rows(adata, rows, key)}
    shared = next(iter(tables.values())).index
    for table in tables.values():
        shared = shared[shared.isin(table.index)]
    if not len(shared):
        raise InputError(
            f"no gene was attributed in each of {len(tables)} rows; name fewer rows, or attribute them at once"
        )
    means = pd.DataFrame({name: table.loc[shared].abs().mean() for name, table in tables.items()})
    return means, f"mean effect of motifs on {len(shared):,} genes"


def _rows(adata: AnnData, rows: Sequence[str] | None, key: str) -> list[str]:
    slots = _keys.Slots(key)
    have = [name for name in adata.obs_names if slots.motif_attribution(name) in adata.varm]
    if not have:
        raise InputError(
            f"no attributions {slots.motif_attribution('<row>')!r}; run scget.tl.attribute(mdata, model) first"
        )
    return (
        have
        if rows is None
        else [have[k] for k in positions(np.array(have, dtype=object), rows, "row with attributions")]
    )


def _effects(adata: AnnData, row: str, genes: Sequence[str] | None, key: str) -> pd.DataFrame:
    """Genes x motifs of a row, genes that were attributed alone; :class:`InputError` where there are none."""
    slot, record = _keys.Slots(key).motif_attribution(row), adata.uns.get(key, {})
    if slot not in adata.varm or "motif_names" not in record:
        have = first(_rows(adata, None, key))
        raise InputError(
            f"no attributions of row {row!r}; there are {have}. Run scget.tl.attribute(..., rows=[{row!r}])"
        )
    table = pd.DataFrame(np.asarray(adata.varm[slot]), adata.var_names, np.asarray(record["motif_names"]).astype(str))
    known = table[np.isfinite(table).all(axis=1)]
    return known if genes is None else known.iloc[positions(known.index.to_numpy(), genes, f"gene attributed in {row}")]


def _strongest(table: pd.DataFrame, n: int) -> pd.DataFrame:
    """The ``n`` columns of greatest size, those alike beside each other."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    size = table.pow(2).sum().sort_values(ascending=False, kind="stable")
    table = table[size.index[:n]]
    if table.shape[1] < 3:
        return table
    return table.iloc[:, leaves_list(linkage(table.T.to_numpy(dtype=np.float64), "average", optimal_ordering=True))]
