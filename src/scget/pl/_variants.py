"""Which variants change a gene, and by which motifs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scget._errors import InputError, first

from ._shared import axes, documented, finish, sign_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LONGEST = 28  # letters of a variant's name


@documented
def variants(
    effects: pd.DataFrame,
    gene: str,
    row: str,
    *,
    n_variants: int = 15,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Any:
    """Draw the variants that change a gene most in one row, with the motif that each changes most.

    Parameters
    ----------
    effects
        Of ``scget.tl.variants``: its table ``effects``, or the pair.
    gene, row
        Names.
    n_variants
        Those of greatest absolute effect; an effect of 0 is not drawn.
    ax, show, return_fig
        {axes}

    Returns
    -------
    {returned} Vermilion: expression rises. Beside each bar: motif, change of its score (bits), distance from the start of
    transcription (negative upstream).

    Examples
    --------
    >>> found = scget.tl.variants(pb, model, "my.vcf.gz", genome="hg38.fa", motifs="motifs.meme")  # doctest: +SKIP
    >>> scget.pl.variants(found.effects, "GATA1", "Mono")  # doctest: +SKIP
    """
    if isinstance(effects, tuple) and hasattr(effects, "effects"):
        effects = effects.effects  # the pair that tl.variants gives
    if n_variants < 1:
        raise InputError(f"n_variants={n_variants}: at least 1 is needed")
    mine = effects[(effects["gene"] == gene) & (effects["row"] == row)]
    if not len(mine):
        have = list(dict.fromkeys(effects["gene"].dropna().astype(str)))
        raise InputError(
            f"no variant of {gene!r} in {row!r} (genes there: {first(have) or 'none'}); run scget.tl.variants"
        )
    acting = mine[mine["effect"].abs() > 0]
    shown = acting.loc[acting["effect"].abs().sort_values(ascending=False, kind="stable").index[:n_variants]]
    effect, at = shown["effect"].to_numpy(), np.arange(len(shown))
    drawn = axes(ax, (7, 1.2 + 0.28 * max(len(shown), 1)))
    drawn.barh(at, effect, color=sign_colours(effect), height=0.7)
    for y, line in zip(at.tolist(), shown.itertuples(), strict=True):
        numbers = f"{line.change:+.1f} bits, {line.distance / 1e3:+.1f} kb".replace("-", "\u2212")
        drawn.text(1.02, y, f"{line.motif} {numbers}", transform=drawn.get_yaxis_transform(), va="center", fontsize=8)
    drawn.set_yticks(at, [_name(line) for line in shown.itertuples()], fontsize=8)
    drawn.axvline(0, color="0.3", lw=0.8)
    drawn.invert_yaxis()
    drawn.margins(x=0.1)
    drawn.set(xlabel="effect, log10(CPM + 1)", title=f"{gene} in {row}: {len(shown)} of {len(mine)} variants")
    return finish(drawn, ax, show, return_fig)


def _name(line: Any) -> str:
    """The id, or the variant's own name, not too long."""
    name = str(line.variant if pd.isna(line.id) or not line.id else line.id)  # NaN: read from a file
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}\u2026"
