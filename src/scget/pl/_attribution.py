"""A gene's regions along the genome, with what each adds to its prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scget import _keys
from scget._errors import InputError, first, warn
from scget.pp._checks import get_modality
from scget.pp._regions import parse_regions

from ._shared import BLACK, axes, documented, finish, sign_colours

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData


@documented
def attribution(
    mdata: MuData,
    gene: str,
    row: str,
    *,
    key: str = "get",
    atac: str = _keys.ATAC,
    flank: int | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Any:
    """Draw what each region adds to the prediction of one gene in one row.

    Parameters
    ----------
    mdata
        After ``scget.tl.attribute`` with this gene and row.
    gene, row
        Names.
    key, atac
        ``key_added`` of the attribution, name of the ATAC modality.
    flank
        Show this many bp on either side of the TSS. None: all regions kept.
    ax, show, return_fig
        {axes}

    Returns
    -------
    {returned} Regions that raise expression point up, in vermilion; those that lower it down, in blue.

    Examples
    --------
    >>> scget.tl.attribute(pb, model, genes=["GATA1"])
    >>> scget.pl.attribution(pb, "GATA1", "Mono", flank=100_000, show=False).get_title()
    'GATA1 in Mono (arrow: TSS)'
    """
    mine = links_of(mdata, gene, row, key).sort_values("score", ascending=False, kind="stable")
    mine, promoters = on_one_chrom(mine, promoters_of(get_modality(mdata, atac, "accessibility"), gene), gene)
    regions = parse_regions(mine["region"])
    at, effect = regions.centers, mine["signed"].to_numpy()
    tss = promoters["tss"].to_numpy()
    if flank is not None:
        near = np.abs(at[:, None] - tss).min(axis=1) <= flank
        at, effect = at[near], effect[near]
    drawn = axes(ax, (7, 2.5))
    colours = sign_colours(effect)
    drawn.vlines(at / 1e3, 0, effect, colors=colours, lw=1.5)
    drawn.scatter(at / 1e3, effect, c=colours, s=12, zorder=3)
    drawn.axhline(0, color="0.3", lw=0.8)
    for position, strand in zip(tss, promoters["strand"], strict=True):
        marker = "$\\rightarrow$" if strand == "+" else "$\\leftarrow$"
        drawn.plot(position / 1e3, 0, marker=marker, color=BLACK, ms=14, zorder=4)
    drawn.set(xlabel=f"{regions.chrom[0]}, kb", ylabel="effect, log10(CPM + 1)", title=f"{gene} in {row} (arrow: TSS)")
    drawn.margins(y=0.15)
    return finish(drawn, ax, show, return_fig)


def promoters_of(atac: AnnData, gene: str) -> pd.DataFrame:
    """Promoters of a gene; :class:`InputError` where there are none."""
    promoters = atac.uns.get(_keys.PEAK_ANNOTATION)
    mine = None if promoters is None else promoters[promoters["gene"] == gene]
    if mine is None or not len(mine):
        raise InputError(
            f"atac.uns[{_keys.PEAK_ANNOTATION!r}] has no promoter of {gene!r}; run scget.pp.promoters first"
        )
    return mine


def on_one_chrom(links: pd.DataFrame, promoters: pd.DataFrame, gene: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Links, highest score first, and promoters, of the chromosome of the first link; a warning says what is left out."""
    chroms, starts = (table["region"].astype(str).str.rsplit(":", n=1).str[0] for table in (links, promoters))
    chrom = (chroms if len(links) else starts).iloc[0]
    if (starts != chrom).any():
        warn(f"{gene!r} starts on {first(starts.unique())}: drawn are links on {chrom!r}, where the strongest is")
    return links[chroms == chrom], promoters[starts == chrom]


def links_of(mdata: MuData, gene: str, row: str, key: str) -> pd.DataFrame:
    """Links of a gene in a row; :class:`InputError` where there are none."""
    links = mdata.uns.get(key, {}).get("links")
    mine = None if links is None else links[(links["gene"] == gene) & (links["row"] == row)]
    if mine is None or not len(mine):
        have = [] if links is None else list(dict.fromkeys(links["gene"].astype(str)))
        raise InputError(
            f"no links of {gene!r} in {row!r} (genes there: {first(have) or 'none'}); "
            f"run scget.tl.attribute(mdata, model, genes=[{gene!r}]) or scget.tl.links"
        )
    return mine
