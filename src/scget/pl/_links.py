"""The regions linked to a gene, as arcs above their accessibility."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from scget import _keys
from scget._errors import InputError, first
from scget.data._table import positions
from scget.pp._annotation import read_exons
from scget.pp._checks import get_modality
from scget.pp._regions import parse_regions

from ._attribution import links_of, on_one_chrom, promoters_of
from ._genes import draw_genes
from ._shared import BLACK, axes, documented, finish, sign_colours

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

_TRACK = 0.22  # height of a row's accessibility, of the arcs'
_ARC = np.linspace(0, np.pi, 50)


@documented
def links(
    mdata: MuData,
    gene: str,
    row: str,
    *,
    rows: Sequence[str] | None = None,
    top: int | None = 20,
    flank: int | None = None,
    annotation: str | Path | None = None,
    key: str = "get",
    atac: str = _keys.ATAC,
    layer: str | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Any:
    """Draw which regions a gene is linked to, above the accessibility of the regions there.

    Parameters
    ----------
    mdata
        After ``scget.tl.links`` or ``scget.tl.attribute`` with this gene and row.
    gene, row
        Names.
    rows
        Rows whose accessibility is drawn, one below the other. None: ``row``.
    top
        Links of highest score that are drawn. None: all.
    flank
        Show this many bp on either side of the TSS. None: as far as links reach.
    annotation
        Path of a GTF or GFF, whose genes are drawn below: exons as boxes, this gene black.
    key, atac, layer
        ``key_added`` of the links, name of the ATAC modality, and its layer of counts (None: ``X``).
    ax, show, return_fig
        {axes}

    Returns
    -------
    {returned} Each arc goes from a region's centre to the nearest TSS, its height is the score; vermilion raises
    expression, blue lowers it. Bars: counts per million of each row, all in the same unit, the greatest shown filling its
    track.

    Raises
    ------
    InputError
        If there are no such links, or no such row.

    Examples
    --------
    >>> scget.tl.links(pb, model, genes=["GATA1"], rows=["Mono"])
    >>> scget.pl.links(pb, "GATA1", "Mono", rows=["Mono"], show=False).get_title()
    'GATA1 in Mono'
    """
    row_names, adata = _asked(mdata, row, rows, flank, atac, layer)
    mine = links_of(mdata, gene, row, key).sort_values("score", ascending=False)
    mine, promoters = on_one_chrom(mine[mine["score"] > 0], promoters_of(adata, gene), gene)
    mine = mine.iloc[:top]
    at = parse_regions(mine["region"].astype(str)).centers.astype(np.float64)
    tss_n = promoters["tss"].to_numpy(dtype=np.float64)
    far = np.abs(at[:, None] - tss_n)
    if flank is not None:
        shown = far.min(axis=1) <= flank
        mine, at, far = mine[shown], at[shown], far[shown]
    ends, beyond = (np.append(at, tss_n), 2000) if flank is None else (tss_n, flank)
    low, high = ends.min() - beyond, ends.max() + beyond
    drawn = axes(ax, (8, 2.6 + 0.4 * len(row_names)))
    most = max(float(mine["score"].max()) if len(mine) else 0.0, 1e-12)
    _draw_arcs(drawn, at, tss_n[far.argmin(axis=1)], mine["score"].to_numpy(), mine["signed"].to_numpy())
    chrom = str(promoters["region"].iloc[0]).rsplit(":", 1)[0]
    bottom = _draw_tracks(drawn, adata, row_names, layer, (chrom, low, high), most)
    if annotation is not None:
        exons = read_exons(annotation, chrom, low, high)
        bottom = draw_genes(drawn, exons, gene, (low, high), bottom - 0.05 * most, 0.6 * _TRACK * most)
    _draw_arrows(drawn, tss_n, promoters["strand"])
    drawn.set(xlim=(low / 1e3, high / 1e3), ylim=(bottom - 0.125 * _TRACK * most, most * 1.1))
    drawn.set(xlabel=f"{chrom}, kb (arrow: TSS)", ylabel="score", title=f"{gene} in {row}")
    return finish(drawn, ax, show, return_fig)


def _asked(
    mdata: MuData, row: str, rows: Sequence[str] | None, flank: int | None, atac: str, layer: str | None
) -> tuple[list[str], AnnData]:
    """Rows whose tracks are drawn, and their modality; :class:`InputError` for what cannot be drawn."""
    row_names = [row] if rows is None else list(dict.fromkeys([rows] if isinstance(rows, str) else rows))
    if not row_names or (flank is not None and flank <= 0):
        raise InputError(f"rows={rows!r}, flank={flank}: at least one row, and a flank above 0, are needed; or None")
    adata = get_modality(mdata, atac, "accessibility")
    if layer is not None and layer not in adata.layers:
        raise InputError(f"no layer {layer!r} in {atac!r}; there are {first(adata.layers) or 'none'}, and None for X")
    return row_names, adata


def _draw_arcs(drawn: Axes, at: np.ndarray, tss_n: np.ndarray, score_n: np.ndarray, signed_n: np.ndarray) -> None:
    from matplotlib.collections import LineCollection

    middle_n, half_n = (at + tss_n) / 2, (at - tss_n) / 2
    curves = [
        np.column_stack([(middle + half * np.cos(_ARC)) / 1e3, score * np.sin(_ARC)])
        for middle, half, score in zip(middle_n, half_n, score_n, strict=True)
    ]
    colours = sign_colours(signed_n)
    drawn.add_collection(LineCollection(curves, colors=colours, linewidths=1.3, alpha=0.8))


def _draw_arrows(drawn: Axes, tss_n: np.ndarray, strand_n: Sequence[str]) -> None:
    for position, strand in zip(tss_n, strand_n, strict=True):
        marker = "$\\rightarrow$" if strand == "+" else "$\\leftarrow$"
        drawn.plot(position / 1e3, 0, marker=marker, color=BLACK, ms=14, zorder=4)
    drawn.axhline(0, color="0.3", lw=0.8)


def _draw_tracks(
    drawn: Axes, adata: AnnData, rows: list[str], layer: str | None, view: tuple[str, float, float], most: float
) -> float:
    """Bars below 0, a track per row, and where the last ends; ticks of scores above, names of rows below."""
    chrom, low, high = view
    var = adata.var
    here = np.flatnonzero((var["chrom"].astype(str) == chrom) & (var["end"] > low) & (var["start"] < high))
    counts = adata.X if layer is None else adata.layers[layer]
    row_k = positions(adata.obs_names.to_numpy(dtype=object), rows, "row")
    if not len(here):
        raise InputError(f"no region of {chrom} is between {low:,.0f} and {high:,.0f}; give a wider flank")
    total_k = np.asarray(counts[row_k].sum(axis=1), dtype=np.float64).ravel()
    chosen = counts[row_k][:, here]
    cpm_kp = np.asarray(chosen.toarray() if sp.issparse(chosen) else chosen) / np.maximum(total_k, 1)[:, None] * 1e6
    height, step = most * _TRACK, most * _TRACK * 1.25
    floors = [-(k + 1) * step for k in range(len(rows))]
    start, width = var["start"].to_numpy()[here] / 1e3, (var["end"] - var["start"]).to_numpy()[here] / 1e3
    wide = np.maximum(width, (high - low) / 1e3 / 400)  # visible in a wide view
    for floor, cpm_p in zip(floors, cpm_kp, strict=True):
        drawn.bar(start, cpm_p / max(cpm_kp.max(), 1e-12) * height, wide, floor, align="edge", color="0.35")
        drawn.axhline(floor, color="0.8", lw=0.6, zorder=0)
    ticks = [0, most / 2, most]
    names = [*(f"{tick:.2g}" for tick in ticks), *rows]
    drawn.set_yticks([*ticks, *(floor + height / 3 for floor in floors)], names)
    return floors[-1]
