"""How a designed sequence came about, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scget._errors import InputError

from ._shared import BLACK, VERMILION, axes, documented, finish

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scget.model._design import Designs


@documented
def design(
    designs: Designs,
    *,
    design: int = 0,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Any:
    """Draw the prediction in each row after each edit of a designed sequence, and where the edits are.

    Parameters
    ----------
    designs
        From ``scget.tl.design``.
    design
        Which line of ``designs.sequences``; 0 is the best.
    ax, show, return_fig
        {axes}

    Returns
    -------
    {returned} Vermilion: the row designed for; grey: the others; dashed: the objective. Each step is named by its edit
    and the place of that in the sequence, with the strand.

    Examples
    --------
    >>> found = scget.tl.design(  # doctest: +SKIP
    ...     pb, model, gene="GATA1", row="Mono", region="chr1:1000-1500", motifs="H12CORE.meme.gz"
    ... )
    >>> scget.pl.design(found)  # doctest: +SKIP
    """
    if design not in designs.sequences.index:
        raise InputError(f"design={design}: there are {len(designs.sequences)}, numbered from 0")
    steps = designs.steps[designs.steps["design"] == design]
    change = designs.predicted.loc[design]
    change = change - change.iloc[0]
    drawn = axes(ax, (1.8 + 0.55 * len(steps), 4.2))
    at = range(len(steps))
    for row in change.columns[1:]:
        drawn.plot(at, change[row], color="0.75", lw=1, zorder=1, label="_")
    if change.shape[1] > 1:
        drawn.plot([], [], color="0.75", lw=1, label=f"{change.shape[1] - 1} other rows")
    drawn.plot(at, change[designs.row], "o-", color=VERMILION, zorder=3, label=designs.row)
    drawn.plot(at, steps["objective"], "s--", color=BLACK, ms=4, zorder=2, label="objective")
    drawn.axhline(0, color="0.3", lw=0.8, zorder=0)
    edits = [f"{s.name_} {s.strand}{s.start}" for s in steps.rename(columns={"name": "name_"}).iloc[1:].itertuples()]
    drawn.set_xticks(list(at), ["start", *edits], rotation=60, ha="right", rotation_mode="anchor")
    drawn.set_ylabel("change of the prediction, log10(CPM + 1)")
    drawn.set_title(f"{designs.gene} in {designs.row}, at {designs.region}", fontsize=10)
    drawn.legend(frameon=False, fontsize=8)
    return finish(drawn, ax, show, return_fig)
