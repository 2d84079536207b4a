"""What perturbations do to genes, and what regions do to one gene."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scget._errors import InputError, first
from scget.pp._regions import parse_regions

from ._shared import BLACK, SIGNED, axes, documented, finish, sign_colours

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes


@documented
def perturbed(
    adata: AnnData,
    *,
    row: str | None = None,
    n_genes: int = 20,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Any:
    """Draw how perturbations change the genes that they change most.

    Parameters
    ----------
    adata
        From ``scget.tl.perturb``.
    row
        Show this row alone. None: all.
    n_genes
        Genes with the greatest absolute difference in any line shown.
    ax, show, return_fig
        {axes}

    Returns
    -------
    {returned} Red: expression rises. A single perturbation of a single row is drawn as bars, from the gene raised most to
    the one lowered most: vermilion rises, blue falls.

    Examples
    --------
    >>> found = scget.tl.perturb(pb, model, {"no A": scget.tl.Change("knockout", motifs="A")}, rows=["Mono"])
    >>> scget.pl.perturbed(found, n_genes=5, show=False).get_title()
    'no A in Mono: the 5 genes changed most'
    """
    rows = list(dict.fromkeys(adata.obs["row"].astype(str)))
    if row is not None and row not in rows:
        raise InputError(f"no row {row!r} among the perturbations; there are {first(rows)}")
    if n_genes < 1:
        raise InputError(f"n_genes={n_genes}: at least 1 is needed")
    shown = adata if row is None else adata[(adata.obs["row"] == row).to_numpy()]
    values = shown.to_df()
    values = values[values.abs().max().nlargest(n_genes).index]
    if len(values) == 1:
        return finish(_waterfall(values.iloc[0], ax), ax, show, return_fig)
    most = max(float(np.abs(values.to_numpy()).max(initial=0)), 1e-12)
    drawn = axes(ax, (1.5 + 0.3 * values.shape[1], 1.2 + 0.3 * len(values)))
    image = drawn.imshow(values.to_numpy(), cmap=SIGNED, vmin=-most, vmax=most, aspect="auto", interpolation="nearest")
    names = values.index if row is None else shown.obs["perturbation"].astype(str)
    drawn.set_xticks(range(values.shape[1]), values.columns, rotation=90)
    drawn.set_yticks(range(len(values)), names)
    drawn.set_title(f"the {values.shape[1]} genes changed most" + ("" if row is None else f" in {row}"))
    drawn.figure.colorbar(image, ax=drawn, label="difference,\nlog10(CPM + 1)")
    return finish(drawn, ax, show, return_fig)


def _waterfall(values: pd.Series, ax: Axes | None) -> Axes:
    """A bar per gene, from the highest to the lowest."""
    values = values.sort_values(ascending=False, kind="stable")
    drawn = axes(ax, (1.5 + 0.25 * len(values), 3.2))
    drawn.bar(range(len(values)), values.to_numpy(), color=sign_colours(values.to_numpy()))
    drawn.axhline(0, color="0.3", lw=0.8)
    drawn.set_xticks(range(len(values)), values.index, rotation=90)
    drawn.set(ylabel="difference, log10(CPM + 1)", title=f"{values.name}: the {len(values)} genes changed most")
    return drawn


@documented
def screened(
    table: pd.DataFrame,
    gene: str,
    row: str,
    *,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Any:
    """Draw what changing each region does to one gene in one row, along the genome.

    Parameters
    ----------
    table
        From ``scget.tl.screen``.
    gene, row
        Names.
    ax, show, return_fig
        {axes}

    Returns
    -------
    {returned} Regions whose loss lowers expression point down, in blue.

    Examples
    --------
    >>> found = scget.tl.screen(pb, model, genes=["GATA1"], rows=["Mono"], reach=50_000)
    >>> scget.pl.screened(found, "GATA1", "Mono", show=False).get_title()
    'GATA1 in Mono'
    """
    mine = table[(table["gene"] == gene) & (table["row"] == row)]
    if not len(mine):
        have = list(dict.fromkeys(table["gene"].astype(str)))
        raise InputError(
            f"no screen of {gene!r} in {row!r} (genes there: {first(have) or 'none'}); run scget.tl.screen"
        )
    regions, effect = parse_regions(mine["region"].astype(str)), mine["effect"].to_numpy()
    seen = effect != 0
    at, effect = regions.centers[seen] / 1e3, effect[seen]
    drawn = axes(ax, (7, 2.5))
    colours = sign_colours(effect)
    drawn.vlines(at, 0, effect, colors=colours, lw=1.5)
    drawn.scatter(at, effect, c=colours, s=12, zorder=3)
    drawn.axhline(0, color="0.3", lw=0.8)
    nearest = mine["distance"].abs() == mine["distance"].abs().min()
    drawn.plot(regions.centers[nearest.to_numpy()] / 1e3, np.zeros(nearest.sum()), "^", color=BLACK, ms=7, zorder=4)
    drawn.set(xlabel=f"{regions.chrom[0]}, kb (triangle: promoter)", ylabel="effect, log10(CPM + 1)")
    drawn.set_title(f"{gene} in {row}")
    drawn.margins(y=0.15)
    return finish(drawn, ax, show, return_fig)
